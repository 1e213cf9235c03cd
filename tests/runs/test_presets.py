"""Presets: values for what a person does not choose."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import sweeper
from sweeper import cli, plugins
from sweeper.api import Featurizer
from sweeper.errors import InputError
from sweeper.runs.folder import RunFolder
from sweeper.runs.presets import PRESETS
from sweeper.runs.spec import SETTINGS, load_spec, make_spec, spec_of
from tests.conftest import TINY_SPACE


def quick(**given: Any) -> dict[str, Any]:
    """The preset's settings, as a spec has them."""
    spec = spec_of("frames", None, preset="quick", **given)
    return {name: getattr(spec, name) for name in PRESETS["quick"].settings}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_what_its_values_are(name: str) -> None:
    preset = PRESETS[name]
    spec = spec_of("frames", None, preset=name)
    assert spec == make_spec("frames", preset.space, settings=preset.changes, **preset.settings)
    assert set(preset.settings) < set(SETTINGS)
    assert {"time_budget_s", "folds", "repeats"} <= set(preset.settings)
    assert next(iter(preset.contents)) == "space"
    assert "preset" not in spec.resolved()


def test_presets_grow() -> None:
    specs = [spec_of("frames", None, preset=name) for name in PRESETS]
    times = [spec.time_budget_s for spec in specs]
    assert times == [60, 300, 3600] == sorted(times)
    assert [spec.search_space.most for spec in specs] == [1, 3, 4]
    sizes = [spec.search_space.size for spec in specs]
    assert sizes == sorted(sizes)


def test_the_best_searches_every_descriptor() -> None:
    space = spec_of("frames", None, preset="best").search_space
    ours = {
        name for name in plugins.featurizer_examples() if isinstance(plugins.featurizer(name), Featurizer)
    } - {"header"}  # which sees no pixel
    assert {part.name for part in space.parts["featurizer"]} == ours
    assert {part.name for part in space.parts["classifier"]} == {*plugins.classifier_names()} - {"head"}


def test_what_is_given_wins() -> None:
    own = {"search": "gp_per_second", "time_budget_s": 60.0, "folds": 3, "repeats": 1}
    assert quick() == own
    assert quick(folds=4, time_budget="90s") == {**own, "time_budget_s": 90.0, "folds": 4}
    assert quick(search="random") == {**own, "search": "random"}


def test_a_space_of_ones_own_stays_as_it_is_written() -> None:
    spec = spec_of("frames", "quick", preset="quick")
    assert spec.space == make_spec("frames", "quick").space
    assert (spec.search_space.most, spec.folds) == (3, 3)


def test_changes_of_the_space_come_after_those_of_the_preset() -> None:
    assert spec_of("frames", None, preset="quick", settings=["combine.most=2"]).search_space.most == 2
    changed = spec_of("frames", None, preset="quick", settings=["lbp.points=8"]).search_space
    assert changed.most == 1
    assert changed.size < spec_of("frames", None, preset="quick").search_space.size


def test_a_preset_wins_over_what_a_space_says_about_its_sweep() -> None:
    assert make_spec("frames", "deepfreak").reruns == 5
    spec = spec_of(
        "frames",
        {"sweep": {"folds": 7, "seed": 4}, "featurizers": ["lbp"], "classifiers": ["rf"]},
        preset="quick",
    )
    assert (spec.folds, spec.seed) == (3, 4)


def test_a_spec_file_may_name_one(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("data: /frames\npreset: quick\nfolds: 6\n")
    spec = load_spec(path)
    assert spec == spec_of("/frames", None, preset="quick", folds=6)
    assert load_spec(path, preset="balanced") == spec_of("/frames", None, preset="balanced", folds=6)
    assert spec_of(path, "diffranet").space_name == "diffranet"
    (tmp_path / "mine.yaml").write_text(TINY_SPACE)
    path.write_text("data: /frames\npreset: quick\nspace: mine.yaml\n")
    assert (load_spec(path).space_name, load_spec(path).folds) == ("tiny", 3)


def test_a_run_folder_keeps_the_values(tmp_path: Path) -> None:
    """So that it is resumed with the preset, by its own sweep.yaml, and after the preset has changed."""
    spec = spec_of("frames", None, preset="quick")
    folder = RunFolder(tmp_path / "run")
    folder.claim(spec)
    assert "preset" not in folder.spec.read_text()
    assert folder.load_spec() == spec == load_spec(folder.spec)
    assert load_spec(folder.spec, preset="best") == spec


def test_a_wrong_name_is_told_with_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = "unknown preset 'balance'; did you mean 'balanced'?"
    with pytest.raises(InputError, match=re.escape(said)):
        sweeper.run("frames", preset="balance", out=tmp_path / "run")
    assert cli.main(["run", "frames", "--preset", "balance", "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"sweeper: {said}"
    path = tmp_path / "spec.yaml"
    path.write_text("data: /frames\npreset: 5\n")
    with pytest.raises(InputError, match=r"spec.yaml: unknown preset 5; known: balanced, best, quick"):
        load_spec(path)
    path.write_text("data: /frames\npreste: quick\n")
    with pytest.raises(InputError, match="unknown key 'preste'; did you mean 'preset'"):
        load_spec(path)


def test_without_either_both_are_named() -> None:
    with pytest.raises(InputError, match=r"^space is required .*'sweeper list presets'"):
        spec_of("frames", None)


def test_a_plan_shows_what_it_resolves_to(textures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", str(textures), "--preset", "quick", "--folds", "4", "--cpus", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "space quick, one featurizer a pipeline, search gp_per_second, time budget 1m, 4 folds"
    )
    (search,) = [line for line in lines if line.startswith("search gp_per_second: about ")]
    found = re.search(r"about ([0-9,]+) trials in the time budget, 4 folds", search)
    assert found is not None
    trials = int(found[1].replace(",", ""))
    longer = sweeper.plan(textures, preset="balanced", cpus=2, folds=4)
    assert 5 < trials < longer.search.trials
    assert longer.search.in_time
    assert not sweeper.plan(textures, preset="quick", trials=5).search.in_time
