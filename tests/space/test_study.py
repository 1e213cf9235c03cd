"""Spaces that bring settings of their sweep and cuts of themselves."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeper import plugins
from sweeper.runs.spec import load_spec, make_spec
from sweeper.space.study import read_study
from sweeper.yamlfile import read_yaml

SPACE = """
name: mine
sweep: {search: grid, folds: 3}
featurizers:
  glcm: {distance: [1, 2]}
  lenet: {size: 64}
classifiers: [rf]
scales:
  small:
    cuts: frames of 32 px
      instead of 64
    set: {lenet.size: 32, intensity.bin: 2}
"""


@pytest.fixture
def space(tmp_path: Path) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(SPACE)
    return str(path)


def test_what_is_not_given_is_as_the_space_says(space: str) -> None:
    assert (make_spec("d", space).search, make_spec("d", space).folds) == ("grid", 3)
    given = make_spec("d", space, folds=7)
    assert (given.search, given.folds) == ("grid", 7)
    assert (make_spec("d", "quick").search, make_spec("d", "quick").folds) == ("bohb", 5)


def test_a_scale_changes_the_space_and_the_space_says_so(space: str) -> None:
    spec = make_spec("d", space, scale="small", settings=["glcm.distance=4"])
    cut = spec.search_space
    assert cut.scale == "small: frames of 32 px instead of 64; then --set glcm.distance=4"
    pipelines = list(cut.grid())
    assert {p.featurizer_params.get("size") for p in pipelines} == {None, 32}
    assert {p.intensity["bin"] for p in pipelines} == {2}
    assert {p.featurizer_params.get("distance") for p in pipelines} == {None, (4,)}
    assert make_spec("d", space).search_space.scale == ""


def test_settings_come_after_the_scale(space: str) -> None:
    spec = make_spec("d", space, scale="small", settings=["lenet.size=48"])
    assert {p.featurizer_params.get("size") for p in spec.search_space.grid()} == {None, 48}


def test_the_resolved_spec_stands_alone(space: str, tmp_path: Path) -> None:
    """What a run folder keeps says everything: nothing is applied a second time."""
    from sweeper.yamlfile import to_yaml

    spec = make_spec("d", space, scale="small", search="random")
    path = tmp_path / "sweep.yaml"
    path.write_text(to_yaml(spec.resolved()))
    again = load_spec(path)
    assert again.search == "random"
    assert spec.difference(again) is None
    assert again.search_space == spec.search_space
    whole = make_spec("d", space).difference(spec)
    assert whole is not None


def test_a_spec_file_takes_the_settings_of_its_space(space: str, tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("data: frames\nspace: ./mine.yaml\nfolds: 4\n")
    spec = load_spec(path, scale="small", seed=3)
    assert (spec.search, spec.folds, spec.seed) == ("grid", 4, 3)
    assert spec.data == str(tmp_path / "frames")
    assert spec.search_space.scale.startswith("small")


@pytest.mark.parametrize(
    ("change", "scale", "said"),
    [
        ("", "smal", "unknown --scale 'smal'; did you mean 'small'"),
        ("scales:", "small", "space has none"),
        ("sweep: {searc: grid}", None, "sweep of the space: unknown setting 'searc'"),
        ("sweep: {folds: 1}", None, "folds"),
        ("sweep: grid", None, "must be mappings"),
        ("scales: {small: {set: {lenet.size: 32}}}", "small", "must have cuts"),
        (
            "scales: {small: {cuts: x, set: {vgg.size: 32}}}",
            "small",
            "scale small: vgg.size: the space has no",
        ),
    ],
)
def test_mistakes_are_named(space: str, change: str, scale: str | None, said: str) -> None:
    data = read_yaml(Path(space))
    if change:
        key, _, value = change.partition(":")
        import yaml

        data[key] = yaml.safe_load(value)
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        make_spec("d", data, scale=scale)


def test_a_space_without_scales_has_none() -> None:
    with pytest.raises(ValueError, match="unknown --scale 'small'; the space has none"):
        read_study("quick", "small")


@pytest.mark.parametrize("name", plugins.space_names())
def test_every_scale_of_every_space_is_a_space(name: str) -> None:
    scales = read_yaml(plugins.space_path(name)).get("scales") or {}
    whole = make_spec("d", name).search_space
    for scale in scales:
        cut = make_spec("d", name, scale=scale).search_space
        assert cut.scale.startswith(f"{scale}: ")
        assert cut.size <= whole.size


def test_camsortxs_is_the_papers_algorithm_1() -> None:
    """25 representations x 5 ensembles, half of the frames for the networks, 5 folds."""
    spec = make_spec("d", "camsortxs")
    pipelines = list(spec.search_space.grid())
    assert len(pipelines) == 125
    of_networks: dict[str, set[str]] = {}
    for p in pipelines:
        of_networks.setdefault(p.featurizer, set()).add(p.featurizer_params.get("training_set", ""))
    assert len([1 for sets in of_networks.values() for _ in sets]) == 25
    learned = {"unbalanced", "balanced", "augmented"}
    assert of_networks.pop("lenet") == learned
    assert of_networks.pop("glcm") == of_networks.pop("histogram") == {""}
    assert all(sets == learned | {"pretrained"} for sets in of_networks.values())
    assert len(of_networks) == 5
    assert {(p.reducer, p.reducer_params["components"]) for p in pipelines} == {("pca", 5)}
    assert (spec.search, spec.folds, spec.representation_share) == ("grid", 5, 0.5)


def test_a_scale_is_said_before_the_sweep(
    run_cli: Callable[..., subprocess.CompletedProcess[str]], textures: Path
) -> None:
    done = run_cli("plan", textures, "--space", "diffranet", "--scale", "small")
    assert done.returncode == 0, done.stderr
    assert "scale small: forests of at most 300 trees" in done.stdout
    done = run_cli("plan", textures, "--space", "diffranet", "--scale", "tiny")
    assert done.returncode == 2
    assert (
        done.stderr.strip() == "sweeper: error: unknown --scale 'tiny'; known: small" or "tiny" in done.stderr
    )
