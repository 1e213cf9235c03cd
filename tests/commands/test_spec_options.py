"""Options, help and documentation that are derived from the settings' declarations."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sweeper.cli import build_parser, main
from sweeper.commands.settings_page import page
from sweeper.commands.spec_options import OF_RAY_HERE, spec_of
from sweeper.runs.settings import GROUPS, Duration, Names, Switch
from sweeper.runs.spec import SETTINGS, make_spec
from tests.conftest import REPOSITORY

WRITTEN = {
    "search": "random", "trials": "7", "time_budget_s": "1.5h", "metric": "kappa", "folds": "3",
    "repeats": "2", "seed": "9", "reduction_factor": "2", "rungs": "4", "cpus": "2", "object_store_gb": "1.5",
    "address": "auto", "mask": "/m.tif", "trial_time_limit_s": "90s", "trial_memory_limit_gb": "2",
    "features": "/blocks", "representation_share": "0.5", "weights": "/w", "train_workers": "2",
    "train_cpus": "0.5", "train_gpus": "0", "test_top": "3", "reruns": "5", "log": "mlflow",
    "dataset": "/entry/*/data", "group_by": "file", "hold_out": "domain", "helping": "/others.csv",
    "target": "/tonight",
    "class_costs": "good=5,very strong=0.5",
    "warm_start": "/runs/first",
}  # fmt: skip
"""A value of each setting that has one, as it is written on the command line."""
VALUES = {
    **WRITTEN, "trials": 7, "time_budget_s": 5400.0, "folds": 3, "repeats": 2, "seed": 9,
    "reduction_factor": 2, "rungs": 4, "cpus": 2, "object_store_gb": 1.5, "trial_time_limit_s": 90.0,
    "trial_memory_limit_gb": 2.0, "representation_share": 0.5, "train_workers": 2, "train_cpus": 0.5,
    "train_gpus": 0.0, "test_top": 3, "reruns": 5, "log": ("mlflow",), "skip_bad": True,
    "allow_outside": True, "train_compile": True, "ignore_file_mask": True, "scan_grid": True,
    "drop_duplicates": True, "class_costs": {"good": 5.0, "very strong": 0.5},
}  # fmt: skip


def help_of(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    return capsys.readouterr().out


def test_every_setting_is_an_option_that_makes_the_spec() -> None:
    options = [text for name, value in WRITTEN.items() for text in (str(SETTINGS[name].option), value)]
    switches = [str(s.option) for s in SETTINGS.values() if isinstance(s.legal, Switch)]
    args = build_parser().parse_args(
        ["run", "/frames", "--space", "quick", "--out", "x", *options, *switches]
    )
    assert {"data", "space", *VALUES} == set(SETTINGS)
    assert spec_of(args) == make_spec("/frames", "quick", **VALUES)


def test_options_that_are_not_given_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("data: /frames\nspace: quick\nfolds: 3\ntime_budget: 5m\nskip_bad: true\nlog: [mlflow]\n")
    args = build_parser().parse_args(["plan", str(path), "--folds", "4"])
    given = {"time_budget_s": 300.0, "skip_bad": True, "log": ["mlflow"]}
    assert spec_of(args) == make_spec("/frames", "quick", folds=4, **given)


@pytest.mark.parametrize("command", ["plan", "run", "submit"])
def test_help_has_every_option_in_its_group_with_its_default(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "10000")
    text = re.sub(r"\n {10,}", " ", help_of(command, capsys))  # long options have their help in a line below
    sections = dict(re.findall(r"^(\w+):\n((?:  .*\n)+)", text, flags=re.MULTILINE))
    assert [name for name in sections if name in GROUPS] == list(GROUPS)
    for name, declared in SETTINGS.items():
        if declared.option is None or (command == "submit" and name in OF_RAY_HERE and name != "address"):
            continue
        (line,) = re.findall(rf"^  {declared.option} .*$", text, flags=re.MULTILINE)
        assert line in sections[declared.group]
        if name == "address" and command == "submit":
            continue  # the dashboard's, which is another
        assert declared.help in line
        if not declared.required:
            assert line.endswith(f"(default: {declared.default_text})")
        if not isinstance(declared.legal, Switch):
            assert f"{declared.option} {declared.metavar} " in line


def test_times_and_lists_are_written_as_in_the_help() -> None:
    assert {s.key for s in SETTINGS.values() if isinstance(s.legal, Duration)} == {
        "time_budget",
        "trial_time_limit",
    }
    assert [s.name for s in SETTINGS.values() if isinstance(s.legal, Names)] == ["log"]


def test_the_page_of_settings_is_current() -> None:
    written = (REPOSITORY / "docs" / "settings.md").read_text(encoding="utf-8")
    assert written == page(), "docs/settings.md is not current: run make docs"


@pytest.mark.parametrize(
    "command",
    [
        "plan frames --space quick",
        "run frames --space quick --out run",
        "submit /frames --space quick --out /run",
        "list featurizers",
        "leaderboard run",
        "report run",
        "explain run frames --out pictures",
        "similar run frame.tif",
    ],
)
def test_folders_of_plugins_come_first(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is not there is told before anything else that is wrong with these commands."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    assert main([*command.split(), "--plugins", "mine", "--plugins", "others"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("sweeper: --plugins others: ")
    assert err.count("\n") == 1


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert re.fullmatch(r"sweeper \d+\.\d+\.\d+\n", capsys.readouterr().out)
