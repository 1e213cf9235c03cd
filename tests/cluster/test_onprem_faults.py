"""Faults of machines in the middle of a sweep: the leaderboard is that of a sweep that nothing disturbed.

An evaluation that was in flight may be computed again, one that is in the journal never.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.hosts import Host, hosts
from tests.cluster.onprem import Cluster, Job
from tests.cluster.test_onprem import LONG, sweep_of
from tests.conftest import write_textures

MEMBERS = 3
BEFORE = 12
"""Evaluations in the journal when the fault comes."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A head and two workers."""
    base = tmp_path_factory.mktemp("faults")
    with hosts(MEMBERS, base / "site") as site:
        write_textures(site.desk.shared / "frames", per_class=64)
        (site.desk.shared / "long.yaml").write_text(LONG)
        made = Cluster(site, site.hosts, base)
        made.up()
        yield made


@pytest.fixture(scope="module")
def undisturbed(cluster: Cluster) -> list[dict[str, str]]:
    """The same sweep on one machine."""
    return cluster.plain(sweep_of(f"{cluster.desk.shared}/frames", cluster, "long"), "undisturbed")


class Pace:
    """When evaluations of a run folder came, seen from outside the cluster."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._over = threading.Event()
        self._seen: list[tuple[float, int]] = []
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Pace:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            text = self._journal.read_bytes() if self._journal.exists() else b""
            count = text.count(b'"kind":"evaluation"')
            if not self._seen or count != self._seen[-1][1]:
                self._seen.append((time.monotonic(), count))

    def longest_pause_s(self, since: float) -> float:
        """The longest time without an evaluation after a moment."""
        times = [since, *(when for when, _ in self._seen if when > since)]
        return max((later - earlier for earlier, later in pairwise(times)), default=0.0)


def endure(cluster: Cluster, name: str, undisturbed: list[dict[str, str]], fault: Callable[[], None]) -> Job:
    """Run a sweep with a fault in its middle, and hold it to the undisturbed one."""
    shared = cluster.desk.shared
    with Pace(shared / name / "journal.jsonl") as pace:
        job = cluster.submit(sweep_of(f"{shared}/frames", cluster, "long"), f"{shared}/{name}")
        known = cluster.wait_for_evaluations(job, BEFORE)
        before = {record["key"] for record in cluster.evaluations(job)}
        struck = time.monotonic()
        fault()
        said = cluster.wait(job)
        took = time.monotonic() - struck
    assert "succeeded" in said, cluster.printed(job)
    records = cluster.evaluations(job)
    assert {record["status"] for record in records} == {"done"}
    assert len({record["key"] for record in records}) == len(records)
    assert before <= {record["key"] for record in records}
    assert cluster.leaderboard(job) == undisturbed
    tasks = cluster.tasks(job)
    again = repeated(tasks, "trial ")
    print(
        f"\n{name}: fault after {known} of {len(records)} evaluations; longest pause "
        f"{pace.longest_pause_s(struck):.1f} s, {took:.0f} s to the end; repeated: {again} evaluations, "
        f"{repeated(tasks, 'block ')} shards of blocks"
    )
    in_flight = 3 * sum(slots(host) for host in cluster.members)
    assert again <= in_flight
    return job


def repeated(tasks: list[dict[str, Any]], kind: str) -> int:
    """How many tasks of a kind were run again."""
    ran = Counter(task["name"] for task in tasks if task["name"].startswith(kind))
    return sum(ran.values()) - len(ran)


def slots(host: Host) -> int:
    """Trials that may run at once on a host, each with an evaluation a fold."""
    return int(host.run("getconf _NPROCESSORS_ONLN").stdout) + 1 if host.alive() else 0


def test_a_cable_that_is_out_for_20_s(cluster: Cluster, undisturbed: list[dict[str, str]]) -> None:
    worker = cluster.members[1]

    def fault() -> None:
        worker.cut()
        time.sleep(20)
        worker.mend()

    endure(cluster, "cable", undisturbed, fault)
    cluster.wait_for_nodes(MEMBERS)


def test_a_raylet_that_is_killed(cluster: Cluster, undisturbed: list[dict[str, str]]) -> None:
    """Its machine is there: the cluster starts Ray on it again."""
    worker = cluster.members[1]
    struck = [0.0]

    def fault() -> None:
        struck[0] = time.monotonic()
        worker.run("pkill -KILL --full /raylet/raylet")

    endure(cluster, "raylet", undisturbed, fault)
    cluster.wait_for_nodes(MEMBERS)
    print(f"raylet: {MEMBERS} nodes at most {time.monotonic() - struck[0]:.0f} s after the fault")


def test_a_host_that_is_gone(cluster: Cluster, undisturbed: list[dict[str, str]]) -> None:
    worker = cluster.members[2]
    endure(cluster, "host", undisturbed, worker.kill)
    assert cluster.nodes() == [host.address for host in cluster.members[:2]]
