"""A cluster on test hosts, as an operator makes it: `ray up` of the on-premises configuration."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sweeper.runs.records import Evaluation, decode
from tests.cluster.hosts import REPOSITORY, Host, Site

CONFIG = REPOSITORY / "cluster_configs" / "onprem.yaml"
DASHBOARD = "http://127.0.0.1:8265"
TIMINGS = ("featurize_ms_per_frame", "fit_s", "predict_ms_per_frame")
_ENVIRONMENT = "~/sweeper-env"
_UP_S, _DOWN_S, _WORKERS_S, _JOB_S = 600.0, 300.0, 300.0, 900.0
_KEYS = {
    "cluster_name", "provider", "auth", "file_mounts", "rsync_exclude", "rsync_filter", "setup_commands",
    "head_start_ray_commands", "worker_start_ray_commands",
}  # fmt: skip


def config_for(hosts: Sequence[Host], options: str = "", before: str = "") -> dict[str, Any]:
    """The configuration as it is shipped, with the values that its user changes.

    Setup is left out: the hosts see the environment that runs this. `options` are added to each
    ``ray start``, and the shell command `before` runs before it.
    """
    config: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    assert set(config) == _KEYS
    assert set(config["provider"]) == {"type", "head_ip", "worker_ips"}
    assert set(config["auth"]) == {"ssh_user", "ssh_private_key"}
    head, *workers = (host.address for host in hosts)
    config["provider"] |= {"head_ip": head, "worker_ips": workers}
    config["auth"] = {"ssh_user": "root", "ssh_private_key": "~/.ssh/id_ed25519"}
    installs = [c for c in config["setup_commands"] if "-m venv" in c or "-m pip install" in c]
    assert len(installs) == 2 and "--constraint ~/sweeper/constraints.txt" in installs[1]
    config["setup_commands"] = [c for c in config["setup_commands"] if c not in installs]
    for commands in (config["head_start_ray_commands"], config["worker_start_ray_commands"]):
        assert commands[-1].count("&& ray start") == 1
        start = f"&& {before} && ray start" if before else "&& ray start"
        commands[-1] = f"{commands[-1].replace('&& ray start', start)} {options}"
    return config


@dataclass(frozen=True)
class Job:
    """A sweep that was submitted."""

    id: str
    out: str


@dataclass(frozen=True)
class Followed:
    """A sweep that was submitted by somebody who watches it."""

    job: Job
    _process: subprocess.Popen[bytes]
    _log: Path

    def wait(self, timeout: float = _JOB_S) -> int:
        """Wait until ``sweeper submit`` ends by itself; its exit status."""
        return self._process.wait(timeout)

    def leave(self) -> None:
        """Stop watching."""
        self._process.terminate()
        self._process.wait()

    def seen(self) -> str:
        """What ``sweeper submit`` printed, errors included."""
        return self._log.read_text()


@dataclass
class Cluster:
    """What an operator does with it, from the desk.

    Attributes
    ----------
    site : Site
    members : tuple of Host
        Hosts that it runs on, the head first.
    logs : Path
        Where what the tunnel prints goes.
    options, before : str
        See :func:`config_for`.
    """

    site: Site
    members: tuple[Host, ...]
    logs: Path
    options: str = ""
    before: str = ""
    _tunnel: subprocess.Popen[bytes] | None = None

    @property
    def desk(self) -> Host:
        """Where the operator sits."""
        return self.site.desk

    @property
    def head(self) -> Host:
        """The host whose head it is."""
        return self.members[0]

    def command(self, command: str, *, token: bool | str = True) -> str:
        """A shell command in Sweeper's environment; without `token` as somebody who has none, or another."""
        mode = "RAY_AUTH_MODE=token" if token else "RAY_AUTH_MODE=disabled"
        if isinstance(token, str):
            mode += f" RAY_AUTH_TOKEN={shlex.quote(token)}"
        code = shlex.quote(str(REPOSITORY))
        return (
            f". {_ENVIRONMENT}/bin/activate && cd {code} && "
            f"export {mode} COLUMNS=160 RAY_USAGE_STATS_ENABLED=0 && {command}"
        )

    def at_desk(
        self, command: str, *, token: bool | str = True, check: bool = True, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a command at the desk."""
        return self.desk.run(self.command(command, token=token), check=check, timeout=timeout)

    def up(self) -> None:
        """Start Ray on all hosts, and open the way to the dashboard."""
        for host in self.site.all():
            host.run(f"ln -sfn {shlex.quote(sys.prefix)} {_ENVIRONMENT}")
        self.desk.run(f"mkdir -p -m 700 ~/.ssh && install -m 600 {self.site.key} ~/.ssh/id_ed25519")
        text = yaml.safe_dump(config_for(self.members, self.options, self.before), sort_keys=False)
        self.desk.run(f"echo {shlex.quote(text)} > ~/onprem.yaml")
        self.at_desk("ray get-auth-token --generate > /dev/null")
        self.up_again()

    def up_again(self) -> float:
        """`ray up`, and open the way to the dashboard again; seconds until all hosts are in the cluster."""
        started = time.monotonic()
        self.close_tunnel()
        self.at_desk("ray up -y ~/onprem.yaml", timeout=_UP_S)
        self.wait_for_nodes(len(self.members))
        took = time.monotonic() - started
        self.open_tunnel()
        return took

    def close_tunnel(self) -> None:
        """End ``ray dashboard``."""
        self.desk.run("pkill --full 'ray dashboard'; pkill --full 'ssh .*8265'", check=False)
        if self._tunnel is not None:
            self._tunnel.terminate()
            self._tunnel.wait()
            self._tunnel = None

    def open_tunnel(self) -> None:
        """Start ``ray dashboard``."""
        self._tunnel = self.desk.start(self.command("ray dashboard ~/onprem.yaml"), self.logs / "tunnel.log")
        self._wait_for_dashboard()

    def _wait_for_dashboard(self) -> None:
        deadline = time.monotonic() + 120
        while self.at_desk(f"curl --silent --output /dev/null {DASHBOARD}", check=False).returncode:
            assert time.monotonic() < deadline, (self.logs / "tunnel.log").read_text()
            time.sleep(1)

    def nodes(self) -> list[str]:
        """Addresses of the nodes that are alive."""
        said = self.head.run(
            'curl --silent --fail --header "Authorization: Bearer $(cat ~/.ray/auth_token)" '
            f"'{DASHBOARD}/api/v0/nodes?limit=100'",
            check=False,
        )
        if said.returncode:
            return []
        found = json.loads(said.stdout)["data"]["result"]["result"]
        return sorted(node["node_ip"] for node in found if node["state"] == "ALIVE")

    def wait_for_nodes(self, count: int, timeout: float = _WORKERS_S) -> float:
        """Wait until so many nodes are alive; seconds that it took."""
        started = time.monotonic()
        while len(found := self.nodes()) != count:
            waited = time.monotonic() - started
            assert waited < timeout, f"{count} nodes are due, there are {found}"
            time.sleep(1)
        return time.monotonic() - started

    def submit(self, arguments: str, out: str, *, token: bool = True) -> Job:
        """Submit a sweep and do not wait."""
        said = self.at_desk(
            f"python -m sweeper submit {arguments} --address {DASHBOARD} --out {out} --no-wait", token=token
        ).stdout
        first = said.splitlines()[0].split()
        assert first[0] == "job", said
        return Job(first[1], out)

    def follow(self, arguments: str, out: str, name: str) -> Followed:
        """Submit a sweep and watch it."""
        log = self.logs / f"{name}.followed"
        command = f"python -m sweeper submit {arguments} --address {DASHBOARD} --out {out}"
        process = self.desk.start(self.command(command), log)
        deadline = time.monotonic() + 120
        while not (told := re.search(r"^job (\S+) at ", log.read_text(), re.MULTILINE)):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        return Followed(Job(told[1], out), process, log)

    def plain(self, arguments: str, name: str) -> list[dict[str, str]]:
        """The leaderboard of the same sweep at the desk, on Ray of its own, without timings."""
        out = self.site.desk.shared / name
        self.at_desk(f"python -m sweeper run {arguments} --cpus 2 --out {out}", timeout=_JOB_S)
        return rows((out / "leaderboard.csv").read_text())

    def status(self, job: Job) -> str:
        """What `sweeper status` says."""
        return self.at_desk(f"python -m sweeper status {job.id} --address {DASHBOARD}").stdout

    def _goes_on(self, status: str) -> bool:
        return ": pending" in status or ": running" in status

    def wait(self, job: Job, timeout: float = _JOB_S) -> str:
        """Wait until a job ended; what its status says then."""
        deadline = time.monotonic() + timeout
        while self._goes_on(said := self.status(job)):
            assert time.monotonic() < deadline, f"{said}\n{self.printed(job)}"
            time.sleep(2)
        return said

    def printed(self, job: Job) -> str:
        """What a job printed."""
        return self.at_desk(f"ray job logs --address {DASHBOARD} {job.id}", check=False).stdout

    def evaluations(self, job: Job) -> list[Evaluation]:
        """Return the evaluations in a run folder, as the head sees it."""
        text = self.head.run(f"cat {job.out}/journal.jsonl 2> /dev/null", check=False).stdout
        lines = [line for line in text.encode().splitlines(keepends=True) if line.endswith(b"\n")]
        records = [decode(line) for line in lines]
        assert None not in records, lines[records.index(None)]
        return [record for record in records if isinstance(record, Evaluation)]

    def wait_for_evaluations(self, job: Job, count: int, timeout: float = _JOB_S) -> int:
        """Wait until a run folder has so many evaluations; how many it has."""
        deadline = time.monotonic() + timeout
        look = time.monotonic() + 10
        while (found := len(self.evaluations(job))) < count:
            if (now := time.monotonic()) > look:
                said, look = self.status(job), now + 10
                assert now < deadline and self._goes_on(said), (
                    f"{said}{found} evaluations\n{self.printed(job)}"
                )
            time.sleep(0.5)
        return found

    def leaderboard(self, job: Job) -> list[dict[str, str]]:
        """Rows of a leaderboard without timings."""
        return rows(self.head.run(f"cat {job.out}/leaderboard.csv").stdout)

    def tasks(self, job: Job) -> list[dict[str, Any]]:
        """Tasks that a job ran, as Ray recorded them: name, state, attempt and the node's address."""
        done = self.at_desk(f"python {shlex.quote(str(Path(__file__).with_name('task_events.py')))} {job.id}")
        found: list[dict[str, Any]] = json.loads(done.stdout.strip().splitlines()[-1])
        return found

    def running(self, title: str) -> list[tuple[Host, int]]:
        """Hosts and ids of the processes whose command line or title begins with `title`."""
        found = []
        for host in self.members:
            for line in host.run("ps -eo pid=,args=").stdout.splitlines() if host.alive() else ():
                pid, args = line.split(maxsplit=1)
                if args.startswith(title):
                    found.append((host, int(pid)))
        return found

    def processes(self, host: Host) -> list[str]:
        """Ray's processes on a host."""
        lines = host.run("ps -eo args").stdout.splitlines()
        return [line for line in lines if "raylet" in line or "gcs_server" in line or "ray::" in line]

    def down(self) -> None:
        """End Ray on all hosts."""
        self.at_desk("ray down -y ~/onprem.yaml", timeout=_DOWN_S)
        self.close_tunnel()


def rows(text: str) -> list[dict[str, str]]:
    """Rows of a leaderboard's CSV without timings."""
    table = list(csv.DictReader(io.StringIO(text)))
    return [{key: value for key, value in row.items() if key not in TIMINGS} for row in table]
