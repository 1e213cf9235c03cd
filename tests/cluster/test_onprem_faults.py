"""Faults of workers and of their machines in the middle of a sweep, which goes on.

The leaderboard is that of a sweep that nothing disturbed. An evaluation that was in flight may be computed
again, one that is in the journal never.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.cluster.faults import Board, cluster_of, endure, undisturbed_board
from tests.cluster.onprem import Cluster

MEMBERS = 3
LONGER = "--repeats 10 --trials 44 --set rf.n_trees=[100,200,300,400]"
"""A sweep of minutes: Ray may take one to be up again on a host."""
_DEAD_S = 180.0
_BACK_S = 180.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A head and two workers."""
    with cluster_of(MEMBERS, tmp_path_factory.mktemp("faults")) as made:
        yield made


@pytest.fixture(scope="module")
def undisturbed(cluster: Cluster) -> Board:
    """The same sweep on one machine."""
    return undisturbed_board(cluster)


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("evaluation", "ray::trial "),
        ("trial", "ray::ResourceTrainable.train"),
        ("store", "ray::FeatureStore"),
        ("files", "ray::Files"),
    ],
)
def test_a_process_that_is_killed(cluster: Cluster, undisturbed: Board, name: str, title: str) -> None:
    """One that evaluates, a trial's actor, the feature store's, or one that writes files."""

    def fault() -> None:
        deadline = time.monotonic() + 60
        while not (found := cluster.running(title)):
            assert time.monotonic() < deadline, title
        host, pid = found[-1]
        host.run(f"kill -KILL {pid}")

    endure(cluster, f"process-{name}", undisturbed, fault)
    cluster.wait_for_nodes(MEMBERS)


def test_a_cable_that_is_out_for_20_s(cluster: Cluster, undisturbed: Board) -> None:
    worker = cluster.members[1]

    def fault() -> None:
        worker.cut()
        time.sleep(20)
        worker.mend()

    endure(cluster, "cable", undisturbed, fault)
    cluster.wait_for_nodes(MEMBERS)


def test_a_cable_that_is_out_until_the_node_counts_as_dead(cluster: Cluster, undisturbed: Board) -> None:
    """Its raylet ends when it hears of that, and the cluster starts Ray there again."""
    worker = cluster.members[1]
    others = [host.address for host in cluster.members if host is not worker]
    times = {}

    def fault() -> None:
        times["cut"] = time.monotonic()
        worker.cut()
        while cluster.nodes() != others:
            assert time.monotonic() < times["cut"] + _DEAD_S
            time.sleep(1)
        times["dead"] = time.monotonic()
        worker.mend()

    endure(cluster, "partition", undisturbed, fault)
    cluster.wait_for_nodes(MEMBERS)
    back = time.monotonic()
    print(
        f"partition: dead after {times['dead'] - times['cut']:.0f} s; {MEMBERS} nodes at most "
        f"{back - times['dead']:.0f} s after the cable was in again"
    )


def test_a_raylet_that_is_killed(cluster: Cluster, undisturbed: Board) -> None:
    """Its machine is there: the cluster starts Ray on it again."""
    worker = cluster.members[1]
    struck = [0.0]

    def fault() -> None:
        struck[0] = time.monotonic()
        worker.run("pkill -KILL --full /raylet/raylet")

    endure(cluster, "raylet", undisturbed, fault)
    cluster.wait_for_nodes(MEMBERS)
    print(f"raylet: {MEMBERS} nodes at most {time.monotonic() - struck[0]:.0f} s after the fault")


def test_a_host_that_is_gone(cluster: Cluster, undisturbed: Board) -> None:
    """The sweep ends without it; when the host runs again the cluster starts Ray on it, unasked."""
    worker = cluster.members[2]
    endure(cluster, "host", undisturbed, worker.kill)
    cluster.wait_for_nodes(MEMBERS - 1)  # the sweep may end before Ray counts the node as dead
    assert cluster.nodes() == [host.address for host in cluster.members[:2]]
    worker.start_up()
    print(f"host: {MEMBERS} nodes {cluster.wait_for_nodes(MEMBERS):.0f} s after it could be reached again")


def test_a_host_that_is_gone_and_comes_back_while_the_sweep_runs(cluster: Cluster) -> None:
    """Its Ray is started again, and the sweep sends evaluations there."""
    worker = cluster.members[2]
    times = {}

    def fault() -> None:
        worker.kill()
        worker.start_up()
        times["up"] = time.monotonic()
        while worker not in {host for host, _ in cluster.running("ray::trial ")}:
            assert time.monotonic() < times["up"] + _BACK_S
            time.sleep(0.5)
        times["works"] = time.monotonic()

    endure(cluster, "back", undisturbed_board(cluster, LONGER), fault, settings=LONGER)
    print(f"back: evaluates again {times['works'] - times['up']:.0f} s after it could be reached")
