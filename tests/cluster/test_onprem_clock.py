"""Clocks of hosts that jump in the middle of a sweep, an hour ahead, and back for a moment.

The kernel's clock is every host's. `clock.c` gives the processes of a host's Ray another one, which a file
sets while they run; monotonic clocks stay as they are, as when a real one is set. A clock that is set back
for good is not among the tests: Ray's own timers go by it, and wait until it has caught up.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.faults import Board, cluster_of, endure, undisturbed_board
from tests.cluster.hosts import Host
from tests.cluster.onprem import Cluster

MEMBERS = 2
COMPILER = shutil.which("cc")
HOUR_S = 3600

pytestmark = pytest.mark.skipif(COMPILER is None, reason="clocks need a C compiler")


def set_clock(host: Host, offset_s: int) -> None:
    """Let the clock of a host's Ray be off by so much from now on."""
    write = f"import os, struct; os.pwrite(1, struct.pack('<q', {offset_s}), 0)"
    host.run(f'{sys.executable} -c "{write}" 1<> ~/clock')


def offset_of(host: Host) -> int:
    """By how much the clock of a host's Ray is off."""
    return int(host.run("od --address-radix=n --format=d8 ~/clock").stdout)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A head and a worker, whose Ray reads clocks that a file shifts."""
    base = tmp_path_factory.mktemp("clock")
    library = base / "site" / "shared" / "clock.so"

    def prepare(host: Host) -> None:
        source = Path(__file__).with_name("clock.c")
        subprocess.run([str(COMPILER), "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        set_clock(host, 0)

    before = f"export LD_PRELOAD={library} CLOCK_OFFSET=$HOME/clock"
    with cluster_of(MEMBERS, base, before=before, prepare=prepare) as made:
        yield made


@pytest.fixture(scope="module")
def undisturbed(cluster: Cluster) -> Board:
    """The same sweep on one machine."""
    return undisturbed_board(cluster)


def test_the_clock_that_jumps_is_that_of_tasks(cluster: Cluster) -> None:
    worker = cluster.members[1]
    set_clock(worker, HOUR_S)
    ask = (
        "import ray, time; ray.init(address='auto', logging_level='error');"
        f"there = {{'resources': {{'node:{worker.address}': 0.01}}}};"
        "now = ray.remote(num_cpus=0)(lambda: time.time()).options(**there);"
        "print(ray.get(now.remote()) - time.time())"
    )
    said = cluster.head.run(cluster.command(f'python -c "{ask}"'))
    assert abs(float(said.stdout.split()[-1]) - HOUR_S) < HOUR_S / 2


@pytest.mark.parametrize("settings", ["", "--time-budget 30m"], ids=["free", "budget"])
@pytest.mark.parametrize("member", [0, 1], ids=["head", "worker"])
def test_a_clock_that_jumps_ahead(cluster: Cluster, undisturbed: Board, member: int, settings: str) -> None:
    """The budget is shorter than the jump, and longer than the sweep."""
    host = cluster.members[member]
    before_s = offset_of(host)

    def fault() -> None:
        set_clock(host, before_s + HOUR_S)

    name = f"clock-{host.name}-{'budget' if settings else 'free'}"
    endure(cluster, name, undisturbed, fault, settings=settings)
    cluster.wait_for_nodes(MEMBERS)


def test_a_head_whose_clock_is_set_back_for_a_moment(cluster: Cluster, undisturbed: Board) -> None:
    """Ray looks at its clock again after five minutes at most; then the sweep goes on."""
    head = cluster.head
    before_s = offset_of(head)

    def fault() -> None:
        set_clock(head, before_s - HOUR_S)
        time.sleep(5)
        set_clock(head, before_s)

    endure(cluster, "clock-back", undisturbed, fault)
