"""Test hosts: several machines on one, each with its own network, processes, temporary folder and home.

A site is a network namespace with a bridge, where the operator sits, and hosts that hang on the bridge.
Each is a tree of processes under one `unshare` that dies with this process. Namespaces have no names
outside: when the processes are gone, networks and mounts are too, also after a SIGKILL. A host that was
killed can be started again: its home is what it was, its temporary folder is empty.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
_PREFIX = "10.77.0."
_DESK = 254
_NAME = "sweeper-test"
_MARK = "SWEEPER_TEST_SITE"
"""Variable in the environment of every process on a host: the folder of its site."""
_TOOLS = ("sshd", "ssh", "ssh-keygen", "ip", "rsync", "unshare", "nsenter", "setpriv", "mount")
_START_S, _END_S = 60.0, 30.0
_SSH = (
    "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
    "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=10",
)  # fmt: skip

_HOST = """
set -eu
hostname "$NAME"
mount -t tmpfs tmpfs /run
mkdir /run/sshd
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs tmpfs "$STAGE"
mkdir -m 1777 "$STAGE/tmp"
mkdir "$STAGE/home"
mkdir -m 700 -p "$DISK"
mount --bind "$DISK" "$STAGE/home"
touch "$STAGE/home/.bashrc"
cp "$NAMES" "$STAGE/hosts"
while read -r from to; do
    mkdir -p "$STAGE/$to"
    mount --rbind "$from" "$STAGE/$to"
done < "$BINDS"
mount --bind "$STAGE/hosts" /etc/hosts
mount --rbind "$STAGE/home" "$HOME"
mount --rbind "$STAGE/tmp" /tmp
ip link set lo up
if [ -n "${BRIDGE-}" ]; then
    ip link add "$LINK" type bridge
else
    until ip link show "$LINK" > /dev/null 2>&1; do sleep 0.05; done
