"""Machines of the cluster: whether they run this code, and what they see of the driver's files.

Those that are there when a sweep starts are asked before it spends anything. A machine that comes later is
asked by the first task that runs there.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweeper.errors import InputError, UnequalNodeError
from sweeper.plugins import PACKAGES as PLUGIN_PACKAGES
from sweeper.plugins import source_folder

PACKAGES = (
    "ray", "hpbandster", "ConfigSpace", "numpy", "scipy", "scikit-learn", "lightgbm", "xgboost", "catboost",
    "numba", "opencv-python-headless", "pyarrow", "tifffile", "fabio", "h5py", "torch", "timm",
)  # fmt: skip
"""What decides the numbers that a sweep gives."""
EXPECTED = "SWEEPER_VERSIONS"
"""Variable in the environment of a cluster's workers: versions that the driver runs, as JSON."""
_PROBE_S = 120.0

P = ParamSpec("P")
T = TypeVar("T")


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


def _difference(node: str, expected: dict[str, str], found: dict[str, str]) -> str | None:
    """The first version in which a node differs, in a line; None when it does not."""
    for what, version in expected.items():
        if found[what] != version:
            return (
                f"node {node}: {what} must be {version}, as where the sweep was started, it is {found[what]}"
            )
    return None


@cache
def check() -> None:
    """On a worker, once: raise UnequalNodeError when it does not run what the driver runs."""
    expected = os.environ.get(EXPECTED)
    if expected is not None:
        node = ray.util.get_node_ip_address()
        if difference := _difference(node, json.loads(expected), versions()):
            raise UnequalNodeError(difference)


def checked(function: Callable[P, T]) -> Callable[P, T]:
    """A task that calls :func:`check` first: it may run on a machine that came after the sweep began."""

    @wraps(function)
    def task(*args: P.args, **kwargs: P.kwargs) -> T:
        check()
        return function(*args, **kwargs)

    return task


def check_folder(folder: Path) -> None:
    """Raise UnequalNodeError when this machine does not see a folder that the driver made."""
    if not folder.is_dir():
        node = ray.util.get_node_ip_address()
        raise UnequalNodeError(f"{folder}: networks need a folder that every node sees, {node} does not")


@cache
def sees(samples: tuple[tuple[str, str], ...]) -> bool:
    """Whether this machine sees files with the stamps that they have for the driver."""
    return all(stamp(path) == seen for path, seen in samples)


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
        if difference := _difference(node.name, mine, node.versions):
            raise InputError(difference)
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
