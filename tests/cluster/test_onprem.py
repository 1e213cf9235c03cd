"""A cluster by `ray up` on test hosts: sweeps are submitted, watched, stopped and refused."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeper.engine.nodes import package_versions
from tests.cluster.hosts import REPOSITORY, Host, hosts
from tests.cluster.onprem import DASHBOARD, Cluster, Job
from tests.conftest import TINY_SPACE, write_textures

MEMBERS = 3
SETTINGS = "--search bohb --trials 22 --folds 3 --seed 5"
LONG = """
name: long
source: a space whose fits take a while, for tests
featurizers:
  glcm: {distance: {subsets: [1, 2]}, angle_deg: [[0, 90]]}
reducers: [standard]
classifiers:
  rf: {n_trees: [400, 800], max_depth: [none, 4, 8], max_features: [sqrt, 0.5]}
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A head and two workers; one more host is on their network."""
    base = tmp_path_factory.mktemp("onprem")
    with hosts(MEMBERS + 1, base / "site") as site:
        write_textures(site.desk.shared / "frames", per_class=64)
        (site.desk.shared / "tiny.yaml").write_text(TINY_SPACE)
        (site.desk.shared / "long.yaml").write_text(LONG)
        made = Cluster(site, site.hosts[:MEMBERS], base)
        made.up()
        yield made


def sweep_of(frames: str, cluster: Cluster, space: str = "tiny") -> str:
    return f"{frames} --space {cluster.desk.shared}/{space}.yaml {SETTINGS}"


@pytest.fixture(scope="module")
def plain(cluster: Cluster) -> list[dict[str, str]]:
    """The same sweep on one machine."""
    return cluster.plain(sweep_of(f"{cluster.desk.shared}/frames", cluster), "plain")


def assert_every_host_worked(cluster: Cluster, job: Job) -> None:
    """Each computed blocks and evaluations."""
    tasks = [task for task in cluster.tasks(job) if task["state"] == "FINISHED"]
    for kind in ("block ", "trial "):
        addresses = {task["address"] for task in tasks if task["name"].startswith(kind)}
        assert addresses == {host.address for host in cluster.members}, kind


def test_all_hosts_of_the_configuration_are_up(cluster: Cluster) -> None:
    assert cluster.nodes() == [host.address for host in cluster.members]


def test_data_and_run_folder_on_shared_storage(cluster: Cluster, plain: list[dict[str, str]]) -> None:
    shared = cluster.desk.shared
    job = cluster.submit(sweep_of(f"{shared}/frames", cluster), f"{shared}/run")
    assert "succeeded" in cluster.wait(job), cluster.printed(job)
    assert cluster.leaderboard(job) == plain
    assert_every_host_worked(cluster, job)


def test_data_and_run_folder_that_the_head_alone_sees(cluster: Cluster, plain: list[dict[str, str]]) -> None:
    head, *workers = cluster.members
    head.run(f"cp -r {head.shared}/frames ~/frames")
    job = cluster.submit(sweep_of(f"{head.home}/frames", cluster), f"{head.home}/run")
    assert "succeeded" in cluster.wait(job), cluster.printed(job)
    for worker in workers:
        assert worker.run(f"ls -d {head.home}/frames {head.home}/run", check=False).returncode != 0
    assert cluster.leaderboard(job) == plain
    assert_every_host_worked(cluster, job)


def test_a_running_job_is_told_of_stopped_and_goes_on_when_submitted_again(cluster: Cluster) -> None:
    shared = cluster.desk.shared
    sweep = sweep_of(f"{shared}/frames", cluster, "long")
    job = cluster.submit(sweep, f"{shared}/stopped")
    cluster.wait_for_evaluations(job, 6)
    assert cluster.status(job).startswith(f"{job.id}: running")
    stopped = cluster.at_desk(f"python -m sweeper stop {job.id} --address {DASHBOARD}").stdout
    assert stopped.startswith(f"{job.id}: stopped")
    assert ": stopped" in cluster.wait(job)
    known = {record.key for record in cluster.evaluations(job)}
    again = cluster.submit(sweep, job.out)
    assert "succeeded" in cluster.wait(again), cluster.printed(again)
    records = cluster.evaluations(again)
    assert len({record.key for record in records}) == len(records)
    assert f"{len(records) - len(known)} evaluations computed, {len(known)} from the journal" in (
        cluster.printed(again)
    )
    board = cluster.leaderboard(again)
    assert board == cluster.plain(sweep, "plain-long")


def test_without_the_token_nothing_is_answered(cluster: Cluster) -> None:
    frames = f"{cluster.desk.shared}/frames"
    refused = cluster.at_desk(
        f"python -m sweeper submit {sweep_of(frames, cluster)} --address {DASHBOARD} --out /tmp/no --no-wait",
        token=False,
        check=False,
    )
    assert refused.returncode == 2
    assert refused.stderr.strip().endswith(
        "the cluster's token is needed: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to its file"
    )
    assert len(refused.stderr.strip().splitlines()) == 1, refused.stderr
    asked = cluster.at_desk(f"curl --silent --write-out '%{{http_code}}' {DASHBOARD}/api/jobs/", token=False)
    assert asked.stdout.endswith("401")
    join = f"ray start --address={cluster.head.address}:6379"
    stranger = cluster.site.hosts[MEMBERS]
    assert stranger.run(cluster.command(join, token=False), check=False).returncode != 0
    assert cluster.nodes() == [host.address for host in cluster.members]


def test_the_dashboard_is_reached_by_ssh_alone(cluster: Cluster) -> None:
    for port, answers in ((22, True), (8265, False)):
        knock = f"timeout 5 bash -c '</dev/tcp/{cluster.head.address}/{port}'"
        assert (cluster.desk.run(knock, check=False).returncode == 0) is answers


def test_the_token_is_readable_by_its_user_alone_and_in_no_log(cluster: Cluster) -> None:
    for host in cluster.members:
        assert host.run("stat --format=%a ~/.ray/auth_token").stdout.strip() == "600"
        token = host.run("cat ~/.ray/auth_token").stdout.strip()
        assert len(token) >= 32
        found = host.run(f"grep --recursive --files-with-matches {token} /tmp/ray", check=False)
        assert found.stdout == ""
        shown = host.run("ps -eo args").stdout
        assert not any(token in line for line in shown.splitlines() if "ps -eo" not in line)


@pytest.fixture
def stranger(cluster: Cluster) -> Iterator[Host]:
    """A host that is not of the configuration, with the cluster's token."""
    host = cluster.site.hosts[MEMBERS]
    token = cluster.head.run("cat ~/.ray/auth_token").stdout.strip()
    host.run(f"mkdir -p ~/.ray && umask 077 && echo {shlex.quote(token)} > ~/.ray/auth_token")
    yield host
    host.run(cluster.command("ray stop --force"))
    host.run(f"umount {REPOSITORY}/sweeper", check=False)
    cluster.wait_for_nodes(MEMBERS)


