"""Who is let in: tokens that are another cluster's, ports that listen, secrets that must not be written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.faults import cluster_of, long_sweep
from tests.cluster.hosts import REPOSITORY, Host
from tests.cluster.onprem import DASHBOARD, Cluster, Job

MEMBERS = 2
WRONG = "0" * 64
HTTP_METRICS = {44217, 44227}
"""Ports of the head, of its autoscaler and its dashboard, where metrics are read; an agent has one more."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A head and a worker; one more host is on their network."""
    with cluster_of(MEMBERS, tmp_path_factory.mktemp("security"), strangers=1) as made:
        yield made


@pytest.fixture(scope="module")
def job(cluster: Cluster) -> Job:
    """A sweep that runs."""
    made = cluster.submit(f"{long_sweep(cluster)} --repeats 10", f"{cluster.head.home}/guarded")
    cluster.wait_for_evaluations(made, 1)
    return made


@dataclass(frozen=True)
class Port:
    """Where a process of a host listens."""

    address: str
    number: int
    process: str

    @property
    def is_ray(self) -> bool:
        return "sshd" not in self.process

    @property
    def is_for_others(self) -> bool:
        """Other machines reach it."""
        return "127.0.0.1" not in self.address and self.address != "[::1]"


def listening(host: Host) -> list[Port]:
    """All TCP ports of a host that something listens on."""
    processes = dict(line.split(maxsplit=1) for line in host.run("ps -eo pid=,args=").stdout.splitlines())
    ports = []
    for line in host.run("ss --listening --tcp --numeric --processes --no-header").stdout.splitlines():
        address, _, number = line.split()[3].rpartition(":")
        pid = re.search(r"pid=(\d+)", line)  # a process that is just ending has none
        ports.append(Port(address, int(number), processes.get(pid[1], "") if pid else ""))
    return ports


def http_status(host: Host, url: str) -> int:
    """What a request without a token gets from `host`; 0 where nobody speaks HTTP."""
    said = host.run(
        f"curl --silent --max-time 10 --output /dev/null --write-out '%{{http_code}}' {url}", check=False
    )
    return int(said.stdout)


def knock(cluster: Cluster, host: Host, token: str, ports: list[int]) -> dict[str, dict[str, str]]:
    """What Ray's services on ports of a host answer to the stranger."""
    stranger = cluster.site.hosts[MEMBERS]
    script = Path(__file__).with_name("knock.py")
    asked = " ".join(map(str, ports))
    said = stranger.run(
        cluster.command(f"python {script} {host.address} '{token}' {asked}", token=False), timeout=600
    )
    answers: dict[str, dict[str, str]] = json.loads(said.stdout.splitlines()[-1])
    return answers


def test_a_wrong_token_is_refused(cluster: Cluster) -> None:
    sweep = f"{long_sweep(cluster)} --address {DASHBOARD} --out /tmp/no --no-wait"
    refused = cluster.at_desk(f"python -m sweeper submit {sweep}", token=WRONG, check=False)
    assert refused.returncode == 2
    assert refused.stderr.strip() == (
        f"sweeper: --address {DASHBOARD}: the cluster's token is needed: set RAY_AUTH_MODE=token and "
        "RAY_AUTH_TOKEN_PATH to its file"
    )
    for path in ("/api/jobs/", "/nodes?view=summary", "/api/v0/tasks"):
        asked = cluster.at_desk(
            "curl --silent --output /dev/null --write-out '%{http_code}' "
            f"--header 'Authorization: Bearer {WRONG}' '{DASHBOARD}{path}'"
        )
        assert asked.stdout in ("401", "403"), path
    stranger = cluster.site.hosts[MEMBERS]
    start = cluster.command(f"ray start --address={cluster.head.address}:6379", token=WRONG)
    joined = stranger.run(start, check=False)
    assert joined.returncode != 0
    assert "InvalidAuthToken" in joined.stdout + joined.stderr
    assert cluster.nodes() == [host.address for host in cluster.members]


def test_the_dashboard_listens_on_loopback_alone(cluster: Cluster) -> None:
    ports = [port for host in cluster.members for port in listening(host) if port.number == 8265]
    assert [port.address for port in ports] == ["127.0.0.1"]


def test_ports_that_others_reach_want_the_token(cluster: Cluster, job: Job) -> None:
    """All but those where metrics are read; of these a sweep's hold no path and no secret."""
    stranger = cluster.site.hosts[MEMBERS]
    token = cluster.head.run("cat ~/.ray/auth_token").stdout.strip()
    for host in cluster.members:
        ports = {port.number: port for port in listening(host) if port.is_for_others and port.is_ray}
        open_http, rpc = set(), []
        for number in ports:
            status = http_status(stranger, f"http://{host.address}:{number}/metrics")
            if status == 200:
                open_http.add(number)
            elif status == 0:
                rpc.append(number)
            else:
                assert status == 401, (ports[number], status)
        named = open_http & HTTP_METRICS
        assert named == (HTTP_METRICS if host is cluster.head else set())
        assert len(open_http - named) == 1, open_http  # the agent's
        for number in open_http:
            metrics = stranger.run(f"curl --silent http://{host.address}:{number}/metrics").stdout
            assert token not in metrics
            for path in ("/api/jobs/", "/api/job_agent/jobs/", "/api/v0/tasks", "/logs"):
                status = http_status(stranger, f"http://{host.address}:{number}{path}")
                answer = stranger.run(f"curl --silent http://{host.address}:{number}{path}").stdout
                assert status in (401, 403, 404) or answer.startswith("# HELP"), (number, path, status)
        answers = knock(cluster, host, "", rpc)
        print(
            f"\n{host.name}: metrics on {sorted(open_http)}, want a token: "
            f"{[(number, ports[number].process[-60:]) for number in ports if number not in open_http]}"
        )
        for number, answered in answers.items():
            if int(number) not in {port.number for port in listening(host)}:
                continue  # a worker's that has ended
            assert "UNAUTHENTICATED" in answered.values(), (ports[int(number)], answered)
            assert set(answered.values()) <= {"UNAUTHENTICATED", "UNIMPLEMENTED"}, (number, answered)
    for known, answered in ((token, True), (WRONG, False)):
        assert ("OK" in knock(cluster, cluster.head, known, [6379])["6379"].values()) is answered


def test_the_token_is_in_nothing_that_a_sweep_writes(cluster: Cluster, job: Job) -> None:
    cluster.at_desk(f"python -m sweeper stop {job.id} --address {DASHBOARD}")
    cluster.wait(job)
    assert cluster.evaluations(job)
    token = cluster.head.run("cat ~/.ray/auth_token").stdout.strip()
    assert token not in cluster.printed(job)
    look = f"grep --recursive --files-with-matches {token}"
    for host in cluster.members:
        found = host.run(f"{look} /tmp/ray ~/guarded", check=False).stdout
        assert found == ""
        environments = host.run(f"grep --files-with-matches {token} /proc/[0-9]*/environ", check=False).stdout
        assert environments == ""
    assert cluster.head.run("ls ~/guarded/journal.jsonl ~/guarded/sweep.yaml").returncode == 0
    known = cluster.head.run(f"{look} ~ --exclude-dir={REPOSITORY.name}", check=False).stdout
    assert known.split() == [f"{cluster.head.home}/.ray/auth_token"]
