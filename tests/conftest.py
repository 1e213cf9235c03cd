"""Fixtures shared by the tests: small data sets and the command line as a subprocess."""

from __future__ import annotations

import io
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest

# Ignored where a script started the tests in its background; what they start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).resolve().parent.parent


_WHOLE_SWEEPS = ("engine/", "docs/", "test_python.py", "commands/test_cli.py", "test_wheel.py", "plugins/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take minutes: of two processes none then waits long for the other's last.

    (xdist has to be told `--no-loadscope-reorder`: it would begin with the files of most tests.)
    """
    here = Path(__file__).parent
    items.sort(key=lambda item: not item.path.relative_to(here).as_posix().startswith(_WHOLE_SWEEPS))


@pytest.fixture(scope="session")
def run_cli() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `sweeper` as people do, in a process of its own."""

    def run(*arguments: object, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sweeper", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=REPOSITORY,
            env={**os.environ, "COLUMNS": "160"},
        )

    return run


@pytest.fixture(scope="module")
def run_here() -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Run `sweeper` in this process, whose Ray stays up: sweeps after a module's first take half as long."""
    import ray

    from sweeper.cli import main

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setenv("COLUMNS", "160")
            exit_status = main([*map(str, arguments)])
        return subprocess.CompletedProcess(arguments, exit_status, out.getvalue(), err.getvalue())

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield run
    ray.shutdown()


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """Let this process write no further than so many bytes into any file, as on a disk that fills up."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def write_textures(root: Path, per_class: int = 12, size: int = 48, seed: int = 0) -> Path:
    """Three classes of textures that differ in correlation length, as 16-bit TIFF."""
    import tifffile
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    for name, length in (("coarse", 3.0), ("fine", 0.6), ("medium", 1.4)):
        folder = root / name
        folder.mkdir(parents=True)
        for i in range(per_class):
            noise = gaussian_filter(rng.normal(size=(size, size)), length * rng.uniform(0.8, 1.25))
            counts = rng.poisson(200 * np.exp(noise / noise.std() * 0.5))
            tifffile.imwrite(folder / f"{i:03}.tif", counts.astype(np.uint16))
    return root


@pytest.fixture(scope="session")
def textures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of 3 x 12 texture frames; read only."""
    return write_textures(tmp_path_factory.mktemp("data") / "textures")


TINY_SPACE = """
name: tiny
source: a space for tests
featurizers:
  glcm: {distance: {subsets: [1, 2]}, angle_deg: [[0, 90]]}
  histogram:
reducers: [standard]
classifiers:
  rf: {n_trees: [9, 18], max_depth: [none, 4]}
  svm: {C: [1, 8, 32], gamma: [0, 0.1]}
"""


@pytest.fixture(scope="session")
def tiny_space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A space of 4 representations x 10 classifiers that is quick to search."""
    path = tmp_path_factory.mktemp("spaces") / "tiny.yaml"
    path.write_text(TINY_SPACE)
    return path
