"""How a command is started makes no difference: closed streams, strict warnings, code beside the data."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sweeper import process

CLOSING = {0: "<&-", 1: ">&-", 2: "2>&-"}
COMBINATIONS = [closed for n in (1, 2, 3) for closed in itertools.combinations(CLOSING, n)]


def run(
    *command: object, closed: tuple[int, ...] = (), env: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command with some of the standard streams closed."""
    shell = 'exec "$@" ' + " ".join(CLOSING[number] for number in closed)
    environment = {**os.environ, **(env or {})}
    return subprocess.run(
        ["sh", "-c", shell, "sh", *map(str, command)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=cwd,
        timeout=120,
    )


def python(code: str, *flags: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a program that settles first."""
    program = f"from sweeper.process import settle; settle(); {code}"
    return run(sys.executable, *flags, "-c", program, **options)  # type: ignore[arg-type]


# --------------------------------------------------------------------------- streams


@pytest.mark.parametrize("closed", COMBINATIONS)
def test_closed_streams_lead_nowhere(closed: tuple[int, ...], tmp_path: Path) -> None:
    file = tmp_path / "file"
    code = (
        f"file = open({str(file)!r}, 'w'); assert file.fileno() > 2; import os, sys; "
        "print('said'); print('told', file=sys.stderr); os.write(1, b'written'); os.write(2, b'noted'); "
        "assert sys.stdin.read() == ''"
    )
    done = python(code, closed=closed, env={"PYTHONUNBUFFERED": "1"})
    assert done.returncode == 0, done.stderr
    assert done.stdout == ("" if 1 in closed else "said\nwritten")
    assert done.stderr == ("" if 2 in closed else "told\nnoted")
    assert file.read_text() == ""


@pytest.mark.parametrize("closed", [(0, 1, 2), (1,), (2,)])
def test_exit_statuses_are_the_same_with_closed_streams(closed: tuple[int, ...], tmp_path: Path) -> None:
    sweeper = (sys.executable, "-m", "sweeper")
    assert run(*sweeper, "list", "searches", closed=closed).returncode == 0
    assert run(*sweeper, "status", tmp_path, closed=closed).returncode == 2


def test_what_nobody_can_read_changes_no_exit_status(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as nobody:
        command = [sys.executable, "-m", "sweeper", "status", tmp_path]
        done = subprocess.run(command, stderr=nobody, stdout=subprocess.PIPE, check=False)
    assert done.returncode == 2


# --------------------------------------------------------------------------- what is imported


@pytest.mark.parametrize("pythonpath", [".", "", ".:", "here/..", "{absolute}:."])
def test_nothing_beside_the_data_is_imported(pythonpath: str, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    for name in ("yaml", "types_of_a_user"):
        (tmp_path / f"{name}.py").write_text("open('EXECUTED', 'w')")
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "on_the_path.py").write_text("")
    env = {"PYTHONPATH": pythonpath.format(absolute=kept)}
    code = (
        "import yaml, importlib.util, os; "
        "assert importlib.util.find_spec('types_of_a_user') is None; "
        "print(os.environ.get('PYTHONPATH'), importlib.util.find_spec('on_the_path') is not None)"
    )
    done = python(code, "-P", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    expected = f"{kept} True" if "absolute" in pythonpath else "None False"
    assert done.stdout.split("\n")[0] == expected
    assert not (tmp_path / "EXECUTED").exists()


def test_the_current_folder_is_no_place_to_import_from(tmp_path: Path) -> None:
    for name in ("yaml", "errors", "argparse", "numpy"):
        (tmp_path / f"{name}.py").write_text("open('EXECUTED', 'w')")
    done = run(sys.executable, "-m", "sweeper", "list", "searches", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "EXECUTED").exists()


def test_children_look_for_nothing_in_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f".{os.pathsep}/kept{os.pathsep}")
    monkeypatch.setenv("PYTHONWARNINGS", "error::UserWarning")
    changes = process.for_children()
    assert changes["PYTHONSAFEPATH"] == "1"
    assert changes["PYTHONPATH"] == "/kept"
    assert changes["PYTHONWARNINGS"] is None
    monkeypatch.delenv("PYTHONPATH")
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    assert not {"PYTHONPATH", "PYTHONWARNINGS"} & process.for_children().keys()


def test_kernels_have_a_folder_where_numba_finds_none(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "from sweeper import process; process._can_write = lambda folder: False; "
        "process.kernel_folder.cache_clear(); import os; "
        "folder = process.for_children()['NUMBA_CACHE_DIR']; assert os.path.isdir(folder); print(folder)"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout and not Path(done.stdout.strip()).exists()  # gone with the process
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/chosen")
    assert process.for_children()["NUMBA_CACHE_DIR"] == "/chosen"


# --------------------------------------------------------------------------- warnings and variables


@pytest.mark.parametrize("flags", [("-W", "error"), ("-O", "-W", "error::DeprecationWarning"), ("-bb",)])
@pytest.mark.parametrize("variable", ["", "error"])
def test_warnings_of_libraries_are_no_errors(flags: tuple[str, ...], variable: str) -> None:
    code = (
        "import warnings; warnings.warn('old', DeprecationWarning, stacklevel=2); "
        "warnings.warn('mind this', stacklevel=2); print('on')"
    )
    done = python(code, *flags, env={"PYTHONWARNINGS": variable})
    assert (done.returncode, done.stdout) == (0, "on\n"), done.stderr
    assert "mind this" in done.stderr


def test_a_strict_python_runs_commands() -> None:
    strict = (sys.executable, "-O", "-bb", "-W", "error", "-m", "sweeper", "list", "searches")
    done = run(*strict, env={"PYTHONWARNINGS": "error"})
    assert (done.returncode, done.stderr) == (0, "")


def test_variables_are_as_they_were() -> None:
    os.environ["SWEEPER_TEST_KEPT"] = "before"
    with pytest.raises(KeyError), process.variables({"SWEEPER_TEST_KEPT": None, "SWEEPER_TEST_NEW": "x"}):
        assert "SWEEPER_TEST_KEPT" not in os.environ and os.environ["SWEEPER_TEST_NEW"] == "x"
        raise KeyError
    assert os.environ.pop("SWEEPER_TEST_KEPT") == "before" and "SWEEPER_TEST_NEW" not in os.environ
