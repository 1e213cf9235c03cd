"""What Ray needs of a machine is found out, and made to fit or said, before it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import ray

from sweeper.engine import cluster
from sweeper.engine import ground as ground_module
from sweeper.engine.ground import ground
from sweeper.errors import InputError, StoppedError

LONG = "long-" * 20


@pytest.fixture(autouse=True)
def no_folder_of_rays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)


def test_a_plain_folder_is_rays_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    with ground(None) as options:
        assert "_temp_dir" not in options or os.environ.get("TMPDIR")


@pytest.mark.parametrize("name", [LONG, "Zwischenspeicher-ä", "x" * 60])
@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_sockets_go_where_their_paths_are_short(
    name: str, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temp = tmp_path / name
    temp.mkdir()
    monkeypatch.setenv(variable, str(temp))
    with ground(None) as options:
        sockets, spilled = Path(options["_temp_dir"]), Path(options["object_spilling_directory"])
        assert len(str(sockets)) < 40 and str(sockets).isascii() and sockets.is_dir()
        assert spilled.parent == temp and spilled.is_dir()
    assert not sockets.exists() and not spilled.exists()


def test_a_temporary_folder_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/proc/nothing")
    with ground(None) as options:
        assert options["_temp_dir"].startswith(("/tmp/sweeper-", "/var/tmp/sweeper-"))
        assert "object_spilling_directory" not in options


def test_no_short_folder_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / LONG))
    monkeypatch.setattr(ground_module, "_SHORT", ("/proc/nothing",))
    with pytest.raises(InputError, match="set RAY_TMPDIR to one that can be written"), ground(None):
        raise AssertionError


# --------------------------------------------------------------------------- address space

GIB = 2**30


def limited(gib: float, asked: float | None) -> subprocess.CompletedProcess[str]:
    """Print the object store's size where a process may have so much address space."""
    code = (
        "from sweeper.engine.ground import ground\n"
        f"with ground({asked}) as options: print(options['object_store_memory'])"
    )
    shell = f'ulimit -v {int(gib * 2**20)}; exec "$@"'
    return subprocess.run(
        ["bash", "-c", shell, "bash", sys.executable, "-c", code], capture_output=True, text=True
    )


def needed() -> int:
    return ground_module._PROCESS_BYTES + ground_module._CORE_BYTES * (os.cpu_count() or 1)


def test_the_object_store_fits_into_the_address_space() -> None:
    gib = needed() / GIB + 1
    size = int(limited(gib, None).stdout)
    assert 0.4 * GIB < size <= 0.5 * GIB
    assert int(limited(gib, 0.25).stdout) == 0.25 * GIB


@pytest.mark.parametrize(("gib", "asked"), [(4.0, None), (4.0, 0.1), (needed() / GIB + 1, 0.75)])
def test_too_little_address_space_is_said(gib: float, asked: float | None) -> None:
    said = limited(gib, asked).stderr.splitlines()[-1]
    assert f"may have {gib:.1f} GiB of address space (ulimit -v)" in said
    assert "ulimit -v unlimited" in said
    assert ("--object-store-gb" in said) == (asked is not None)


def test_without_a_limit_the_size_is_what_was_asked_for() -> None:
    for asked, size in ((None, None), (2.0, 2 * GIB), (0.01, 80 * 2**20)):
        with ground(asked) as options:
            assert options["object_store_memory"] == size


# --------------------------------------------------------------------------- a Ray that does not start


def test_ray_is_started_twice_before_it_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[str] = []

    def slow(**options: object) -> None:
        tries.append(str(options["address"]))
        raise RuntimeError("The current node timed out\nduring startup.")

    monkeypatch.setattr(ray, "init", slow)
    with pytest.raises(StoppedError, match="Ray did not start on this machine") as error:
        cluster._start({})
    assert tries == ["local", "local"]
    assert str(error.value).endswith("(RuntimeError: The current node timed out during startup.)")
