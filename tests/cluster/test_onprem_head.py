"""Faults that end the job: of the head, of the driver, of the disk with the run folder.

The sweep is submitted again with the same run folder and goes on: what is in the journal is never computed
again, and the leaderboard is that of a sweep that nothing disturbed.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.faults import Board, cluster_of, go_on, undisturbed_board
from tests.cluster.onprem import Cluster

MEMBERS = 2


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A head and a worker."""
    with cluster_of(MEMBERS, tmp_path_factory.mktemp("head")) as made:
        yield made


@pytest.fixture(scope="module")
def undisturbed(cluster: Cluster) -> Board:
    """The same sweep on one machine."""
    return undisturbed_board(cluster)


def kill(cluster: Cluster, title: str) -> None:
    """SIGKILL for the processes whose command line begins so."""
    found = cluster.running(title)
    assert found, title
    for host, pid in found:
        host.run(f"kill -KILL {pid}")


def nothing() -> None:
    """There is nothing to mend."""


def test_a_driver_that_is_killed(cluster: Cluster, undisturbed: Board) -> None:
    seen = go_on(
        cluster, "driver", undisturbed, lambda: kill(cluster, "python -m sweeper run sweep.yaml"), nothing
    )
    assert "Traceback" not in seen


def test_a_ledger_that_is_killed(cluster: Cluster, undisturbed: Board) -> None:
    """The journal's writer, the one actor that is not started again."""
    seen = go_on(cluster, "ledger", undisturbed, lambda: kill(cluster, "ray::Ledger"), nothing)
    assert "Traceback" not in seen


def test_a_full_disk_under_the_run_folder(cluster: Cluster, undisturbed: Board) -> None:
    """It is said in one line; with room again the sweep goes on."""
    head = cluster.head
    disk = f"{head.home}/small"
    head.run(f"mkdir {disk} && mount -t tmpfs -o size=8m tmpfs {disk}")
    seen = go_on(
        cluster,
        "disk",
        undisturbed,
        lambda: assert_full(head.run(f"cat /dev/zero > {disk}/filler", check=False).stderr),
        lambda: assert_freed(head.run(f"rm {disk}/filler").returncode),
        out=f"{disk}/run",
    )
    said = [line for line in seen.splitlines() if "No space left on device" in line]
    assert len(said) == 1, seen
    assert said[0].startswith(f"sweeper: {disk}/run/")
    assert said[0].endswith("; fix that and run the same command again")
    assert "Traceback" not in seen


def assert_full(said: str) -> None:
    assert "No space left on device" in said


def assert_freed(status: int) -> None:
    assert status == 0


def test_a_head_whose_control_process_is_killed(cluster: Cluster, undisturbed: Board) -> None:
    took = [0.0]

    def mend() -> None:
        took[0] = cluster.up_again()

    gcs = next(
        line.split(" ")[0]
        for line in cluster.processes(cluster.head)
        if line.split(" ")[0].endswith("gcs_server")
    )
    seen = go_on(cluster, "gcs", undisturbed, lambda: kill(cluster, gcs), mend)
    print(f"gcs: `ray up` and {MEMBERS} nodes in {took[0]:.0f} s")
    assert "Traceback" not in seen


def test_a_head_that_is_gone_and_comes_back(cluster: Cluster, undisturbed: Board) -> None:
    """A power cut: its disk, with the run folder, is there again, its temporary folder is empty."""
    head = cluster.head
    took = [0.0]

    def mend() -> None:
        head.start_up()
        took[0] = cluster.up_again()

    seen = go_on(cluster, "head", undisturbed, head.kill, mend, out=f"{head.home}/run-head")
    print(f"head: `ray up` and {MEMBERS} nodes in {took[0]:.0f} s")
    assert "Traceback" not in seen
