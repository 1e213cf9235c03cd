"""The spec of a sweep: what it may say, how it is written and read, what makes another sweep of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sweeper.runs.folder import RunFolder
from sweeper.runs.spec import SweepSpec, load_spec, parse_duration
from sweeper.yamlfile import parse_yaml, read_yaml
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


def spec_of(**changes: object) -> SweepSpec:
    return dataclasses.replace(SweepSpec(data="frames", space="quick"), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("data", ["x"], ["", " ", None, 5]),
        ("space", ["x", {"name": "x"}], ["", None, ["x"]]),
        ("search", ["bohb", "hyperband", "asha", "random", "grid"], ["", "BOHB", None]),
        ("metric", ["accuracy", "kappa", "auc_ovr"], ["", "acc", None]),
        ("trials", [1, 10**6, None], [0, -1, 1.0, True, "5"]),
        ("folds", [2, 100], [1, 0, None, 2.0]),
        ("repeats", [1, 10], [0, 11, None]),
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
        ("skip_bad", [True, False], [None, 1, "yes"]),
        ("allow_outside", [True, False], [None, 0]),
        ("address", [None, "auto"], ["", 5]),
        ("mask", [None, "m.tif"], ["", 5]),
        ("features", [None, "folder"], ["", 5]),
        ("representation_share", [None, 0.5, 0.01], [0, 1, -0.5, 1.5, True, "half"]),
        ("weights", [None, "folder"], ["", 5]),
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


def test_a_spec_file_says_the_same_as_settings(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(
        "data: frames\nspace: quick\nsearch: hyperband\ntrials: 7\ntime_budget: 1.5h\n"
        "trial_time_limit: 90s\nmetric: kappa\nfolds: 3\nskip_bad: true\nmask: masks/m.tif\n"
    )
    assert load_spec(path) == SweepSpec(
        data=str(tmp_path / "frames"),
        space="quick",
        search="hyperband",
        trials=7,
        time_budget_s=5400,
        trial_time_limit_s=90,
        metric="kappa",
        folds=3,
        skip_bad=True,
        mask=str(tmp_path / "masks" / "m.tif"),
    )


def test_paths_of_a_spec_are_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "mine.yaml").write_text(TINY_SPACE)
    (tmp_path / "study" / "spec.yaml").write_text("data: /frames\nspace: mine.yaml\nfeatures: ../blocks\n")
    monkeypatch.chdir(tmp_path)
    spec = load_spec(Path("study/spec.yaml"))
    assert spec.data == "/frames"
    assert spec.load_space().name == "tiny"
    assert spec.resolved()["features"] == str(tmp_path / "blocks")


def test_an_empty_setting_of_time_is_none(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("data: frames\nspace: quick\ntime_budget:\n")
    assert load_spec(path).time_budget_s is None


@pytest.mark.parametrize("space", ["quick", "diffranet", yaml.safe_load(TINY_SPACE)])
def test_what_a_run_folder_keeps_is_the_same_sweep(space: object, tmp_path: Path) -> None:
    spec = spec_of(data=str(tmp_path / "frames"), space=space, seed=5, time_budget_s=1.5)
    folder = RunFolder(tmp_path / "run")
    folder.claim(spec)
    kept = folder.load_spec()
    assert spec.difference(kept) is None
    assert kept.resolved() == spec.resolved()
    assert kept.load_space().size == spec.load_space().size


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("data", "others"), ("space", "diffranet"), ("search", "random"), ("metric", "kappa"), ("folds", 3),
        ("repeats", 2), ("seed", 1), ("reduction_factor", 2), ("rungs", 2), ("mask", "m.tif"),
        ("trial_time_limit_s", 5.0), ("trial_memory_limit_gb", 1.5),
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
        ("test_top", 3), ("reruns", 5), ("skip_bad", True), ("allow_outside", True),
    ],
)  # fmt: skip
def test_what_may_change_when_a_sweep_goes_on(name: str, value: object) -> None:
    assert spec_of(**{name: value}).difference(spec_of()) is None


def test_a_difference_says_both_values() -> None:
    assert spec_of(seed=2).difference(spec_of(seed=1)) == "its seed is 1, not 2"


# --------------------------------------------------------------------------- YAML


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text("abc é#:-_1e", max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abxyz", min_size=1), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(_values)
def test_what_is_written_is_read_again(value: object) -> None:
    """Except text such as 1e3, which people mean as a number and the library writes bare."""

    def has_bare_number(v: object) -> bool:
        if isinstance(v, dict):
            return any(map(has_bare_number, [*v, *v.values()]))
        if isinstance(v, list):
            return any(map(has_bare_number, v))
        return isinstance(v, str) and "1e" in v

    if not has_bare_number(value):
        assert parse_yaml(yaml.safe_dump(value, allow_unicode=True)) == value


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