fi
ip address add "$ADDRESS/24" dev "$LINK"
ip link set "$LINK" up
[ -n "${BRIDGE-}" ] || ip route add default via "$GATEWAY"
"$(command -v sshd)" -D -e -f "$SSHD" &
wait
"""
"""What the first process of a host does; bash, so that orphans find somebody who reaps them."""

_SSHD = """
ListenAddress {address}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UsePAM no
StrictModes no
PidFile none
MaxStartups 100
MaxSessions 100
SetEnv {mark}={folder} PYTHONPATH={repository} RAY_raylet_start_wait_time_s=300
"""


def missing() -> str:
    """Why test hosts cannot be made here; empty when they can."""
    if os.geteuid() != 0:
        return "test hosts need root"
    lacking = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if lacking:
        return f"test hosts need {', '.join(lacking)} (Debian: openssh-server, iproute2, rsync, util-linux)"
    made = subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "true"], capture_output=True)
    return "" if made.returncode == 0 else f"test hosts need namespaces: {made.stderr.decode().strip()}"


@dataclass(eq=False)
class Host:
    """One machine.

    Attributes
    ----------
    name, address : str
    shared : Path
        A folder that all hosts see, and this process.
    home : Path
        A folder that this host alone sees, empty at first.
    """

    name: str
    address: str
    shared: Path
    home: Path
    _folder: Path
    _desk: Host | None
    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process that holds the host, as this machine counts."""
        assert self._process is not None
        return self._process.pid

    @property
    def _site(self) -> int:
        """Of the process that holds the bridge."""
        return self.pid if self._desk is None else self._desk.pid

    def ssh(self, command: str) -> list[str]:
        """The command line that runs `command` there by ssh, started from the operator's desk."""
        there = [f"root@{self.address}", "--", f"bash --login -c {shlex.quote(command)}"]
        return [*_in_network(self._site), "ssh", "-i", str(self._folder / "user_key"), *_SSH, *there]

    def run(
        self, command: str, *, check: bool = True, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command there by ssh.

        Raises
        ------
        AssertionError
            It failed, with what it printed; not without `check`.
        """
        done = subprocess.run(
            self.ssh(command), capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL
        )
        if check and done.returncode:
            said = f"{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
            raise AssertionError(f"{self.name}: {command}: exit status {done.returncode}\n{said}")
        return done

    def start(self, command: str, log: Path) -> subprocess.Popen[bytes]:
        """Start a shell command there; what it prints goes to a file here."""
        with log.open("wb") as file:
            return subprocess.Popen(self.ssh(command), stdout=file, stderr=file, stdin=subprocess.DEVNULL)

    def alive(self) -> bool:
        """Whether its processes are there."""
        return self._process is not None and self._process.poll() is None

    def start_up(self) -> None:
        """Switch the host on, for the first time or after :meth:`kill`; returns when it can be reached.

        It ends with the thread that calls this.
        """
        self.switch_on()
        self.wait_until_reached()

    def switch_on(self) -> None:
        """The first half of :meth:`start_up`: the host runs, and may not listen yet."""
        assert not self.alive()
        if self._desk is not None:
            _wait_until_unplugged(self._site, self.address)
        self._process = _start(self._folder, self.name, self.address, bridge=self._desk is None)
        if self._desk is not None:
            _plug_in(self._site, self.pid, self.address)

    def wait_until_reached(self) -> None:
        """Return when the host answers by ssh."""
        deadline = time.monotonic() + _START_S
        while self.run("true", check=False).returncode:
            log = (self._folder / f"{self.name}.log").read_text()
            assert self.alive() and time.monotonic() < deadline, f"{self.name} does not answer: {log}"
            time.sleep(0.2)

    def kill(self) -> None:
        """End the host as a power cut does: nothing in it is told."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def cut(self) -> None:
        """Take its cable out: others no longer reach it, nor it them."""
        self._link("down")

    def mend(self) -> None:
        """Put the cable back."""
        self._link("up")

    def _link(self, state: str) -> None:
        _check([*_in_network(self._site), "ip", "link", "set", _port(self.address), state])


@dataclass(frozen=True)
class Site:
    """Hosts, and the desk of the one who operates them: a machine on their network."""

    desk: Host
    hosts: tuple[Host, ...]
    key: Path

    def all(self) -> tuple[Host, ...]:
        """The hosts and the desk."""
        return (*self.hosts, self.desk)


@contextmanager
def hosts(count: int, root: Path, visible: Sequence[Path] = ()) -> Iterator[Site]:
    """Make hosts, and end them with all that runs on them.

    Parameters
    ----------
    count : int
    root : Path
        An empty folder for keys, logs, and the folder that all share.
    visible : sequence of Path
        What hosts see of this machine's home and temporary folder; the repository and the Python that
        runs this are visible anyhow.
    """
    folder = root.resolve()
    shared = folder / "shared"
    shared.mkdir(parents=True)
    for key in ("host_key", "user_key"):
        _check(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", _NAME, "-f", str(folder / key)])
    names = [(f"{_NAME}-{i}", f"{_PREFIX}{i}") for i in range(1, count + 1)]
    desk = (f"{_NAME}-desk", f"{_PREFIX}{_DESK}")
    lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in (*names, desk))]
    (folder / "hosts").write_text("".join(f"{line}\n" for line in lines))
    seen = [REPOSITORY, Path(sys.prefix), Path(sys.base_prefix), folder, *visible]
    _write_binds(folder / "binds", seen)
    bench = Host(*desk, shared, Path.home(), folder, None)
    made = tuple(Host(name, address, shared, Path.home(), folder, bench) for name, address in names)
    try:
        for host in (bench, *made):
            host.switch_on()
        for host in (bench, *made):
            host.wait_until_reached()
        yield Site(bench, made, folder / "user_key")
    finally:
        for host in (*reversed(made), bench):
            host.kill()
        deadline = time.monotonic() + _END_S
        while left := leftovers(folder):
            assert time.monotonic() < deadline, left
            time.sleep(0.05)


