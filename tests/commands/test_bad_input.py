"""Bad input: exit status 2, one line that names file or parameter, rule and value, nothing computed."""

from __future__ import annotations

import csv
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sweeper.cli import main
from tests.conftest import TINY_SPACE, write_textures

Refused = Callable[..., str]
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def one_line(status: int, out: str, err: str) -> str:
    """The message, once it is what every message has to be."""
    assert status == 2, err
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("sweeper: ")
    return lines[0]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Run a command that has to be refused before Ray starts; returns what it says."""

    def started(*arguments: object, **options: object) -> None:
        raise AssertionError("compute was spent on bad input")

    monkeypatch.setattr("sweeper.engine.sweep.connected", started)

    def run(*arguments: object) -> str:
        status = main([str(argument) for argument in arguments])
        return one_line(status, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3 x 6 frames that may be copied, not changed."""
    return write_textures(tmp_path_factory.mktemp("bad") / "frames", per_class=6, size=32)


@pytest.fixture
def data(frames: Path, tmp_path: Path) -> Path:
    """The same to be spoiled."""
    return Path(shutil.copytree(frames, tmp_path / "data"))


def assert_all_in(message: str, *parts: object) -> None:
    for part in parts:
        assert str(part) in message, f"{part!r} is missing in: {message}"


