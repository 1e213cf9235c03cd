"""Checks of search spaces: YAML that a person wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sweeper.pipeline import Pipeline
from sweeper.space.file import load_space, parse_space
from sweeper.space.study import read_study
from sweeper.testing.checks import Check, expect

_DRAWS = 50


def check_it_can_be_read(path: Path) -> None:
    """Check that every name and value in it is known and legal."""
    load_space(str(path))


def check_it_has_a_source(path: Path) -> None:
    """Check that it says where it comes from."""
    expect(load_space(str(path)).source.strip() != "", "it needs a source")


def check_every_scale_is_a_space(path: Path) -> None:
    """Check that each cut of itself that it names can be read, and is no larger than the whole."""
    whole = load_space(str(path)).size
    for scale in read_study(path).scales:
        cut = parse_space(read_study(path, scale).space, default_name=path.stem).size
        expect(cut <= whole, f"scale {scale} has {cut:g} pipelines, the whole space {whole:g}")


def check_draws_come_back_from_json_and_vectors(path: Path) -> None:
    """Check that pipelines survive the journal, and the encoding that searches model."""
    space, rng = load_space(str(path)), np.random.default_rng(0)
    encoding = space.encoding()
    for _ in range(_DRAWS):
        pipeline = space.sample(rng)
        expect(Pipeline.from_dict(pipeline.to_dict()) == pipeline, f"{pipeline} does not come back from JSON")
        vector = encoding.encode(pipeline)
        active = encoding.active(np.nan_to_num(vector))
        alive = active is not None and bool((active == ~np.isnan(vector)).all())
        expect(alive, f"{pipeline} does not come back from its vector")


def space_checks() -> tuple[Check, ...]:
    """Return all checks of a search space; each takes the path of its file."""
    return (
        check_it_can_be_read,
        check_it_has_a_source,
        check_every_scale_is_a_space,
        check_draws_come_back_from_json_and_vectors,
    )
