"""The spec of a sweep: what it may say, how it is written and read, what makes another sweep of it."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sweeper.api import Interval, OneOf
from sweeper.errors import InputError
from sweeper.runs.folder import RunFolder
from sweeper.runs.settings import (
    GROUPS,
    Above,
    Costs,
    FilePath,
    Names,
    SpaceMapping,
    Switch,
    Text,
    duration_text,
    parse_duration,
)
from sweeper.runs.spec import SETTINGS, SweepSpec, load_spec, make_spec, read_spec
from sweeper.yamlfile import parse_yaml, read_yaml, to_yaml
from tests.conftest import TINY_SPACE


@given(st.integers(1, 10**6), st.sampled_from([("", 1), ("s", 1), ("m", 60), ("min", 60), ("h", 3600)]))
def test_durations(number: int, unit: tuple[str, int]) -> None:
    name, seconds = unit
    if number * seconds <= 1e8:
        assert parse_duration(f"{number}{name}") == number * seconds
        assert parse_duration(f" {number / 4} {name} ") == number / 4 * seconds


@pytest.mark.parametrize(
    "text", ["", "0", "-5", "m", "5 m s", "1d", "5M", "1e3", "nan", "inf", "1,5h", "9" * 400]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="--time-budget must be a time above zero") as raised:
        parse_duration(text)
    assert repr(text) in str(raised.value)


@given(st.integers(1, 10**6))
def test_a_duration_is_shown_as_it_may_be_written(seconds: int) -> None:
    assert parse_duration(duration_text(seconds)) == pytest.approx(seconds)


SPACE: dict[str, Any] = {"name": "quick", **yaml.safe_load(TINY_SPACE)}


BEGUN = {"run": "/runs/first", "pipelines": [{"featurizer": "glcm"}], "left_out": 0}
"""What a sweep begins with, once it has begun; the pipelines are shortened."""


def spec_of(**changes: Any) -> SweepSpec:
    return SweepSpec(**{"data": "frames", "space": SPACE, **changes})


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("data", ["/x"], ["", " ", None, 5]),
        ("space", [{"name": "x"}, SPACE], ["", "quick", None, ["x"]]),
        ("search", ["bohb", "hyperband", "asha", "random", "grid"], ["", None]),
        ("metric", ["accuracy", "kappa", "auc_ovr"], ["", "acc", None]),
        (
            "class_costs",
            [None, {"good": 5, "a b": 0.1}],
            [{}, {"good": 0}, {"good": "5"}, {"good": float("nan")}, {"": 1}, {3: 1}, ["good"], "good=5"],
        ),
        ("hold_out", [None, "domain"], ["", "group", True]),
        ("trials", [1, 10**6, None], [0, -1, 1.0, True, "5"]),
        ("folds", [2, 100], [1, 0, None, 2.0]),
        ("repeats", [1, 10], [0, 11, None]),
        ("warm_start", [None, "/runs/first", "s3://b/run", BEGUN], ["", 5, {}, {"run": "/runs/first"}]),
        ("seed", [0, 2**40], [-1, None, 0.5]),
        ("reduction_factor", [2, 10], [1, 11, None]),
        ("rungs", [1, 8], [0, 9, None]),
        ("cpus", [1, None], [0, -2, 1.5]),
        ("object_store_gb", [0.5, None], [0, float("inf"), "1"]),
        ("test_top", [0, 3], [-1, None]),
        ("reruns", [0, 5], [-1, 101, None]),
        ("time_budget_s", [0.5, 10, None], [0, -1, float("nan"), float("inf"), "10m", True]),
        ("trial_time_limit_s", [0.5, 10], [0, None, float("inf")]),
        ("trial_memory_limit_gb", [0.5, None], [0, float("nan"), float("inf")]),
        ("ignore_file_mask", [True, False], [None, 1]),
        ("dataset", [None, "/entry/data"], ["", 5]),
        ("scan_grid", [True, False], [None, 1]),
        ("skip_bad", [True, False], [None, 1, "yes"]),
        ("allow_outside", [True, False], [None, 0]),
        ("drop_duplicates", [True, False], [None, 1]),
        ("ignore_file_mask", [True, False], [None, 1]),
        ("scan_grid", [True, False], [None, 1]),
        ("dataset", [None, "/entry/*/data"], ["", 5]),
        ("group_by", [None, "file", "folder"], ["", "class", True]),
        ("address", [None, "auto"], ["", 5]),
        ("mask", [None, "/m.tif"], ["", 5]),
        ("helping", [None, "/others.csv"], ["", 5]),
        ("target", [None, "/tonight"], ["", 5]),
        ("features", [None, "/folder"], ["", 5]),
        ("representation_share", [None, 0.5, 0.01], [0, 1, -0.5, 1.5, True, "half"]),
        ("weights", [None, "/folder"], ["", 5]),
        ("train_workers", [1, 8], [0, None, 1.5]),
        ("train_cpus", [None, 1, 0.5], [0, -1, "all"]),
        ("train_gpus", [None, 0, 0.25, 2], [-1, float("nan"), "all"]),
        ("train_compile", [True, False], [None, 1]),
        ("log", [(), ("mlflow", "tensorboard")], ["mlflow", None, [1]]),
    ],
)
def test_settings(name: str, good: list[object], bad: list[object]) -> None:
    for value in good:
        assert getattr(spec_of(**{name: value}), name) == value
    for value in bad:
        with pytest.raises(ValueError, match=name) as raised:
            spec_of(**{name: value})
        assert repr(value) in str(raised.value)
        assert "\n" not in str(raised.value)


def test_every_setting_is_checked() -> None:
    """The table above names them all."""
    checked = {mark.args[1][i][0] for mark in test_settings.pytestmark for i in range(len(mark.args[1]))}  # type: ignore[attr-defined]
    assert checked == {f.name for f in dataclasses.fields(SweepSpec)}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_declared_whole(name: str) -> None:
    """It has help, legal values that hold its default, and an option; `data` alone stands by itself."""
    declared = SETTINGS[name]
    assert declared.help
    assert not declared.help.endswith(".")
    assert declared.group in GROUPS
    assert str(declared.legal)
    assert declared.required == (name in ("data", "space"))
    assert (declared.option is None) == (name == "data")
    assert declared.required or declared.optional or declared.default in declared.legal
    assert declared.required or declared.default_text
    assert bool(declared.metavar) != isinstance(declared.legal, Switch)


def test_a_space_that_is_given_may_be_changed_afterwards() -> None:
    space = parse_yaml(TINY_SPACE)
    spec = make_spec("frames", space)
    space["featurizers"]["glcm"]["distance"]["subsets"].append(8)
    assert spec.space["featurizers"]["glcm"]["distance"] == {"subsets": [1, 2]}
    assert spec.search_space.size == 4 * 10


@pytest.mark.parametrize("how", ["make_spec", "load_spec"])
def test_what_runs_is_what_the_run_folder_says_whatever_happens_to_the_space(
    how: str, tmp_path: Path
) -> None:
    """The space's file is read once: an edit that comes later changes neither the sweep nor its record."""
    space = tmp_path / "mine.yaml"
    space.write_text(TINY_SPACE)
    if how == "make_spec":
        spec = make_spec(tmp_path / "frames", space)
    else:
        (tmp_path / "spec.yaml").write_text("data: frames\nspace: ./mine.yaml\n")
        spec = load_spec(tmp_path / "spec.yaml")
    space.write_text(TINY_SPACE.replace("[1, 8, 32]", "[2, 4]").replace("histogram:", "lbp:"))
    folder = RunFolder(tmp_path / "run")
    folder.claim(spec)
    assert folder.load_spec() == spec
    assert folder.load_spec().search_space == spec.search_space
    assert {p.classifier_params.get("C") for p in spec.search_space.grid()} == {None, 1, 8, 32}
    space.unlink()
    assert load_spec(folder.spec) == spec
    assert spec.search_space is spec.search_space