# --------------------------------------------------------------------------- the command itself


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], ["COMMAND"]),
        (["rnu"], ["'rnu'", "'run'"]),
        (["run"], ["DATA", "--out"]),
        (["run", "frames", "--space", "quick"], ["--out"]),
        (["run", "frames", "--out", "run"], ["--space is required"]),
        (["run", "frames", "--space", "quick", "--out", ""], ["--out", "must be a path", "''"]),
        (["run", "", "--space", "quick", "--out", "run"], ["data must be a path", "''"]),
        (
            ["run", "frames", "--trails", "5", "--space", "quick", "--out", "run"],
            ["'--trails'", "'--trials'"],
        ),
        (["run", "frames", "more", "--space", "quick", "--out", "run"], ["unexpected", "'more'"]),
        (["run", "frames", "--space", "quick", "--out", "run", "--top", "0"], ["--top", "at least 1", "'0'"]),
        (["list", "featurisers"], ["'featurisers'", "'featurizers'"]),
        (["simulate", "difraction", "frames"], ["'difraction'", "'diffraction'"]),
        (["simulate", "diffraction", "frames", "--per-class", "0"], ["per-class", "at least 1", "0"]),
        (["simulate", "diffraction", "frames", "--size", "9"], ["size", "64 to 4096", "9"]),
        (["simulate", "diffraction", "/proc/frames", "--size", "64"], ["/proc/frames: not writable"]),
    ],
)
def test_wrong_command(
    arguments: list[str],
    said: list[str],
    refused: Refused,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_all_in(refused(*arguments), *said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--trials", "0", "trials must be a whole number of at least 1, got 0"),
        ("--trials", "-3", "trials must be a whole number of at least 1, got -3"),
        ("--trials", "many", "--trials: invalid int value: 'many'"),
        ("--folds", "0", "folds must be a whole number of at least 2, got 0"),
        ("--folds", "1", "folds must be a whole number of at least 2, got 1"),
        ("--folds", "7", "class coarse has 6, folds is 7"),
        ("--repeats", "0", "repeats must be a whole number from 1 to 10, got 0"),
        ("--repeats", "11", "repeats must be a whole number from 1 to 10, got 11"),
        ("--cpus", "0", "cpus must be a whole number from 1 to 4096, got 0"),
        ("--seed", "-1", "seed must be a whole number of at least 0, got -1"),
        ("--rungs", "0", "rungs must be a whole number from 1 to 8, got 0"),
        ("--reduction-factor", "1", "reduction_factor must be a whole number from 2 to 10, got 1"),
        ("--test-top", "-1", "test_top must be a whole number of at least 0, got -1"),
        ("--time-budget", "0", "--time-budget must be a time above zero"),
        ("--time-budget", "0.0s", "such as 90s, 10m or 1.5h, got '0.0s'"),
        ("--time-budget", "", "got ''"),
        ("--time-budget", "10 minutes", "got '10 minutes'"),
        ("--time-budget", "10M", "got '10M'"),
        ("--time-budget", "inf", "got 'inf'"),
        ("--time-budget", "1" + "0" * 400, "below three years"),
        ("--trial-time-limit", "0", "--trial-time-limit must be a time above zero"),
        ("--trial-time-limit", "soon", "got 'soon'"),
        ("--trial-memory-limit-gb", "0", "trial_memory_limit_gb must be a number above zero"),
        ("--trial-memory-limit-gb", "nan", "got nan"),
        ("--trial-memory-limit-gb", "inf", "got inf"),
        ("--search", "bhob", "unknown search 'bhob'; did you mean 'bohb'?"),
        ("--metric", "acuracy", "unknown metric 'acuracy'; did you mean 'accuracy'?"),
        ("--mask", "/no/such/mask.tif", "/no/such/mask.tif: no such file"),
        ("--mask", "", "mask must be a path, got ''"),
        ("--class-costs", "fine=0", "class_costs must be classes with numbers above zero, such as good=5"),
        ("--class-costs", "fine", "got 'fine'"),
        ("--class-costs", "=3", "got '=3'"),
        ("--class-costs", "fine=2,fien=3", "class costs: unknown class 'fien'; did you mean 'fine'?"),
        ("--address", "", "address must be text that is not empty, got ''"),
        ("--features", "/proc/features", "--features /proc/features: not writable"),
    ],
)
def test_wrong_setting(
    option: str, value: str, said: str, refused: Refused, frames: Path, tiny_space: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert said in refused("run", frames, "--space", tiny_space, "--out", run, option, value)
    assert not list(tmp_path.rglob("*.*"))


# --------------------------------------------------------------------------- data


def test_no_such_data(refused: Refused, tmp_path: Path) -> None:
    missing = tmp_path / "frmaes"
    message = refused("run", missing, "--space", "quick", "--out", tmp_path / "run")
    assert_all_in(message, missing, "there is no such file")
    assert_all_in(refused("plan", missing, "--space", "quick"), missing, "there is no such file")


def test_empty_folder(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    message = refused("run", tmp_path / "data", "--space", "quick", "--out", tmp_path / "run")
    assert_all_in(message, tmp_path / "data", "folder of class folders", "found no class folder")


def test_frames_without_class_folders(refused: Refused, frames: Path, tmp_path: Path) -> None:
    message = refused("run", frames / "fine", "--space", "quick", "--out", tmp_path / "run")
    assert_all_in(message, frames / "fine", "found 6 frame files but no class folder")


def test_empty_class_folder(refused: Refused, data: Path, tmp_path: Path) -> None:
    (data / "new").mkdir()
    message = refused("run", data, "--space", "quick", "--out", tmp_path / "run")
    assert_all_in(message, data / "new", "must hold frames")


def test_one_class(refused: Refused, data: Path, tmp_path: Path) -> None:
    shutil.rmtree(data / "coarse")
    shutil.rmtree(data / "medium")
    message = refused("run", data, "--space", "quick", "--out", tmp_path / "run")
    assert_all_in(message, data, "at least two classes", "'fine' alone")


def test_a_class_with_fewer_frames_than_folds(refused: Refused, data: Path, tmp_path: Path) -> None:
    for path in sorted((data / "fine").iterdir())[2:]:
        path.unlink()
    message = refused("run", data, "--space", "quick", "--folds", 3, "--out", tmp_path / "run")
    assert_all_in(message, "class fine has 2", "folds is 3")


@pytest.mark.parametrize("name", ["frames.txt", "frames.tif", "frames"])
def test_a_file_of_no_known_type(name: str, refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("hello")
    message = refused("run", path, "--space", "quick", "--out", tmp_path / "run")
    assert_all_in(message, path, "must be a folder or a .csv or .parquet manifest", repr(path.suffix))


ROWS = "".join(f"{c}/{i:03}.tif,{c}\n" for c in ("coarse", "fine", "medium") for i in range(6))
MANIFEST = "path,label\n" + ROWS


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", ["cannot be read"]),
        ("path,label\n", ["must have rows"]),
        ("path,lable\n" + ROWS, ["must have a column 'label'", "path, lable"]),
        (
            MANIFEST.replace(",", ";"),
            ["line 1 must have its columns separated by commas, not by ';'", "path;label"],
        ),
        (MANIFEST + "fine/000.tif,fine\n", ["every frame must be named once", "fine/000.tif#0"]),
        (MANIFEST + "../other/1.tif,fine\n", ["must stay inside the manifest's folder", "../other/1.tif"]),
        (MANIFEST + "/etc/1.tif,fine\n", ["must stay inside the manifest's folder", "/etc/1.tif"]),
        (MANIFEST + "fine/7.tif,fine\nfine/8.tif,fine\n", ["2 are not", "fine/7.tif (no such", "fine/8.tif"]),
        (MANIFEST + "a,b,c\n", ["cannot be read: line 20 must have 2 fields", "it has 3"]),
        (MANIFEST.replace("000.tif,fine", "000.tif,"), ["label must be given in every row", "row 7"]),
        (
            MANIFEST.encode() + b"fine/\xff.tif,fine\n",
            ["cannot be read: line 20", "0xff, which is not UTF-8"],
        ),
        (MANIFEST.encode("utf-16"), ["cannot be read: line 1", "UTF-16"]),
        (MANIFEST.replace("\n", ",tarin\n").replace("label,tarin", "label,split"), ["split must", "'tarin'"]),
        (MANIFEST.replace("\n", ",-1\n").replace("label,-1", "label,frame"), ["frame must be", "'-1'"]),
        (MANIFEST.replace("\n", ",no.tif\n").replace("label,no.tif", "label,mask"), ["mask must", "no.tif"]),
    ],
)
def test_wrong_manifest(
    content: str | bytes, said: list[str], refused: Refused, data: Path, tmp_path: Path
) -> None:
    manifest = data / "manifest.csv"
    manifest.write_bytes(content.encode() if isinstance(content, str) else content)
    message = refused("run", manifest, "--space", "quick", "--folds", 2, "--out", tmp_path / "run")
    assert_all_in(message, manifest, *said)


def test_a_mask_of_another_shape(refused: Refused, frames: Path, tiny_space: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "mask.npy", np.zeros((10, 12), dtype=np.uint8))
    message = refused("plan", frames, "--space", tiny_space, "--mask", tmp_path / "mask.npy")
    assert_all_in(message, "coarse/000.tif", "mask must have the shape of the frame", "(32, 32)", "(10, 12)")


# --------------------------------------------------------------------------- spaces


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("glcm", "glmc", "unknown featurizer 'glmc'; did you mean 'glcm'?"),
        ("svm", "svn", "unknown classifier 'svn'; did you mean 'svm'?"),
        ("[standard]", "[standrad]", "unknown reducer 'standrad'; did you mean 'standard'?"),
        ("angle_deg", "angel_deg", "glcm: unknown parameter 'angel_deg'; did you mean 'angle_deg'?"),
        ("featurizers", "featurisers", "unknown key 'featurisers'; did you mean 'featurizers'?"),
        ("[1, 2]", "[1, 99]", "glcm: distance must be a whole number from 1 to 10, got 99"),
        ("[[0, 90]]", "[[0, 91]]", "glcm: angle_deg must be one of 0, 45, 90, 135, got 91"),
        ("[9, 18]", "[true]", "rf: n_trees must be a whole number from 1 to 5000, got True"),
        ("[1, 8, 32]", "[.nan]", "svm: C must be a number from 1e-06 to 1e+06, got nan"),
        ("[1, 8, 32]", "[one]", "svm: C must be a number from 1e-06 to 1e+06, got 'one'"),
        ("[1, 8, 32]", "{low: 0, high: 1}", "svm: C must be a number from 1e-06 to 1e+06, got 0"),
        ("[1, 8, 32]", "{low: 8, high: 1}", "svm: C must have low < high, got"),
        ("[1, 8, 32]", "{low: 1, high: 8, log: ture}", "svm: C: log must be true or false, got 'ture'"),
        ("[standard]", "standard", "reducers must be names, or a mapping of names to parameters"),
        ("[standard]", "[{pca: {}}]", "reducers must be names, or a mapping of names to parameters"),
        ("[standard]", "[standard, standard]", "reducers must name each plugin once"),
        ("histogram:", "glcm:", "'glcm' twice"),
        ("[9, 18]", "[9, 18", "line 9, column"),
        ("name: tiny", "name: \xff", "not a text file in UTF-8"),
    ],
)
def test_wrong_space(old: str, new: str, said: str, refused: Refused, frames: Path, tmp_path: Path) -> None:
    assert old in TINY_SPACE
    space = tmp_path / "space.yaml"
    space.write_bytes(TINY_SPACE.replace(old, new, 1).encode("latin-1"))
    message = refused("run", frames, "--space", space, "--out", tmp_path / "run")
    assert_all_in(message, space, said)


