"""The command line on good input: help, lists, plans, a small sweep and all that reads its folder."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.table import Table

from sweeper.cli import build_parser, main
from sweeper.runs.tables import render
from tests.conftest import REPOSITORY, TINY_SPACE

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
Say = Callable[..., str]
Sweep = tuple[Path, "subprocess.CompletedProcess[str]"]

COLUMNS = """
rank, trial, featurizer, featurizer_params, training_set, reducer, classifier, classifier_params, budget,
folds, accuracy, accuracy_std, accuracy_ci_low, accuracy_ci_high, recall_macro, recall_macro_std,
precision_weighted, precision_weighted_std, f1_macro, f1_macro_std, kappa, kappa_std, mcc, mcc_std, auc_ovr,
auc_ovr_std, log_loss, brier, ece, p_vs_best, test_accuracy, featurize_ms_per_frame, fit_s,
predict_ms_per_frame, status, error
"""


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a command that starts no sweep in this process; returns what it prints."""

    def run(*arguments: object) -> str:
        assert main([str(argument) for argument in arguments]) == 0, capsys.readouterr().err
        out, err = capsys.readouterr()
        assert err == ""
        return out

    return run


# --------------------------------------------------------------------------- without a sweep

COMMANDS = ["", "simulate", "simulate diffraction", "simulate scattering", "plan", "run", "submit", "stop"]
COMMANDS += ["status", "leaderboard", "curves", "labels", "report", "log", "export", "card", "sort"]
COMMANDS += ["explain", "similar", "list", "check-plugin", "completion"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "--help"])
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"usage: sweeper {command}".strip() in text
    assert re.search(rf"(Example|Start with): ([A-Z_]+=\S+ )?sweeper {command or 'simulate'} ?\S+", text)