def test_a_run_can_be_read_where_one_of_its_plugins_is_missing(tmp_path: Path) -> None:
    written = to_yaml(spec_of().resolved()).replace("histogram", "of_another_machine")
    path = tmp_path / "sweep.yaml"
    path.write_text(written)
    assert read_spec(path).folds == 5
    with pytest.raises(InputError, match="unknown featurizer 'of_another_machine'"):
        load_spec(path)


def test_a_spec_file_says_the_same_as_settings(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(
        "data: frames\nspace: quick\nsearch: hyperband\ntrials: 7\ntime_budget: 1.5h\n"
        "trial_time_limit: 90s\nmetric: kappa\nfolds: 3\nskip_bad: true\nmask: masks/m.tif\n"
    )
    given: dict[str, Any] = {
        "search": "hyperband",
        "trials": 7,
        "metric": "kappa",
        "folds": 3,
        "skip_bad": True,
        "mask": tmp_path / "masks" / "m.tif",
    }
    spec = load_spec(path)
    assert spec == make_spec(tmp_path / "frames", "quick", time_budget_s=5400, trial_time_limit_s=90, **given)
    assert spec == make_spec(
        str(tmp_path / "frames"), "quick", time_budget="1.5h", trial_time_limit="90s", **given
    )


def test_paths_of_a_spec_are_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "mine.yaml").write_text(TINY_SPACE)
    (tmp_path / "study" / "spec.yaml").write_text("data: /frames\nspace: mine.yaml\nfeatures: ../blocks\n")
    monkeypatch.chdir(tmp_path)
    spec = load_spec(Path("study/spec.yaml"), mask="here.tif")
    assert spec.data == "/frames"
    assert spec.search_space.name == "tiny"
    assert spec.features == str(tmp_path / "blocks")
    assert spec.mask == str(tmp_path / "here.tif")