def test_a_space_that_is_not_there(refused: Refused, frames: Path, tmp_path: Path) -> None:
    message = refused("run", frames, "--space", "difranet", "--out", tmp_path / "run")
    assert "unknown search space 'difranet'; did you mean 'diffranet'?" in message
    message = refused("run", frames, "--space", tmp_path / "mine.yaml", "--out", tmp_path / "run")
    assert_all_in(message, tmp_path / "mine.yaml", "no such file")


def test_grid_over_a_range(refused: Refused, frames: Path, tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(TINY_SPACE.replace("[1, 8, 32]", "{low: 1, high: 32, log: true}"))
    message = refused("run", frames, "--space", space, "--search", "grid", "--out", tmp_path / "run")
    assert_all_in(message, "search grid", "tiny", "a grid needs lists")


def test_class_weights_for_another_number_of_classes(refused: Refused, frames: Path, tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(TINY_SPACE.replace("gamma: [0, 0.1]", "class_weight: [[0.5, 0.5]]"))
    message = refused("run", frames, "--space", space, "--folds", 2, "--out", tmp_path / "run")
    assert_all_in(message, "svm: no class_weight is left", "needs 3 weights")


# --------------------------------------------------------------------------- specs


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "a spec is a mapping with at least data and space"),
        ("data: [frames", "not valid YAML"),
        ("space: quick", "data is missing"),
        ("data: frames", "space is missing"),
        ("data: frames\nspace: quick\ntrails: 5", "unknown key 'trails'; did you mean 'trials'?"),
        (
            "data: frames\nspace: quick\ntrials: many",
            "trials must be a whole number of at least 1, got 'many'",
        ),
        ("data: frames\nspace: quick\nfolds:", "folds must be a whole number of at least 2, got None"),
        ("data: frames\nspace: quick\nskip_bad: maybe", "skip_bad must be true or false, got 'maybe'"),
        ("data: 5\nspace: quick", "data must be a path, got 5"),
        ("data:\nspace: quick", "data must be a path, got None"),
        ("data: frames\nspace: [quick]", "space must be a name, a path or a mapping, got ['quick']"),
        ("data: frames\nspace: quick\nmask: 5", "mask must be a path, got 5"),
        ("data: frames\nspace: quick\ntime_budget: 0", "time_budget must be a time above zero"),
        ("data: frames\nspace: quick\ntime_budget_s: true", "time_budget_s must be a number above zero"),
        ("data: frames\nspace: quick\ntime_budget: 5m\ntime_budget_s: 5", "are the same setting"),
        ("data: frames\nspace: quick\nmetric: [kappa]", "unknown metric ['kappa']"),
        ("data: frames\nspace: quick\nclass_costs: {good: -1}", "class_costs must be classes with numbers"),
        ("data: frames\nspace: quick\nseed: 1\nseed: 2", "line 4, column 1: not valid YAML: 'seed' twice"),
    ],
)
def test_wrong_spec(content: str, said: str, refused: Refused, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(content)
    assert_all_in(refused("run", spec, "--out", tmp_path / "run"), spec, said)


def test_a_spec_that_is_not_there(refused: Refused, tmp_path: Path) -> None:
    message = refused("run", tmp_path / "spec.yaml", "--out", tmp_path / "run")
    assert_all_in(message, tmp_path / "spec.yaml", "No such file")


# --------------------------------------------------------------------------- run folders


def test_a_run_folder_that_cannot_be_written(
    refused: Refused, frames: Path, tiny_space: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "run", Path("/proc/run")):
        message = refused("run", frames, "--space", tiny_space, "--out", out)
        assert_all_in(message, f"--out {out}", "not writable")


def test_a_run_folder_that_holds_something_else(
    refused: Refused, frames: Path, tiny_space: Path, tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").write_text("")
    message = refused("run", frames, "--space", tiny_space, "--out", tmp_path)
    assert_all_in(message, f"--out {tmp_path}", "is not empty and holds no sweep")
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_run_folder_among_the_frames(refused: Refused, data: Path, tiny_space: Path) -> None:
    message = refused("run", data, "--space", tiny_space, "--out", data / "run")
    assert_all_in(message, f"--out {data / 'run'}", "must not be inside the data folder", data)
    assert not (data / "run").exists()


@pytest.mark.parametrize("command", ["status", "leaderboard"])
def test_reading_a_folder_without_a_sweep(command: str, refused: Refused, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        assert_all_in(refused(command, path), path, "no sweep here")
    (tmp_path / "sweep.yaml").write_text("a: [")
    assert_all_in(refused(command, tmp_path), tmp_path / "sweep.yaml", "not valid YAML")


# --------------------------------------------------------------------------- frames


def test_very_many_bad_files_are_listed_in_a_file(
    run_cli: Cli, data: Path, tiny_space: Path, tmp_path: Path
) -> None:
    names = [f"fine/bad {i:03}.tif" for i in range(300)]
    for name in names:
        (data / name).write_text("")
    run = tmp_path / "run"
    done = run_cli("run", data, "--space", tiny_space, "--out", run)
    assert done.returncode == 2
    message = done.stderr.strip().splitlines()[-1]
    assert_all_in(message, "300 are not", run / "bad_frames.csv", "bad 000.tif")
    assert len(message) < 10_000
    with (run / "bad_frames.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["frame", "reason"]
    assert [row[0] for row in rows[1:]] == names


def spoil(data: Path) -> dict[str, str]:
    """Add bad files, some of which show only when pixels are read; names and what is said of them."""
    import cv2

    fine, coarse, medium = data / "fine", data / "coarse", data / "medium"
    np.save(fine / "nan.npy", np.full((32, 32), np.nan, dtype=np.float32))
    np.save(coarse / "masked.npy", np.full((32, 32), 2**16 - 1, dtype=np.uint16))
    np.save(medium / "wide.npy", np.ones((32, 64), dtype=np.uint16))
    (coarse / "cut.tif").write_bytes((coarse / "001.tif").read_bytes()[:700])
    cv2.imwrite(str(medium / "photo.png"), np.full((32, 32, 3), (9, 90, 200), dtype=np.uint8))
    (fine / "note.tif").write_text("not an image")
    (coarse / "empty.tif").write_bytes(b"")
    (medium / "broken.h5").write_bytes(b"HDF")
    return {
        "fine/note.tif": "not a TIFF file",
        "coarse/empty.tif": "empty",
        "medium/broken.h5": "",
        "fine/nan.npy": "no valid pixel",
        "coarse/masked.npy": "no valid pixel",
        "medium/wide.npy": "shape of the frame",
        "coarse/cut.tif": "truncated",
        "medium/photo.png": "colour",
    }


def test_bad_frames_stop_a_sweep_or_are_left_out(
    run_cli: Cli, data: Path, tiny_space: Path, tmp_path: Path
) -> None:
    bad = spoil(data)
    np.save(tmp_path / "mask.npy", np.eye(32, dtype=np.uint8))
    run = tmp_path / "run"
    command = ["run", data, "--space", tiny_space, "--mask", tmp_path / "mask.npy", "--folds", 2]
    command += ["--trials", 3, "--out", run]
    first = run_cli(*command)
    message = one_line(first.returncode, first.stdout, first.stderr.splitlines()[-1])
    assert "Traceback" not in first.stderr
    listed = message.split("leaves them out): ")[1].split("; ")
    reasons = dict(part.removesuffix(")").split(" (", 1) for part in listed)
    assert set(reasons) == set(bad)
    for name, reason in bad.items():
        assert reason in reasons[name]
    assert not list(run.glob("features/*.parquet"))
    assert not (run / "journal.jsonl").exists()
    # The same folder goes on without them.
    second = run_cli(*command, "--skip-bad")
    assert second.returncode == 0, second.stderr
    assert f"{len(bad)} bad frames left out, listed in {run / 'quarantine.csv'}" in second.stderr
    with (run / "quarantine.csv").open(newline="") as file:
        assert {row["frame"]: row["reason"] for row in csv.DictReader(file)} == reasons
    with (run / "leaderboard.csv").open(newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["done", "stopped", "stopped"]


def test_as_a_process(run_cli: Cli, tmp_path: Path) -> None:
    done = run_cli("run", tmp_path / "none", "--space", "quick", "--out", tmp_path / "run")
    assert_all_in(one_line(done.returncode, done.stdout, done.stderr), tmp_path / "none")
