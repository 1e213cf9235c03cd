"""Machines of the cluster: whether they run this code, and which of the driver's files they see.

Machines that are there when a sweep starts are asked before it spends anything. One that joins later is
checked by the first task that runs there.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweeper import plugins
from sweeper.errors import InputError, UnequalNodeError
from sweeper.runs.versions import package_versions

EXPECTED = "SWEEPER_VERSIONS"
"""Variable in the environment of a cluster's workers: what the driver runs, as JSON."""
_SOURCE = "source"
_SOURCE_FILES = "source files"
_PROBE_S = 120.0

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Node:
    """The answer of one machine.

    Attributes
    ----------
    name : str
        Its address.
    versions : dict
        Package to version, and ``python``.
    files : dict
        Source file to its digest.
    unseen : tuple of str
        Files of the driver's that it does not see.
    """

    name: str
    versions: dict[str, str]
    files: dict[str, str]
    unseen: tuple[str, ...]


def versions() -> dict[str, str]:
    """Return the versions that this process runs."""
    return {"python": ".".join(map(str, sys.version_info[:3])), **package_versions()}


def file_digests() -> dict[str, str]:
    """Return a digest of each source file that this process runs: the engine and all plugins."""
    files = plugins.source_files()
    return {
        name: hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest() for name, path in files.items()
    }


def _fingerprints(files: dict[str, str]) -> dict[str, str]:
    """Return a short text for each file, of its name and its content, to the file's name."""
    return {
        hashlib.blake2b(f"{name} {content}".encode(), digest_size=3).hexdigest(): name
        for name, content in files.items()
    }


def expected() -> str:
    """Return what this process, the driver, runs, as short text for the environment of workers."""
    files = file_digests()
    whole = hashlib.blake2b(json.dumps(files).encode(), digest_size=8).hexdigest()
    return json.dumps({**versions(), _SOURCE: whole, _SOURCE_FILES: "".join(_fingerprints(files))})


def _version_difference(node: str, expected: dict[str, str], found: dict[str, str]) -> str | None:
    """Return the first version in which a node differs, in a line; None when it does not."""
    for what, version in expected.items():
        if found[what] != version:
            return (
                f"node {node}: {what} must be {version}, as where the sweep was started, it is {found[what]}"
            )
    return None


def _file_difference(node: str, expected: dict[str, str], found: dict[str, str]) -> str | None:
    """Return the first source file in which a node differs, in a line; None when it does not."""
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            return f"node {node}: {name} is missing, it is there where the sweep was started"
        if name not in expected:
            return f"node {node}: {name} must not be there, as where the sweep was started"
        if expected[name] != found[name]:
            return f"node {node}: {name} must be the same file as where the sweep was started, it differs"
    return None


def _unexpected_file(node: str, whole: str, fingerprints: str) -> str | None:
    """Return the first source file here that the driver does not run, in a line; None when all agree."""
    files = file_digests()
    if hashlib.blake2b(json.dumps(files).encode(), digest_size=8).hexdigest() == whole:
        return None
    theirs = {fingerprints[i : i + 6] for i in range(0, len(fingerprints), 6)}
    mine = _fingerprints(files)
    if other := sorted(mine[text] for text in mine if text not in theirs):
        return f"node {node}: {other[0]} must be the same file as where the sweep was started, it differs"
    return f"node {node}: {len(theirs) - len(mine)} source files that the sweep was started with are missing"


@cache
def check() -> None:
    """On a worker, once: raise UnequalNodeError when it does not run what the driver runs."""
    wanted = os.environ.get(EXPECTED)
    if wanted is None:
        return
    node = ray.util.get_node_ip_address()
    said: dict[str, str] = json.loads(wanted)
    whole, fingerprints = said.pop(_SOURCE), said.pop(_SOURCE_FILES)
    difference = _version_difference(node, said, versions()) or _unexpected_file(node, whole, fingerprints)
    if difference:
        raise UnequalNodeError(difference)


def checked(function: Callable[P, T]) -> Callable[P, T]:
    """Return a task that calls :func:`check` first: it may run on a machine that joined after the start."""

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
    """Return whether this machine sees files with the stamps that they have for the driver."""
    return all(stamp(path) == seen for path, seen in samples)


def _look(name: str, paths: Sequence[tuple[str, str]]) -> Node:
    """Answer on a node: what it runs, and the paths that it does not see as the driver does."""
    unseen = tuple(path for path, seen in paths if stamp(path) != seen)
    return Node(name, versions(), file_digests(), unseen)


def stamp(path: str) -> str:
    """Return the size of a file, as text: the same on every machine that sees the same file."""
    try:
        status = Path(path).stat()
    except OSError:
        return "missing"
    return str(status.st_size)


def probe(paths: Sequence[str], environment: dict[str, Any]) -> list[Node]:
    """Ask every node of the cluster.

    Parameters
    ----------
    paths : sequence of str
        Files that the driver sees.
    environment : dict
        The runtime environment of the sweep's tasks, by which workers know the folders of plugins.

    Raises
    ------
    InputError
        A node runs other versions or other code; the first difference is named.
    """
    seen = [(path, stamp(path)) for path in paths]
    look = ray.remote(num_cpus=0, max_retries=1, runtime_env=environment)(_look)
    refs = []
    for node in ray.nodes():
        if node["Alive"]:
            here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            refs.append(look.options(scheduling_strategy=here).remote(node["NodeManagerAddress"], seen))
    nodes: list[Node] = ray.get(refs, timeout=_PROBE_S)
    mine, files = versions(), file_digests()
    for node in nodes:
        difference = _version_difference(node.name, mine, node.versions)
        if difference := difference or _file_difference(node.name, files, node.files):
            raise InputError(difference)
    return nodes


def marker(folder: Path) -> Path:
    """Make a file in `folder` that tells it from any other of the same name; the caller removes it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".seen-{uuid.uuid4().hex}"
    path.write_bytes(b".")
    return path


def unseeing(nodes: Sequence[Node], path: str) -> list[str]:
    """Return the names of the nodes that do not see a file that was asked for."""
    return [node.name for node in nodes if path in node.unseen]