def test_paths_are_absolute_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spec = make_spec("frames", "quick", weights=Path("weights"))
    monkeypatch.chdir("/")
    assert (spec.data, spec.weights) == (str(tmp_path / "frames"), str(tmp_path / "weights"))


def test_relative_paths_are_refused_for_a_sweep_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("data: /frames\nspace: quick\nmask: m.tif\n")
    with pytest.raises(InputError, match=r"mask must be an absolute path of the cluster's, got 'm\.tif'"):
        load_spec(path, elsewhere=True)
    with pytest.raises(InputError, match="data must be an absolute path of the cluster's, got 'frames'"):
        make_spec("frames", "quick", elsewhere=True)
    assert make_spec("/frames", "quick", elsewhere=True).data == "/frames"


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"trails": 3}, "unknown setting 'trails'; did you mean 'trials'?"),
        ({"time_bugdet": "10m"}, "unknown setting 'time_bugdet'; did you mean 'time_budget'?"),
        ({"time_budget": "soon"}, "time_budget must be a time above zero"),
        ({"time_budget": "5m", "time_budget_s": 5}, "are the same setting"),
        ({"search": "bhob"}, "unknown search 'bhob'; did you mean 'bohb'?"),
        ({"folds": 1}, "folds must be a whole number of at least 2, got 1"),
    ],
)
def test_a_wrong_keyword_is_told_like_a_wrong_option(given_: dict[str, Any], said: str) -> None:
    import sweeper

    with pytest.raises(InputError) as raised:
        sweeper.run("frames", space="quick", out="run", **given_)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"featurizers": {"glmc": None}, "classifiers": ["rf"]}, "did you mean 'glcm'?"),
        (
            {"featurizers": {"glcm": {"distance": Path("x")}}, "classifiers": ["rf"]},
            "featurizers.glcm.distance",
        ),
        ("", "space must be a name, a path or a mapping, got ''"),
        (["quick"], "space must be a name, a path or a mapping, got ['quick']"),
    ],
)
def test_a_wrong_space_is_told_when_the_spec_is_made(space: Any, said: str) -> None:
    with pytest.raises(InputError) as raised:
        make_spec("frames", space)
    assert said in str(raised.value)


def test_an_empty_setting_of_time_is_none(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("data: frames\nspace: quick\ntime_budget:\n")
    assert load_spec(path).time_budget_s is None


def _values(name: str) -> st.SearchStrategy[Any]:
    """Legal values of a setting."""
    declared = SETTINGS[name]
    legal = declared.legal
    strategy: st.SearchStrategy[Any]
    if isinstance(legal, OneOf):
        strategy = st.sampled_from(legal.values)
    elif isinstance(legal, Interval) and legal.integer:
        strategy = st.integers(int(legal.low), int(min(legal.high, 2**53)))
    elif isinstance(legal, Interval):
        strategy = st.floats(legal.low, legal.high)
    elif isinstance(legal, Above):
        strategy = st.floats(legal.low, legal.high, exclude_min=True, exclude_max=True)
    elif isinstance(legal, Switch):
        strategy = st.booleans()
    elif isinstance(legal, Names):
        strategy = st.lists(st.text()).map(tuple)
    elif isinstance(legal, Costs):
        costs = st.floats(0, 1e8, exclude_min=True, exclude_max=True)
        strategy = st.dictionaries(st.text().filter(str.strip), costs, min_size=1, max_size=4)
    elif isinstance(legal, FilePath):
        letters = st.characters(codec="utf-8", exclude_characters="\0")
        strategy = st.text(letters).filter(str.strip).map(lambda t: f"/{t}")
    elif isinstance(legal, Text):
        strategy = st.text().filter(str.strip)
    else:
        assert isinstance(legal, SpaceMapping)
        strategy = st.dictionaries(st.text(min_size=1), _plain, max_size=4)
    return st.none() | strategy if declared.optional else strategy


_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.dates()
_plain = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.fixed_dictionaries({name: _values(name) for name in SETTINGS}))
def test_a_spec_that_is_written_and_read_is_the_same(tmp_path: Path, values: dict[str, Any]) -> None:
    spec = SweepSpec(**values)
    path = tmp_path / "sweep.yaml"
    path.write_text(to_yaml(spec.resolved()), encoding="utf-8")
    kept = read_spec(path)
    assert kept == spec
    assert kept.resolved() == spec.resolved()
    assert spec.difference(kept) is None


