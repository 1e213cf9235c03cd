"""The test hosts themselves: apart from each other, and gone when they are over."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.hosts import REPOSITORY, Host, Site, hosts, leftovers


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two hosts and a desk."""
    with hosts(2, tmp_path_factory.mktemp("hosts") / "site") as made:
        yield made


def reaches(host: Host, other: Host) -> bool:
    """Whether a host gets an answer from another's SSH server."""
    command = f"timeout 3 bash -c '</dev/tcp/{other.address}/22'"
    return host.run(command, check=False).returncode == 0


def test_each_has_its_own_name_processes_and_folders(site: Site) -> None:
    one, two = site.hosts
    for host in site.all():
        assert host.run("hostname").stdout.strip() == host.name
        assert host.run("cat /proc/1/comm").stdout.strip() == "bash"
    one.run("touch /tmp/mine /dev/shm/mine ~/mine")
    assert two.run("ls /tmp/mine /dev/shm/mine ~/mine 2> /dev/null", check=False).stdout == ""
    one.run("sleep 987654 > /dev/null 2>&1 &")
    assert "987654" in one.run("ps ax").stdout
    assert "987654" not in two.run("ps ax").stdout
    one.run(f"echo here > {one.shared}/ours")
    assert two.run(f"cat {two.shared}/ours").stdout == "here\n"
    assert Path(one.shared, "ours").read_text() == "here\n"


def test_orphans_are_reaped(site: Site) -> None:
    host = site.hosts[0]
    host.run("(setsid sleep 0.2 > /dev/null 2>&1 &)")
    time.sleep(1)
    assert "defunct" not in host.run("ps ax").stdout


def test_a_cut_cable_is_a_partition_and_mending_ends_it(site: Site) -> None:
    one, two = site.hosts
    assert reaches(one, two)
    one.cut()
    assert not reaches(two, one)
    assert one.alive()
    one.mend()
    deadline = time.monotonic() + 20
    while not reaches(two, one):
        assert time.monotonic() < deadline
    assert reaches(one, two)


def test_a_host_that_is_killed_takes_its_processes_with_it(tmp_path: Path) -> None:
    with hosts(1, tmp_path / "site") as site:
        host = site.hosts[0]
        host.run("setsid sleep 4242 > /dev/null 2>&1 &")
        host.kill()
        assert not host.alive()
        assert not reaches(site.desk, host)
        deadline = time.monotonic() + 10
        while any("sleep 4242" in line for line in leftovers(tmp_path / "site")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert leftovers(tmp_path / "site")  # the desk
    assert leftovers(tmp_path / "site") == []


def test_a_host_that_was_killed_is_started_again_with_its_home_and_address(tmp_path: Path) -> None:
    with hosts(2, tmp_path / "site") as site:
        one, two = site.hosts
        one.run("echo kept > ~/note; touch /tmp/lost; setsid sleep 4343 > /dev/null 2>&1 &")
        one.kill()
        one.start_up()
        assert one.run("cat ~/note; ls /tmp/lost", check=False).stdout == "kept\n"
        assert "sleep 4343" not in one.run("ps ax").stdout
        assert two.run("ls ~/note", check=False).returncode != 0
        assert reaches(two, one) and reaches(one, two) and reaches(site.desk, one)
    assert leftovers(tmp_path / "site") == []


_HELD = """
import sys, time
from pathlib import Path
from tests.cluster.hosts import hosts
with hosts(1, Path(sys.argv[1])) as site:
    site.hosts[0].run("setsid sleep 424242 > /dev/null 2>&1 &")
    print("up", flush=True)
    time.sleep(600)
"""


def test_nothing_is_left_when_the_one_who_made_them_is_killed(tmp_path: Path) -> None:
    root = tmp_path / "site"
    with subprocess.Popen(
        [sys.executable, "-c", _HELD, str(root)], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    ) as maker:
        assert maker.stdout is not None
        assert maker.stdout.readline() == "up\n"
        assert [line for line in leftovers(root) if "sleep 424242" in line]
        maker.send_signal(signal.SIGKILL)
        maker.wait()
    deadline = time.monotonic() + 10
    while left := leftovers(root):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    assert str(root) not in Path("/proc/mounts").read_text()
