"""Machines of the cluster: whether they run this code, and what they see of the driver's files."""

from __future__ import annotations

import hashlib
import importlib.metadata
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweeper.plugins import PACKAGES as PLUGIN_PACKAGES
from sweeper.plugins import source_folder

PACKAGES = (
    "ray", "hpbandster", "ConfigSpace", "numpy", "scipy", "scikit-learn", "lightgbm", "xgboost", "catboost",
    "numba", "opencv-python-headless", "pyarrow", "tifffile", "fabio", "h5py", "torch", "timm",
)  # fmt: skip
"""What decides the numbers that a sweep gives."""
_PROBE_S = 120.0


@dataclass(frozen=True)
class Node:
    """What one machine said.

    Attributes
    ----------
    name : str
        Its address.
    versions : dict
        Package to version, and ``python`` and ``sweeper code`` (a digest of the source).
    unseen : tuple of str
        Files of the driver's that it does not see.
    """

    name: str
    versions: dict[str, str]
    unseen: tuple[str, ...]


def package_versions() -> dict[str, str]:
    """Version of each package; ``missing`` where one is not installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "missing"
    return found


@cache
def code_digest() -> str:
    """Digest of the source that this process runs: the engine and all plugins."""
    hasher = hashlib.blake2b(digest_size=8)
    for package in PLUGIN_PACKAGES:
        root = source_folder(package)
        for path in sorted(root.rglob("*.py")):
            hasher.update(str(path.relative_to(root)).encode())
            hasher.update(path.read_bytes())
    return hasher.hexdigest()


def versions() -> dict[str, str]:
    """What this process runs."""
    python = ".".join(map(str, sys.version_info[:3]))
    return {"python": python, "sweeper code": code_digest(), **package_versions()}


def _look(name: str, paths: Sequence[tuple[str, str]]) -> Node:
    """On a node: its versions, and the paths that it does not see as the driver does."""
    return Node(name, versions(), tuple(path for path, seen in paths if stamp(path) != seen))


def stamp(path: str) -> str:
    """Size of a file: the same on every machine that sees the same file."""
    try:
        status = Path(path).stat()
    except OSError:
        return "missing"
    return str(status.st_size)


def probe(paths: Sequence[str]) -> list[Node]:
    """Ask every node of the cluster.

    Parameters
    ----------
    paths : sequence of str
        Files that the driver sees.

    Raises
    ------
    ValueError
        A node runs other versions or other code; the first difference is named.
    """
    seen = [(path, stamp(path)) for path in paths]
    look = ray.remote(num_cpus=0, max_retries=1)(_look)
    refs = []
    for node in ray.nodes():
        if node["Alive"]:
            here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            refs.append(look.options(scheduling_strategy=here).remote(node["NodeManagerAddress"], seen))
    nodes: list[Node] = ray.get(refs, timeout=_PROBE_S)
    mine = versions()
    for node in nodes:
        for what, version in mine.items():
            if node.versions[what] != version:
                raise ValueError(
                    f"node {node.name}: {what} must be {version}, as where the sweep was started, it is "
                    f"{node.versions[what]}"
                )
    return nodes


def marker(folder: Path) -> Path:
    """A file in `folder` that tells it from any other of the same name; the caller removes it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".seen-{uuid.uuid4().hex}"
    path.write_bytes(b".")
    return path


def unseeing(nodes: Sequence[Node], path: str) -> list[str]:
    """Names of the nodes that do not see a file that was asked for."""
    return [node.name for node in nodes if path in node.unseen]


def is_one() -> bool:
    """Whether the cluster is one machine: then nothing has to be asked."""
    return len([node for node in ray.nodes() if node["Alive"]]) == 1