@pytest.mark.parametrize("space", ["quick", "diffranet", "camsortxs", parse_yaml(TINY_SPACE)])
def test_what_a_run_folder_keeps_is_the_same_sweep(space: Any, tmp_path: Path) -> None:
    spec = make_spec(tmp_path / "frames", space, seed=5, time_budget_s=1.5)
    folder = RunFolder(tmp_path / "run")
    folder.claim(spec)
    kept = folder.load_spec()
    assert kept == spec == load_spec(folder.spec)
    assert spec.difference(kept) is None
    assert kept.search_space == spec.search_space
    assert "*id" not in folder.spec.read_text()  # a list that stands twice is written twice


def test_a_space_may_hold_dates() -> None:
    made = make_spec("d", {**SPACE, "source": datetime.date(2021, 5, 1)})
    assert made.search_space.source == "2021-05-01"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("data", "others"), ("space", {**SPACE, "reducers": ["none"]}), ("search", "random"),
        ("metric", "kappa"), ("folds", 3),
        ("repeats", 2), ("seed", 1), ("reduction_factor", 2), ("rungs", 2), ("mask", "m.tif"),
        ("trial_time_limit_s", 5.0), ("trial_memory_limit_gb", 1.5), ("helping", "h"),
    ],
)  # fmt: skip
def test_what_makes_another_sweep(name: str, value: object) -> None:
    difference = spec_of(**{name: value}).difference(spec_of())
    assert difference is not None
    assert f"its {name} is" in difference


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trials", 500), ("time_budget_s", 5.0), ("cpus", 1), ("address", "auto"), ("features", "blocks"),
        ("test_top", 3), ("reruns", 5), ("skip_bad", True), ("allow_outside", True), ("target", "t"),
    ],
)  # fmt: skip
def test_what_may_change_when_a_sweep_goes_on(name: str, value: object) -> None:
    assert spec_of(**{name: value}).difference(spec_of()) is None


def test_a_difference_says_both_values() -> None:
    assert spec_of(seed=2).difference(spec_of(seed=1)) == "its seed is 1, not 2"


def test_the_same_frames_by_a_link_are_the_same_sweep(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "frames")
    by_link = spec_of(data=str(tmp_path / "link"))
    assert by_link.data == str(tmp_path / "link")
    assert by_link.difference(spec_of(data=str(tmp_path / "frames"))) is None


# --------------------------------------------------------------------------- YAML


@given(_plain)
def test_what_is_written_is_read_again(value: object) -> None:
    assert parse_yaml(to_yaml(value)) == value


@pytest.mark.parametrize(
    ("text", "number"), [("1e3", 1000), ("1e-3", 0.001), ("-2.5E4", -25000), (".5e1", 5)]
)
def test_numbers_as_people_write_them(text: str, number: float) -> None:
    assert parse_yaml(f"x: {text}") == {"x": number}


def test_merged_keys_are_no_repetition() -> None:
    assert parse_yaml("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}") == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 3, "y": 2},
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: 1\nb: 2\na: 3", "line 3, column 1: not valid YAML: 'a' twice"),
        (b"a: {b: 1, b: 2}", "line 1, column 11: not valid YAML: 'b' twice"),
        (b"a: [1", "line 1"),
        (b"a:\n\tb: 1", "line 2, column 1"),
        (b"a: \xff", "not a text file in UTF-8 (byte 4)"),
        (b"a: 2020-99-99", "not valid YAML"),
        (b"a: !!python/object:os.system x", "could not determine a constructor"),
        (b"[" * 500, "not valid YAML"),
    ],
)
def test_bad_yaml_is_told_in_one_line_with_the_place(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"\A[^\n]*\Z") as raised:
        read_yaml(path)
    assert str(path) in str(raised.value)
    assert said in str(raised.value)