def test_help_of_every_command_is_tested(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = re.findall(r"^    ([a-z-]+)(?:  |$)", capsys.readouterr().out, flags=re.MULTILINE)
    assert listed == [c for c in COMMANDS if c and " " not in c]


def test_examples_are_commands_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    """The example of each command is taken by its own parser."""
    for command in COMMANDS[1:]:
        with pytest.raises(SystemExit):
            main([*command.split(), "--help"])
        _, _, example = " ".join(capsys.readouterr().out.split()).rpartition("Example: ")
        assert build_parser().parse_args(example.partition("sweeper ")[2].split()).run


def test_plan_counts_the_grid_and_writes_nothing(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    for name in ("blank", "no-crystal", "weak", "good", "strong"):
        (tmp_path / "frames" / name).mkdir(parents=True)
        for i in range(5):
            np.save(tmp_path / "frames" / name / f"{i}.npy", rng.poisson(20, size=(32, 32)).astype(np.uint16))
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    text = say("plan", "frames", "--space", "diffranet", "--reruns", 2)
    assert sorted(tmp_path.rglob("*")) == before
    for line in (
        "25 frames, 5 classes: blank 5, good 5, no-crystal 5, strong 5, weak 5",
        "grid of space diffranet: 523,800 pipelines",
        "featurizer glcm: 31 distance x 15 angle_deg = 465",
        "featurizer lbp: 4 points x 3 radius = 12",
        "featurizers: 465 + 12 + 8 = 485",
        "classifiers: 420 + 660 = 1,080",
        "1 x 485 x 1 x 1,080 = 523,800",
        "glcm: 20 blocks for 465 representations",
        "lbp: 12 blocks for 12 representations",
        "search bohb: 60 trials, 5 folds",
        "after it, the best on the test split and with other seeds: at most 30 full fits",
    ):
        assert line in text, line


def test_plan_in_json_has_the_numbers(say: Say, textures: Path, tmp_path: Path) -> None:
    command = ("plan", textures, "--space", "quick", "--trials", 4, "--folds", 3, "--cpus", 2)
    found = json.loads(say(*command, "--json"))
    assert (found["frames"], found["classes"]) == (36, {"coarse": 12, "fine": 12, "medium": 12})
    assert found["cpus"] == 2
    assert found["grid"]["pipelines"] == 15164
    glcm, lbp, _ = found["grid"]["slots"]["featurizer"]
    assert glcm == {"name": "glcm", "size": 15, "parameters": {"distance": 15}}
    assert lbp["parameters"] == {"points": 2, "radius": 3}
    assert [f["blocks"] for f in found["features"]["featurizers"]] == [16, 6, 1]
    assert found["features"]["cpu_s"] > 0
    assert found["networks"]["networks"] == []
    assert (found["search"]["trials"], found["search"]["folds"]) == (4, 3)
    assert found["search"]["closing_fits"] == 0
    endless = tmp_path / "endless.yaml"
    endless.write_text(TINY_SPACE.replace("[1, 8, 32]", "{low: 1, high: 32}"))
    found = json.loads(say("plan", textures, "--space", endless, "--trials", 4, "--json"))
    assert found["grid"]["pipelines"] is None


def test_simulated_frames_are_there_and_the_second_time_at_once(say: Say, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    command = ("simulate", "diffraction", folder, "--per-class", 1, "--size", 64, "--seed", 3)
    assert "5 frames of 64 x 64" in say(*command)
    files = {p: p.stat().st_mtime_ns for p in folder.rglob("*.tif")}
    assert len(files) == 5
    say(*command)
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*.tif")} == files


@pytest.mark.parametrize("arguments", [["list", "featurizers"], ["list", "spaces"]])
def test_a_reader_that_has_enough_is_no_error(arguments: list[str]) -> None:
    """As `sweeper list featurizers | head` does: the pipe is closed before anything is written."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sweeper", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=REPOSITORY,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(timeout=30) == 0


def test_a_terminal_without_unicode_gets_the_text_all_the_same(
    run_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    monkeypatch.setenv("PYTHONUTF8", "0")
    done = run_cli("list", "featurizers")  # one of the authors has an umlaut
    assert done.returncode == 0, done.stderr
    assert "Pietik\\xe4inen" in done.stdout


# --------------------------------------------------------------------------- a sweep


def summary(done: subprocess.CompletedProcess[str]) -> tuple[int, int, int, int]:
    """Evaluations computed and known, blocks computed and reused, as the last lines say."""
    pattern = r"(\d+) evaluations computed, (\d+) from the journal; (\d+) blocks computed, (\d+) reused"
    found = re.search(pattern, done.stdout)
    assert found is not None, done.stdout + done.stderr
    return int(found[1]), int(found[2]), int(found[3]), int(found[4])


@pytest.fixture(scope="module")
def sweep(run_cli: Cli, textures: Path, tiny_space: Path, tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """A finished sweep: its folder, read only, and what was printed."""
    run = tmp_path_factory.mktemp("sweep") / "run"
    done = run_cli(
        "run", textures, "--space", tiny_space, "--search", "bohb", "--trials", 9, "--folds", 2, "--seed", 4,
        "--out", run,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return run, done


def test_a_sweep_says_what_it_did_and_what_comes_next(
    sweep: Sweep,
) -> None:
    run, done = sweep
    computed, known, blocks, reused = summary(done)
    assert computed > 9
    assert (known, blocks, reused) == (0, 5, 0)  # GLCM at 2 x 2, and the histogram
    assert f"leaderboard: {run / 'leaderboard.csv'}" in done.stdout
    assert f"next: sweeper leaderboard {run} --best-per featurizer" in done.stdout
    assert "search bohb over tiny" in done.stderr
    assert {p.name for p in run.iterdir()} >= {
        "sweep.yaml", "environment.json", "journal.jsonl", "features", "leaderboard.csv",
    }  # fmt: skip


def test_the_leaderboard_has_the_columns_of_the_design(
    sweep: Sweep,
) -> None:
    with (sweep[0] / "leaderboard.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == COLUMNS.replace("\n", " ").strip().replace(",  ", ", ").split(", ")
    assert [row[0] for row in rows] == [str(i + 1) for i in range(len(rows))]
    assert len([row for row in rows if row[header.index("featurizer")] != "ensemble"]) == 9
    statuses = [row[header.index("status")] for row in rows]
    assert statuses[0] == "done"
    assert statuses == sorted(statuses)  # done before stopped


def test_status(say: Say, sweep: Sweep, textures: Path) -> None:
    run, done = sweep
    text = say("status", run)
    for part in (
        f"{run}: not running",
        f"data: {textures}",
        "search: bohb over tiny, seed 4, 2 folds",
        "trials: 9 of 9",
        f"evaluations: {summary(done)[0]} done, 0 failed",
        "best: accuracy ",
        "time: cannot tell whether it was enough; ",
    ):
        assert part in text
    assert "\ntime: cannot tell whether it was enough; " in done.stdout


def test_status_in_json(say: Say, sweep: Sweep, textures: Path) -> None:
    run, done = sweep
    found = json.loads(say("status", run, "--json"))
    best = found.pop("best")
    features = found.pop("features")
    advice = found.pop("advice")
    assert found == {
        "run": str(run), "running": False, "holder": None, "data": str(textures), "search": "bohb",
        "space": "tiny", "metric": "accuracy", "seed": 4, "folds": 2, "repeats": 1, "trials": 9,
        "trials_limit": 9, "evaluations_done": summary(done)[0], "evaluations_failed": 0,
    }  # fmt: skip
    board = pd.read_csv(run / "leaderboard.csv")
    first = board[board.featurizer != "ensemble"].iloc[0]
    assert best == {
        "trial": first.trial, "score": pytest.approx(first.accuracy), "featurizer": first.featurizer,
        "classifier": first.classifier,
    }  # fmt: skip
    assert advice["course"][-1]["trial"] == first.trial
    assert advice["course"][-1]["score"] == best["score"]
    assert advice["time"] == "cannot tell"
    assert {part["slot"] for part in advice["parts"]} == {"featurizer", "classifier"}
    assert features["folder"] == str(run / "features")
    assert features["files"] > 0
    assert features["bytes"] == sum(f.stat().st_size for f in (run / "features").glob("*.parquet"))


def test_leaderboard_in_json_is_the_csv(say: Say, sweep: Sweep, tmp_path: Path) -> None:
    run = sweep[0]
    rows = json.loads(say("leaderboard", run, "--json"))
    board = pd.read_csv(run / "leaderboard.csv", keep_default_na=False, na_values=[""])
    assert [list(row) for row in rows] == [list(board.columns)] * len(board)
    for row, (_, expected) in zip(rows, board.iterrows(), strict=True):
        for name, value in row.items():
            if name.endswith("_params"):
                assert value == json.loads(expected[name])
            elif value is None or value == "":
                assert pd.isna(expected[name])
            else:
                assert value == expected[name]
    csv_too = say("leaderboard", run, "--top", 2, "--json", "--csv", tmp_path / "two.csv")
    assert len(json.loads(csv_too)) == len(pd.read_csv(tmp_path / "two.csv")) == 2


@pytest.mark.parametrize("width", [70, 100, 200])
def test_tables_are_as_wide_as_columns_says(
    width: int, say: Say, sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = say("leaderboard", sweep[0]).splitlines()
    assert max(map(len, lines)) <= width
    assert ("95% interval" in "".join(lines)) == (width == 200)


def test_leaderboard_as_a_table_and_as_csv(
    say: Say, sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, done = sweep
    monkeypatch.setenv("COLUMNS", "160")
    text = say("leaderboard", run, "--csv", tmp_path / "board.csv")
    rows = f"{len(pd.read_csv(run / 'leaderboard.csv'))} rows in"
    assert f"{rows} {tmp_path / 'board.csv'}" in text
    assert (tmp_path / "board.csv").read_bytes() == (run / "leaderboard.csv").read_bytes()
    assert text.partition(f"\n\n{rows}")[0].strip() in done.stdout.strip()  # what `run` showed at its end


def rows_of(say: Say, run: Path, tmp_path: Path, *options: object) -> pd.DataFrame:
    say("leaderboard", run, "--csv", tmp_path / "some.csv", *options)
    return pd.read_csv(tmp_path / "some.csv")


def test_leaderboard_of_the_best(say: Say, sweep: Sweep, tmp_path: Path) -> None:
    run = sweep[0]
    board = pd.read_csv(run / "leaderboard.csv")
    top = rows_of(say, run, tmp_path, "--top", 3)
    pd.testing.assert_frame_equal(top, board.head(3))
    assert len(rows_of(say, run, tmp_path, "--top", 1000)) == len(board)
    for what, columns in (
        ("featurizer", ["featurizer"]),
        ("classifier", ["classifier"]),
        ("representation", ["featurizer", "featurizer_params"]),
    ):
        best = rows_of(say, run, tmp_path, "--best-per", what)
        expected = board.groupby(columns, dropna=False)["rank"].min().sort_values().tolist()
        assert best["rank"].tolist() == expected
    pareto = rows_of(say, run, tmp_path, "--pareto")
    done = board[board.status == "done"]
    latency = done.featurize_ms_per_frame + done.predict_ms_per_frame
    expected = [
        rank
        for rank, score, ms in zip(done["rank"], done.accuracy, latency, strict=True)
        if not ((done.accuracy >= score) & (latency <= ms) & ((done.accuracy > score) | (latency < ms))).any()
    ]
    assert pareto["rank"].tolist() == expected


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--best-per", "featuriser"], "--best-per: invalid choice: 'featuriser'"),
        (["--top", "0"], "--top: must be a whole number of at least 1, got '0'"),
        (["--top", "some"], "got 'some'"),
        (["--csv", "/proc/no/board.csv"], "--csv /proc/no/board.csv: its folder must exist"),
        (["--csv", ""], "must be a path"),
        (["--best", "featurizer", "--folds", "3"], "unknown option '--folds'"),
    ],
)
def test_leaderboard_with_wrong_choices(
    options: list[str],
    said: str,
    sweep: Sweep,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["leaderboard", str(sweep[0]), *options]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_reducer_shows_its_parameters() -> None:
    """Brackets are text, not the markup of the library that draws the table."""
    table = Table()
    table.add_column("reducer")
    table.add_row("pca[components=5] :smile: [bold]")
    assert "pca[components=5] :smile: [bold]" in render(table)


def test_the_same_command_from_a_file_computes_nothing(
    run_here: Cli,
    sweep: Sweep,
    textures: Path,
    tiny_space: Path,
    tmp_path: Path,
) -> None:
    """The spec is the command that the sweep was started with: the folder takes it as its own."""
    run = tmp_path / "run"
    shutil.copytree(sweep[0], run)
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        f"data: {textures}\nspace: {tiny_space}\nsearch: bohb\ntrials: 9\nfolds: 2\nseed: 4\n",
        encoding="utf-8",
    )
    done = run_here("run", spec, "--out", run)
    assert done.returncode == 0, done.stderr
    assert summary(done) == (0, summary(sweep[1])[0], 0, 5)
    assert (run / "leaderboard.csv").read_bytes() == (sweep[0] / "leaderboard.csv").read_bytes()
    assert (run / "journal.jsonl").read_bytes() == (sweep[0] / "journal.jsonl").read_bytes()


def test_more_trials_in_the_same_folder_go_on_from_python(
    sweep: Sweep, textures: Path, tiny_space: Path, tmp_path: Path
) -> None:
    """`sweeper.run` says the same as the command, and returns the leaderboard."""
    run = tmp_path / "run"
    shutil.copytree(sweep[0], run)
    code = (
        "import sweeper\n"
        f"board = sweeper.run({str(textures)!r}, space={str(tiny_space)!r}, out={str(run)!r},"
        " trials=12, folds=2, seed=4)\n"
        "print(type(board).__module__.partition('.')[0], type(board).__name__, board.status[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=240, cwd=REPOSITORY
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["pandas", "DataFrame", "done"]
    before = (sweep[0] / "journal.jsonl").read_bytes()
    after = (run / "journal.jsonl").read_bytes()
    assert after.startswith(before)  # nothing is computed twice, nothing is taken back
    assert (pd.read_csv(run / "leaderboard.csv").featurizer != "ensemble").sum() == 12


def test_another_sweep_shares_the_blocks_but_not_the_folder(
    run_here: Cli,
    sweep: Sweep,
    textures: Path,
    tiny_space: Path,
    tmp_path: Path,
) -> None:
    command = ["run", textures, "--space", tiny_space, "--trials", 3, "--folds", 2, "--seed", 5]
    refused = run_here(*command, "--out", sweep[0])
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert f"--out {sweep[0]}: holds another sweep (its seed is 4, not 5)" in refused.stderr
    done = run_here(*command, "--out", tmp_path / "run", "--features", sweep[0] / "features")
    assert done.returncode == 0, done.stderr
    computed, known, blocks, reused = summary(done)
    assert computed > 3
    assert (known, blocks) == (0, 0)
    assert reused == 5
    assert not (tmp_path / "run" / "features").exists()
