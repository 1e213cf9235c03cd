"""Sweeps that something happens to, held to the same sweep that nothing disturbed."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from sweeper.runs.records import Evaluation, Scored
from tests.cluster.hosts import Host, hosts
from tests.cluster.onprem import Cluster, Job
from tests.cluster.test_onprem import LONG, sweep_of
from tests.conftest import write_textures

BEFORE = 12
"""Evaluations in the journal when the fault comes."""

Board = list[dict[str, str]]


@contextmanager
def cluster_of(
    members: int,
    base: Path,
    *,
    strangers: int = 0,
    options: str = "",
    before: str = "",
    prepare: Callable[[Host], None] = lambda host: None,
) -> Iterator[Cluster]:
    """A head and workers with a sweep to run, and hosts beside them.

    See `onprem.config_for` for `options` and `before`; `prepare` is called with each host first.
    """
    with hosts(members + strangers, base / "site") as site:
        for host in site.hosts:
            prepare(host)
        write_textures(site.desk.shared / "frames", per_class=64)
        (site.desk.shared / "long.yaml").write_text(LONG.replace("[400, 800]", "[100, 200]"))
        made = Cluster(site, site.hosts[:members], base, options, before)
        made.up()
        yield made


def long_sweep(cluster: Cluster) -> str:
    """Arguments of the sweep of about 100 evaluations."""
    return sweep_of(f"{cluster.desk.shared}/frames", cluster, "long")


_undisturbed: dict[str, Board] = {}


def undisturbed_board(cluster: Cluster, settings: str = "") -> Board:
    """The leaderboard of the same sweep on one machine; made once for all modules."""
    if settings not in _undisturbed:
        name = f"undisturbed{len(_undisturbed)}"
        _undisturbed[settings] = cluster.plain(f"{long_sweep(cluster)} {settings}", name)
    return _undisturbed[settings]


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


def endure(
    cluster: Cluster, name: str, undisturbed: Board, fault: Callable[[], None], *, settings: str = ""
) -> Job:
    """Run a sweep with a fault in its middle, and hold it to the undisturbed one."""
    shared = cluster.desk.shared
    with Pace(shared / name / "journal.jsonl") as pace:
        job = cluster.submit(f"{long_sweep(cluster)} {settings}", f"{shared}/{name}")
        known = cluster.wait_for_evaluations(job, BEFORE)
        before = {record.key for record in cluster.evaluations(job)}
        in_flight = 3 * sum(slots(host) for host in cluster.members)
        struck = time.monotonic()
        fault()
        said = cluster.wait(job)
        took = time.monotonic() - struck
    assert "succeeded" in said, cluster.printed(job)
    records = whole_journal(cluster, job)
    assert before <= {record.key for record in records}
    assert cluster.leaderboard(job) == undisturbed
    tasks = cluster.tasks(job)
    again = repeated(tasks, "trial ")
    print(
        f"\n{name}: fault after {known} of {len(records)} evaluations; longest pause "
        f"{pace.longest_pause_s(struck):.1f} s, {took:.0f} s to the end; repeated: {again} evaluations, "
        f"{repeated(tasks, 'block ')} shards of blocks\n{last_lines(cluster.printed(job))}"
    )
    assert again <= in_flight
    return job


def go_on(
    cluster: Cluster,
    name: str,
    undisturbed: Board,
    fault: Callable[[], None],
    mend: Callable[[], None],
    *,
    out: str = "",
    settings: str = "",
) -> str:
    """Run a sweep that a fault ends, mend that, and submit it again; what its user saw when it ended.

    What was in the journal when it ended is not computed again, and the leaderboard is the undisturbed one.
    """
    out = out or f"{cluster.desk.shared}/{name}"
    sweep = f"{long_sweep(cluster)} {settings}"
    followed = cluster.follow(sweep, out, name)
    known = cluster.wait_for_evaluations(followed.job, BEFORE)
    struck = time.monotonic()
    fault()
    status = followed.wait()
    ended_s = time.monotonic() - struck
    mend()
    mended = time.monotonic()
    left = {record.key for record in whole_journal(cluster, followed.job)}
    again = cluster.submit(sweep, out)
    assert "succeeded" in cluster.wait(again), cluster.printed(again)
    took = time.monotonic() - mended
    records = whole_journal(cluster, again)
    assert left <= {record.key for record in records}
    printed = cluster.printed(again)
    assert f"{len(records) - len(left)} evaluations computed, {len(left)} from the journal" in printed
    assert cluster.leaderboard(again) == undisturbed
    print(
        f"\n{name}: fault after {known} of {len(records)} evaluations; submit ended with {status} after "
        f"{ended_s:.1f} s, mended {mended - struck:.0f} s after the fault; {len(left)} in the journal then; "
        f"{took:.0f} s to the end\n{last_lines(followed.seen())}\nagain:\n{last_lines(printed)}"
    )
    return followed.seen()


def last_lines(text: str, count: int = 4) -> str:
    """The end of what was printed, without the leaderboard."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(f"  | {line[:200]}" for line in lines[-count:])


def whole_journal(cluster: Cluster, job: Job) -> list[Evaluation]:
    """Return the evaluations in the journal: each gave a score, and none is there twice."""
    records = cluster.evaluations(job)
    assert [record for record in records if not isinstance(record.outcome, Scored)] == []
    assert len({record.key for record in records}) == len(records)
    return records


def repeated(tasks: list[dict[str, Any]], kind: str) -> int:
    """How many tasks of a kind were run again."""
    ran = Counter(task["name"] for task in tasks if task["name"].startswith(kind))
    return sum(ran.values()) - len(ran)


def slots(host: Host) -> int:
    """Trials that may run at once on a host, each with an evaluation a fold."""
    return int(host.run("getconf _NPROCESSORS_ONLN").stdout) + 1 if host.alive() else 0
