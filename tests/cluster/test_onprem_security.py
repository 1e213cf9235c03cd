"""Who is let in: tokens that are another cluster's, ports that listen, secrets that must not be written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.cluster.faults import cluster_of, long_sweep
from tests.cluster.hosts import REPOSITORY, Host
from tests.cluster.onprem import DASHBOARD, Cluster

MEMBERS = 2
WRONG = "0" * 64
LISTENING = {"sshd", "gcs_server", "raylet", "ray::", "python"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A head and a worker; one more host is on their network."""
    with cluster_of(MEMBERS, tmp_path_factory.mktemp("security"), strangers=1) as made:
        yield made


@dataclass(frozen=True)
class Port:
    """Where a process of a host listens."""

    address: str
    number: int
    process: str


def listening(host: Host) -> list[Port]:
    """All TCP ports of a host that something listens on."""
    ports = []
    for line in host.run("ss --listening --tcp --numeric --processes --no-header").stdout.splitlines():
        where = line.split()[3]
        address, _, number = where.rpartition(":")
        pid = re.search(r"pid=(\d+)", line)
        assert pid, line
        process = host.run(f"ps -o args= -p {pid[1]}", check=False).stdout.strip()
        ports.append(Port(address, int(number), process))
    return ports


def test_a_wrong_token_is_refused(cluster: Cluster) -> None:
    frames = f"{long_sweep(cluster)} --address {DASHBOARD} --out /tmp/no --no-wait"
    refused = cluster.at_desk(f"python -m sweeper submit {frames}", token=WRONG, check=False)
    print(refused.stdout, refused.stderr)
    asked = cluster.at_desk(
        f"curl --silent --write-out '%{{http_code}}' --header 'Authorization: Bearer {WRONG}' "
        f"{DASHBOARD}/api/jobs/"
    )
    print(asked.stdout)
    stranger = cluster.site.hosts[MEMBERS]
    joined = stranger.run(
        cluster.command(f"ray start --address={cluster.head.address}:6379", token=WRONG), check=False
    )
    print(joined.returncode, joined.stdout, joined.stderr)
    assert cluster.nodes() == [host.address for host in cluster.members]


def test_ports(cluster: Cluster) -> None:
    for host in cluster.members:
        for port in listening(host):
            answer = cluster.desk.run(
                f"curl --silent --max-time 5 --output /dev/null --write-out '%{{http_code}}' "
                f"http://{host.address}:{port.number}/metrics", check=False).stdout
            job = cluster.desk.run(
                f"curl --silent --max-time 5 --output /dev/null --write-out '%{{http_code}}' "
                f"http://{host.address}:{port.number}/api/job_agent/jobs/", check=False).stdout
            print(host.name, port.address, port.number, answer, job, port.process[:160])