def join(cluster: Cluster, host: Host, path: str) -> None:
    """Start a worker by hand; `path` says where Python looks before it looks at what is installed."""
    start = cluster.command(f"PYTHONPATH={path} ray start --address={cluster.head.address}:6379")
    if host.run(start, check=False).returncode:  # Ray gives a machine 30 s, which may be busy
        host.run(cluster.command("ray stop --force"))
        host.run(start)
    cluster.wait_for_nodes(MEMBERS + 1)


def test_another_version_of_a_package_is_refused_and_named(cluster: Cluster, stranger: Host) -> None:
    other = f"{stranger.home}/other/tifffile-2020.1.1.dist-info"
    stranger.run(f"mkdir -p {other} && printf 'Name: tifffile\\nVersion: 2020.1.1\\n' > {other}/METADATA")
    join(cluster, stranger, f"{stranger.home}/other:{REPOSITORY}")
    job = cluster.submit(sweep_of(f"{cluster.desk.shared}/frames", cluster), f"{cluster.desk.shared}/refused")
    assert "failed" in cluster.wait(job)
    assert (
        f"node {stranger.address}: tifffile must be {package_versions()['tifffile']}, as where the sweep was "
        "started, it is 2020.1.1"
    ) in cluster.printed(job)
    assert cluster.evaluations(job) == []


def test_other_code_on_a_worker_is_refused_and_named(cluster: Cluster, stranger: Host) -> None:
    """A job brings its code along; a sweep that is started on the head runs what is installed."""
    stranger.run(f"cp -r {REPOSITORY}/sweeper ~/other-code && echo '# other' >> ~/other-code/cli.py")
    stranger.run(f"mount --bind ~/other-code {REPOSITORY}/sweeper")
    join(cluster, stranger, str(REPOSITORY))
    out = Path(cluster.desk.shared, "refused-too")
    frames = f"{cluster.desk.shared}/frames"
    refused = cluster.head.run(
        cluster.command(f"python -m sweeper run {sweep_of(frames, cluster)} --address auto --out {out}"),
        check=False,
    )
    assert refused.returncode == 2, refused.stdout
    assert f"node {stranger.address}: sweeper/cli.py must be the same file as" in refused.stderr
    assert not (out / "leaderboard.csv").exists()


def test_down_ends_ray_on_every_host(cluster: Cluster) -> None:
    """`ray down` stops the head; the others end when they have missed it for a while."""
    assert all(cluster.processes(host) for host in cluster.members)
    cluster.down()
    assert cluster.processes(cluster.head) == []
    deadline = time.monotonic() + 300
    while left := [line for host in cluster.members for line in cluster.processes(host)]:
        assert time.monotonic() < deadline, left
        time.sleep(2)
