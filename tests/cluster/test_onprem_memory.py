"""Features that do not fit: into the object stores of the hosts, or into the folders where these spill.

Stores have 80 MB each, near the least that Ray takes; features have more than both together. They come from
a featurizer that is a file of the user's, and travel with the job.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator

import pytest

from sweeper.errors import NoRoomError
from tests.cluster.faults import Board, cluster_of, last_lines, whole_journal
from tests.cluster.hosts import REPOSITORY
from tests.cluster.onprem import Cluster, Job
from tests.conftest import write_textures

MEMBERS = 2
STORE_BYTES = 80_000_000
SPILL = "$HOME/spill"
OPTIONS = f"--object-store-memory={STORE_BYTES} --object-spilling-directory={SPILL}"
BEFORE_RAY = f"mkdir -p {SPILL} && (mountpoint --quiet {SPILL} || mount -t tmpfs -o size=2g tmpfs {SPILL})"
"""Each host's folder to spill to is a disk of its own."""

SIDE, FRAMES, SETTINGS_OF_INTENSITY = 96, 192, 14
COLUMNS = SIDE * SIDE
FEATURE_BYTES = FRAMES * COLUMNS * SETTINGS_OF_INTENSITY * 8
WIDE = f"""
import numpy as np

from sweeper.api import Featurizer


def _compute(frame, blocks):
    return [np.sort(frame.image.ravel()).astype(np.float64) for _ in blocks]


FEATURIZER = Featurizer(
    name="wide",
    version=1,
    source="all pixels in order, for tests",
    axes=(),
    columns=lambda params: tuple(f"pixel{{i}}" for i in range({COLUMNS})),
    compute=_compute,
)
"""
SPACE = f"""
name: wide
source: a space whose features are large, for tests
featurizers:
  wide:
reducers: [standard]
classifiers:
  rf: {{n_trees: [5]}}
intensity:
  clip_high: {[85 + i for i in range(SETTINGS_OF_INTENSITY)]}
"""
SWEEP = "--search grid --folds 2 --seed 3"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A head and a worker with small object stores; the desk's code has one featurizer more."""
    base = tmp_path_factory.mktemp("memory")
    with cluster_of(MEMBERS, base, options=OPTIONS, before=BEFORE_RAY) as made:
        desk = made.desk
        desk.run(f"cp -r {REPOSITORY}/featurizers ~/ && echo {shlex.quote(WIDE)} > ~/featurizers/wide.py")
        desk.run(f"mount --bind ~/featurizers {REPOSITORY}/featurizers")
        (desk.shared / "wide.yaml").write_text(SPACE)
        write_textures(desk.shared / "many", per_class=FRAMES // 3, size=SIDE)
        yield made


def wide_sweep(cluster: Cluster) -> str:
    return f"{cluster.desk.shared}/many --space {cluster.desk.shared}/wide.yaml {SWEEP}"


@pytest.fixture(scope="module")
def undisturbed(cluster: Cluster) -> Board:
    """The same sweep on one machine."""
    return cluster.plain(wide_sweep(cluster), "undisturbed-wide")


def most_spilled(cluster: Cluster, job: Job) -> int:
    """Wait until a job ended; the most bytes that lay in the hosts' spill folders, seen every few seconds."""
    most = 0
    while "running" in (said := cluster.status(job)) or "pending" in said:
        used = [host.run(f"du --bytes --summarize {SPILL}").stdout.split()[0] for host in cluster.members]
        most = max(most, sum(map(int, used)))
        time.sleep(1)
    return most


def resize(cluster: Cluster, size: str) -> None:
    """Give every host's spill folder a size."""
    for host in cluster.members:
        host.run(f"mount -o remount,size={size} {SPILL}")


def test_features_that_do_not_fit_into_the_object_stores_are_spilled(
    cluster: Cluster, undisturbed: Board
) -> None:
    started = time.monotonic()
    job = cluster.submit(wide_sweep(cluster), f"{cluster.desk.shared}/spilled")
    spilled = most_spilled(cluster, job)
    took = time.monotonic() - started
    assert "succeeded" in cluster.status(job), cluster.printed(job)
    whole_journal(cluster, job)
    assert cluster.leaderboard(job) == undisturbed
    assert spilled > FEATURE_BYTES - MEMBERS * STORE_BYTES > 0
    print(
        f"\nspill: {FEATURE_BYTES / 1e6:.0f} MB of features, {MEMBERS} stores of {STORE_BYTES / 1e6:.0f} MB: "
        f"{spilled / 1e6:.0f} MB spilled at most, {took:.0f} s\n{last_lines(cluster.printed(job))}"
    )


def test_a_full_disk_under_the_spill_folder(cluster: Cluster, undisturbed: Board) -> None:
    """It is said in one line, no evaluation counts as failed, and with room again the sweep goes on."""
    resize(cluster, "16m")
    out = f"{cluster.desk.shared}/full"
    followed = cluster.follow(wide_sweep(cluster), out, "full")
    started = time.monotonic()
    assert followed.wait() == 1, followed.seen()
    took = time.monotonic() - started
    seen = followed.seen()
    resize(cluster, "2g")
    left = whole_journal(cluster, followed.job)
    said = [line for line in seen.splitlines() if "disk that it spills to" in line]
    assert said == [f"sweeper: {NoRoomError()}; fix that and run the same command again"], seen
    job = cluster.submit(wide_sweep(cluster), out)
    assert "succeeded" in cluster.wait(job), cluster.printed(job)
    records = whole_journal(cluster, job)
    printed = cluster.printed(job)
    assert f"{len(records) - len(left)} evaluations computed, {len(left)} from the journal" in printed
    assert cluster.leaderboard(job) == undisturbed
    print(f"\nspill full: ended after {took:.0f} s, {len(left)} of {len(records)}\n{last_lines(seen)}")
