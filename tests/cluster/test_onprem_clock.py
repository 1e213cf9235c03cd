"""Clocks of hosts that jump in the middle of a sweep, by an hour, and back.

A clock of the kernel is everybody's: libfaketime gives the processes of a host's Ray another one, which a
file sets while they run. Monotonic clocks stay as they are, as when a real one is set.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.faults import Board, cluster_of, endure, undisturbed_board
from tests.cluster.onprem import Cluster

MEMBERS = 2
LIBRARY = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)
BEFORE_RAY = (
    f"export LD_PRELOAD={LIBRARY} FAKETIME_TIMESTAMP_FILE=$HOME/clock FAKETIME_CACHE_DURATION=1 "
    "FAKETIME_DONT_FAKE_MONOTONIC=1"
)

pytestmark = pytest.mark.skipif(LIBRARY is None, reason="clocks need libfaketime (Debian: faketime)")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A head and a worker, whose Ray reads clocks that a file shifts."""
    base = tmp_path_factory.mktemp("clock")
    with cluster_of(
        MEMBERS, base, before=BEFORE_RAY, prepare=lambda host: host.run("echo +0 > ~/clock") and None
    ) as made:
        yield made


@pytest.fixture(scope="module")
def undisturbed(cluster: Cluster) -> Board:
    """The same sweep on one machine."""
    return undisturbed_board(cluster)


@pytest.mark.parametrize("settings", ["", "--time-budget 30m"])
@pytest.mark.parametrize("member", [0, 1], ids=["head", "worker"])
def test_a_clock_that_jumps(cluster: Cluster, undisturbed: Board, member: int, settings: str) -> None:
    """The budget is shorter than the jump, and longer than the sweep."""
    host = cluster.members[member]

    def fault() -> None:
        for shift in ("+3600", "-3600", "+0"):
            host.run(f"echo {shift} > ~/clock.new && mv ~/clock.new ~/clock")
            time.sleep(5)

    name = f"clock-{host.name}-{'budget' if settings else 'free'}"
    endure(cluster, name, undisturbed, fault, settings=settings)
    cluster.wait_for_nodes(MEMBERS)


def test_the_clock_that_jumps_is_that_of_ray(cluster: Cluster) -> None:
    """What the other tests shift is what a task reads."""
    worker = cluster.members[1]
    worker.run("echo +3600 > ~/clock")
    ask = (
        "import ray, time; ray.init(address='auto', logging_level='error');"
        f"there = {{'resources': {{'node:{worker.address}': 0.01}}}};"
        "now = ray.remote(num_cpus=0)(lambda: time.time()).options(**there);"
        "print(ray.get(now.remote()) - time.time())"
    )
    said = cluster.head.run(cluster.command(f'python -c "{ask}"'))
    worker.run("echo +0 > ~/clock")
    assert 3500 < float(said.stdout.split()[-1]) < 3700
