"""Faults in the middle of a sweep, on Ray of its own: plugins that misbehave, files that are damaged.

Processes that are killed are in test_sweep.py, machines that fail in tests/cluster/.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import REPOSITORY
from tests.engine.test_sweep import Cli, evaluations, scores, sweep

pytestmark = pytest.mark.slow

CLASSIFIER = '''
"""Misbehaves when it is fitted."""

from sweeper.api import CLASS_WEIGHT, Axis, Classifier, OneOf


class Model:
    def __init__(self, kind):
        self.kind = kind

    def fit(self, x, y, sample_weight):
        if self.kind == 0:
            import ctypes
            ctypes.string_at(0)
        elif self.kind == 1:
            held = []
            while True:
                held.append(bytearray(2**24))
        elif self.kind == 2:
            import time
            time.sleep(10_000)
        else:
            sum(range(10**13))  # one call into C, for days: no signal handler runs

    def scores(self, x):
        raise AssertionError


CLASSIFIER = Classifier(
    name="bad",
    version=1,
    source="for tests",
    axes=(Axis("kind", OneOf(0, 1, 2, 3), default=0, doc="what goes wrong"), CLASS_WEIGHT),
    budget="rows",
    build=lambda build: Model(build.params["kind"]),
)
'''
FEATURIZER = '''
"""Misbehaves on every frame."""

from sweeper.api import Axis, Featurizer, OneOf


def compute(frame, blocks):
    if FAULT == "crashes":
        import ctypes
        ctypes.string_at(0)
    import time
    time.sleep(10_000)


FEATURIZER = Featurizer(
    name=FAULT,
    version=1,
    source="for tests",
    axes=(Axis("size", OneOf(1, 2), default=1, doc="nothing"),),
    columns=lambda params: ("value",),
    compute=compute,
)
'''


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as it is installed, with plugins that somebody added."""
    folder = tmp_path_factory.mktemp("code")
    installed = folder / "sweeper"
    for name in ("sweeper", "featurizers", "classifiers", "search_spaces"):
        target = installed if name == "sweeper" else installed / name
        shutil.copytree(REPOSITORY / name, target, ignore=shutil.ignore_patterns("__pycache__"))
    (installed / "classifiers" / "bad.py").write_text(CLASSIFIER)
    for fault in ("crashes", "hangs"):
        (installed / "featurizers" / f"{fault}.py").write_text(FEATURIZER.replace("FAULT", f'"{fault}"'))
    return folder


def run_with(code: Path, data: Path, space: str, out: Path, *more: str) -> pd.DataFrame:
    """The leaderboard of a sweep with plugins of `code`."""
    path = out.with_suffix(".yaml")
    path.write_text(space)
    command = [sys.executable, "-m", "sweeper", "run", data, "--space", path, "--out", out, *more]
    done = subprocess.run(
        [str(word) for word in command],
        cwd=code,
        env={**os.environ, "PYTHONPATH": str(code)},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    return scores(out)


def test_classifiers_that_crash_eat_memory_or_hang_are_failed_rows(
    code: Path, textures: Path, tmp_path: Path
) -> None:
    board = run_with(
        code,
        textures,
        """
        name: bad
        source: for tests
        featurizers: {histogram: }
        reducers: [standard]
        classifiers: {bad: {kind: [0, 1, 2, 3]}, rf: {n_trees: [9, 18]}}
        """,
        tmp_path / "run",
        *("--search", "grid", "--folds", "2", "--trial-time-limit", "3s", "--trial-memory-limit-gb", "0.5"),
    )
    bad = board[board.classifier == "bad"].set_index("classifier_params").error
    said = {json.loads(params)["kind"]: error for params, error in bad.items()}
    assert said == {
        0: "the process that ran it died (a crash in native code, or out of memory)",
        1: "memory limit of 0.5 GiB reached",
        2: "time limit of 3 s reached",
        3: "time limit of 3 s reached; its process was ended",
    }
    assert board[board.classifier == "rf"].status.tolist() == ["done", "done"]


@pytest.mark.long
def test_featurizers_that_crash_or_hang_fail_their_pipelines_alone(
    code: Path, textures: Path, tmp_path: Path
) -> None:
    board = run_with(
        code,
        textures,
        """
        name: bad
        source: for tests
        featurizers: {histogram: , crashes: , hangs: }
        reducers: [standard]
        classifiers: {rf: {n_trees: [9, 18]}}
        """,
        tmp_path / "run",
        *("--search", "grid", "--folds", "2", "--trial-time-limit", "3s"),
    )
    assert board[board.featurizer == "histogram"].status.tolist() == ["done", "done"]
    crashed, hung = (board[board.featurizer == name].error for name in ("crashes", "hangs"))
    assert len(crashed) == len(hung) == 2
    assert all(error.startswith("no features: WorkerCrashedError") for error in crashed), crashed.tolist()
    assert all("hangs on one frame: time limit of 3 s reached" in error for error in hung), hung.tolist()


@pytest.fixture(scope="module")
def undisturbed(
    run_cli: Cli, textures: Path, tiny_space: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    sweep(run_cli, textures, tiny_space, out)
    return out


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


@pytest.mark.long
@pytest.mark.parametrize("damage", [flip, cut])
def test_damaged_blocks_are_computed_again(
    run_cli: Cli,
    textures: Path,
    tiny_space: Path,
    undisturbed: Path,
    tmp_path: Path,
    damage: Callable[[Path], None],
) -> None:
    out = tmp_path / "run"
    shutil.copytree(undisturbed, out)
    (out / "journal.jsonl").write_bytes(b"")
    blocks = sorted((out / "features").glob("glcm-*.parquet"))
    assert blocks
    for path in blocks:
        damage(path)
    said = sweep(run_cli, textures, tiny_space, out)
    assert " 0 blocks computed" not in said
    assert " 0 reused" not in said  # the histograms
    pd.testing.assert_frame_equal(scores(out), scores(undisturbed))
    assert max(Counter(record.key for record in evaluations(out)).values()) == 1