def _write_binds(path: Path, seen: Sequence[Path]) -> None:
    """Which of the folders lie in one that a host has for itself, and where they go."""
    lines = []
    for there in sorted({path.resolve() for path in seen}):
        for own, where in ((Path("/tmp"), "tmp"), (Path.home(), "home")):
            if there.is_relative_to(own):
                assert " " not in str(there)
                lines.append(f"{there} {where}/{there.relative_to(own)}\n")
    path.write_text("".join(lines))


def _start(folder: Path, name: str, address: str, *, bridge: bool) -> subprocess.Popen[bytes]:
    """Start the processes of one machine; they die with this process."""
    stage = folder / f"stage-{name}"
    stage.mkdir(exist_ok=True)
    sshd = folder / f"{name}.sshd"
    sshd.write_text(_SSHD.format(address=address, folder=folder, mark=_MARK, repository=REPOSITORY))
    kept = {key: os.environ[key] for key in ("PATH", "LANG", "LC_ALL") if key in os.environ}
    environment = {
        **kept,
        "PATH": f"{kept['PATH']}:/usr/sbin:/sbin",
        "HOME": str(Path.home()),
        _MARK: str(folder),
        "NAME": name,
        "STAGE": str(stage),
        "DISK": str(folder / f"disk-{name}"),
        "NAMES": str(folder / "hosts"),
        "BINDS": str(folder / "binds"),
        "LINK": "switch" if bridge else "wire",
        "BRIDGE": "yes" if bridge else "",
        "ADDRESS": address,
        "GATEWAY": f"{_PREFIX}{_DESK}",
        "SSHD": str(sshd),
    }
    apart = ["unshare", "--net", "--uts", "--ipc", "--mount", "--pid", "--fork", "--mount-proc"]
    with (folder / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *apart, "--kill-child", "bash", "-c", _HOST],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    ours = Path("/proc/self/ns/net").readlink()
    deadline = time.monotonic() + _START_S
    while Path(f"/proc/{process.pid}/ns/net").readlink() == ours:
        assert process.poll() is None and time.monotonic() < deadline, f"{name} did not start"
        time.sleep(0.02)
    return process


def _port(address: str) -> str:
    """The bridge's end of a host's cable."""
    return f"port{address.removeprefix(_PREFIX)}"


def _plug_in(site: int, host: int, address: str) -> None:
    """A cable from the bridge to a host."""
    inside = _in_network(site)
    deadline = time.monotonic() + _START_S
    while subprocess.run([*inside, "ip", "link", "show", "switch"], capture_output=True).returncode:
        assert time.monotonic() < deadline, "the bridge did not come up"
        time.sleep(0.05)
    end = _port(address)
    _check([*inside, "ip", "link", "add", end, "type", "veth", "peer", "name", "wire", "netns", str(host)])
    _check([*inside, "ip", "link", "set", end, "master", "switch", "up"])


def _wait_until_unplugged(site: int, address: str) -> None:
    """Wait until the kernel has taken away the cable of a host that was killed."""
    look = [*_in_network(site), "ip", "link", "show", _port(address)]
    deadline = time.monotonic() + _END_S
    while subprocess.run(look, capture_output=True).returncode == 0:
        assert time.monotonic() < deadline, f"{address} is still plugged in"
        time.sleep(0.05)


def _in_network(pid: int) -> list[str]:
    return ["nsenter", f"--net=/proc/{pid}/ns/net"]


def _check(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{shlex.join(command)}: {done.stderr.strip()}"


def leftovers(root: Path) -> list[str]:
    """Processes on hosts that were made in a folder, as this machine sees them."""
    mark = f"{_MARK}={root.resolve()}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes().split(b"\0")
            arguments = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if mark in environment:
            found.append(f"{process.name} {arguments}")
    return found
