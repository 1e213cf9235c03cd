"""Sources of plugins: the installation, folders that a person names, installed packages.

Nothing is imported here. A file's name is its plugin's name, and the constant that it assigns says of which
kind it is. A name that two sources claim is an error that names both.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any, Literal

from sweeper.errors import InputError

Kind = Literal["featurizer", "classifier", "search", "space"]
CONSTANTS: dict[Kind, str] = {"featurizer": "FEATURIZER", "classifier": "CLASSIFIER", "search": "SEARCH"}
"""The constant that makes a Python file a plugin of a kind."""

VARIABLE = "SWEEPER_PLUGINS"
"""Environment variable with folders of plugins; processes that this one starts find them by it."""
SENT = "sweeper_plugin_folders"
"""Folder on the import path of a cluster's workers, with a copy of each of the driver's folders in it."""

_BUILT_IN: dict[Kind, str] = {
    "featurizer": "sweeper.featurizers",
    "classifier": "sweeper.classifiers",
    "search": "sweeper.search",
    "space": "sweeper.search_spaces",
}
PACKAGES = ("sweeper", *_BUILT_IN.values())
"""Sweeper's own packages, which an installation may keep in several folders."""
_SUBFOLDERS: dict[Kind, str] = {
    "featurizer": "featurizers",
    "classifier": "classifiers",
    "search": "searches",
    "space": "search_spaces",
}
_GROUPS: dict[Kind, str] = {
    "featurizer": "sweeper.featurizers",
    "classifier": "sweeper.classifiers",
    "search": "sweeper.searches",
    "space": "sweeper.spaces",
}


@dataclass(frozen=True)
class Found:
    """A plugin that was found, and not yet imported.

    Attributes
    ----------
    name : str
    origin : str
        Its file, or the entry point that names it, for messages.
    file : Path or None
        None for an entry point, which is located when its file is needed: see :func:`file_of`.
    module : str
        Name that it is imported by; empty for a search space.
    constant : str
    built_in : bool
        Whether it is part of Sweeper's own installation.
    problem : str
        Why it cannot be used; empty where nothing is known to be wrong.
    """

    name: str
    origin: str
    file: Path | None = None
    module: str = ""
    constant: str = ""
    built_in: bool = False
    problem: str = ""


# --------------------------------------------------------------------------- folders


def folders() -> tuple[Path, ...]:
    """Return the folders of plugins outside the installation.

    Raises
    ------
    InputError
        A folder that the environment variable names is not there.
    """
    named = [Path(text).expanduser().resolve() for text in _named().split(os.pathsep) if text.strip()]
    for folder in named:
        if not folder.is_dir():
            raise InputError(f"{VARIABLE}: {folder}: no such folder")
    return tuple(dict.fromkeys([*named, *_sent()]))


def _named() -> str:
    return os.environ.get(VARIABLE, "")


@cache
def _sent() -> tuple[Path, ...]:
    """Return the copies that came with a sweep to this worker, in the driver's order."""
    root = next((root for entry in sys.path if entry and (root := Path(entry, SENT)).is_dir()), None)
    return () if root is None else tuple(sorted(root.iterdir(), key=lambda folder: int(folder.name)))


def add_folder(folder: Path) -> None:
    """Add a folder of plugins, for this process and those that it starts; read it again if it is known.

    Parameters
    ----------
    folder : Path
        Holds Python files with a constant ``FEATURIZER``, ``CLASSIFIER`` or ``SEARCH`` and search spaces
        (``*.yaml``), directly or in subfolders called ``featurizers``, ``classifiers``, ``searches`` and
        ``search_spaces``. Files whose names begin with an underscore are helpers.

    Raises
    ------
    InputError
        There is no such folder, or its path has a character that separates paths.
    """
    path = folder.expanduser().resolve()
    if not path.is_dir():
        raise InputError(f"--plugins {folder}: no such folder")
    if os.pathsep in str(path):
        raise InputError(f"--plugins {folder}: the path must not contain {os.pathsep!r}")
    os.environ[VARIABLE] = os.pathsep.join(dict.fromkeys([*map(str, folders()), str(path)]))
    _of_folder.cache_clear()
    _known.cache_clear()


def plugin_files(folder: Path) -> tuple[Path, ...]:
    """Return the files of a folder that are plugins or may be part of one, helpers included."""
    places = [folder, *(folder / name for name in _SUBFOLDERS.values())]
    files = (f for place in places if place.is_dir() for f in place.iterdir() if not f.name.startswith("."))
    return tuple(sorted(f for f in files if f.suffix in {".py", ".yaml"} and f.is_file()))


@dataclass(frozen=True)
class _Folder:
    """The content of one folder.

    Attributes
    ----------
    found : dict
        Kind to its plugins.
    strays : dict
        Name of a Python file that is no plugin to the reason.
    """

    found: dict[Kind, list[Found]]
    strays: dict[str, str]


@lru_cache(maxsize=64)
def _of_folder(folder: Path) -> _Folder:
    """Look through a folder, and make its files importable as a package whose name tells its content."""
    files = plugin_files(folder)
    content = hashlib.blake2b(digest_size=6)
    for file in files:
        content.update(str(file.relative_to(folder)).encode())
        content.update(file.read_bytes())
    package = f"sweeper.plugins.{re.sub(r'[^0-9A-Za-z]', '_', folder.name)}_{content.hexdigest()}"
    found: dict[Kind, list[Found]] = {kind: [] for kind in _SUBFOLDERS}
    strays: dict[str, str] = {}
    for place in dict.fromkeys([folder, *(f.parent for f in files)]):
        _make_package(package if place == folder else f"{package}.{place.name}", place)
    for file in files:
        kind = next((k for k, name in _SUBFOLDERS.items() if file.parent == folder / name), None)
        if file.suffix == ".yaml":
            if kind in (None, "space"):
                found["space"].append(Found(file.stem, str(file), file))
        elif not file.name.startswith("_"):
            inside = package if file.parent == folder else f"{package}.{file.parent.name}"
            kinds, problem = _kinds_of(file, kind)
            for each in kinds:
                module = f"{inside}.{file.stem}"
                found[each].append(
                    Found(file.stem, str(file), file, module, CONSTANTS[each], problem=problem)
                )
            if not kinds:
                strays[file.stem] = f"{file} has none of the constants {', '.join(CONSTANTS.values())}"
    return _Folder(found, strays)


def _make_package(name: str, folder: Path) -> None:
    """Register a folder as a package: relative imports work, and no name on the import path is claimed."""
    if name not in sys.modules:
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
        sys.modules[name] = importlib.util.module_from_spec(spec)
        if not any(isinstance(finder, _Modules) for finder in sys.meta_path):
            sys.meta_path.insert(0, _Modules())


class _Modules(MetaPathFinder):
    """Finds the files of folders of plugins."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: Any = None) -> ModuleSpec | None:
        """Return the file of a module in one of our packages; None for any other."""
        package, _, stem = name.rpartition(".")
        if not path or not package.startswith("sweeper.plugins."):
            return None
        file = Path(path[0], f"{stem}.py")
        return (
            importlib.util.spec_from_file_location(name, file, loader=_AsWritten(name, str(file)))
            if file.is_file()
            else None
        )


class _AsWritten(SourceFileLoader):
    """Loads a file as it stands, and leaves no bytecode in a person's folder.

    Bytecode is told from outdated one by the file's size and time in seconds, and an edit may keep both.
    """

    def get_code(self, fullname: str) -> CodeType:
        """Compile the source."""
        return self.source_to_code(self.get_data(self.path), self.path)


def _kinds_of(file: Path, expected: Kind | None) -> tuple[tuple[Kind, ...], str]:
    """Return the kinds of plugin that a Python file holds, and why it cannot be used, if it cannot.

    A file that cannot be read may be of any kind; one in a subfolder is of that subfolder's kind.
    """
    likely = tuple(CONSTANTS) if expected not in CONSTANTS else (expected,)
    if not _is_name(file.stem):
        return likely, _BAD_NAME
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError) as error:
        return likely, f"cannot be read as Python: {' '.join(str(error).split())}"
    assigned = set()
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        assigned |= {target.id for target in targets if isinstance(target, ast.Name)}
    kinds = tuple(kind for kind, constant in CONSTANTS.items() if constant in assigned)
    if expected in CONSTANTS and expected not in kinds:
        return likely, f"has no constant {CONSTANTS[expected]}"
    return kinds, ""


_BAD_NAME = "the name of a plugin must be of letters, digits and underscores"


def _is_name(text: str) -> bool:
    return text.isidentifier() and text.isascii()


# --------------------------------------------------------------------------- all sources


def known(kind: Kind) -> dict[str, Found]:
    """Return the plugins of a kind from all sources, by name, sorted.

    Raises
    ------
    InputError
        Two sources claim one name; both are named.
    """
    return _known(kind, _named())


@lru_cache(maxsize=64)
def _known(kind: Kind, named: str) -> dict[str, Found]:
    """Look through all sources; `named` is what the environment variable holds."""
    by_name: dict[str, Found] = {}
    for found in _all(kind):
        other = by_name.setdefault(found.name, found)
        if other is not found and not _same(other, found):
            raise InputError(
                f"{kind} {found.name!r} is there twice: {other.origin} and {found.origin}; rename one of them"
            )
    return dict(sorted(by_name.items()))


def in_file(path: Path) -> list[tuple[Kind, str]]:
    """Return kind and name of the plugins that a file holds; empty when it is in none of the sources."""
    file = path.resolve()
    return [
        (kind, found.name)
        for kind in _SUBFOLDERS
        for found in known(kind).values()
        if found.file is not None and found.file.resolve() == file
    ]


def root_of(path: Path) -> Path:
    """Return the folder of plugins that a file is in: the one above, where it is in a subfolder of a kind."""
    folder = path.resolve().parent
    return folder.parent if folder.name in _SUBFOLDERS.values() else folder


def stray(name: str) -> str:
    """Return why the Python file called `name` in one of the folders is no plugin; empty if there is none."""
    reasons = (_of_folder(folder).strays.get(name) for folder in folders())
    return next((reason for reason in reasons if reason), "")


def _all(kind: Kind) -> Iterator[Found]:
    yield from _built_in(kind)
    for folder in folders():
        yield from _of_folder(folder).found[kind]
    yield from _entry_points(kind)


def _same(a: Found, b: Found) -> bool:
    first, second = file_of(a), file_of(b)
    return first is not None and second is not None and first.resolve() == second.resolve()


@cache
def _built_in(kind: Kind) -> tuple[Found, ...]:
    package = _BUILT_IN[kind]
    folder = source_folder(package)
    if kind == "space":
        return tuple(Found(f.stem, str(f), f, built_in=True) for f in sorted(folder.glob("*.yaml")))
    constant = CONSTANTS[kind]
    return tuple(
        Found(f.stem, str(f), f, f"{package}.{f.stem}", constant, built_in=True)
        for f in sorted(folder.glob("[!_]*.py"))
        if constant in f.read_text(encoding="utf-8")
    )


def source_folder(package: str) -> Path:
    """Return the folder of one of :data:`PACKAGES`, as this process imports it."""
    return Path(importlib.import_module(package).__path__[0])


@cache
def _entry_points(kind: Kind) -> tuple[Found, ...]:
    found: list[Found] = []
    for point in importlib.metadata.entry_points(group=_GROUPS[kind]):
        owner = "a package" if point.dist is None else f"{point.dist.name} {point.dist.version}"
        origin = f"{point.value} of {owner}"
        if kind == "space":
            found += _spaces_of(point.name, point.module, origin)
        else:
            constant, problem = point.attr or CONSTANTS[kind], "" if _is_name(point.name) else _BAD_NAME
            found.append(Found(point.name, origin, None, point.module, constant, problem=problem))
    return tuple(found)


def _spaces_of(name: str, module: str, origin: str) -> list[Found]:
    """Return the search spaces beside a module, or in a package, that an entry point names."""
    try:
        file = _located(module)
    except InputError as error:
        return [Found(name, origin, problem=str(error))]
    return [Found(f.stem, f"{f} ({origin})", f) for f in sorted(file.parent.glob("*.yaml"))]


def _located(module: str) -> Path:
    """Return the file of an installed module; a package's is its ``__init__.py``."""
    try:
        spec = importlib.util.find_spec(module)
    except Exception as error:  # looking for a module imports the packages that it is in
        raise InputError(f"{module} cannot be found: {type(error).__name__}: {error}") from error
    if spec is not None and spec.origin is not None:
        return Path(spec.origin)
    if spec is not None and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)), "__init__.py")
    raise InputError(f"{module} cannot be found: no such module")


def file_of(found: Found) -> Path | None:
    """Return the file of a plugin; None when the module that an entry point names cannot be found."""
    if found.file is not None:
        return found.file
    try:
        return _located(found.module)
    except InputError:
        return None


# --------------------------------------------------------------------------- code


def code_of(found: Found) -> tuple[Path, ...]:
    """Return the files that a plugin outside the installation is made of: its own, and its helpers."""
    file = file_of(found)
    if file is None:
        return ()
    beside = set(file.parent.glob("_*.py"))
    if file.parent.name in _SUBFOLDERS.values() and file.parent.parent in folders():
        beside |= set(file.parent.parent.glob("_*.py"))
    return (file, *sorted(beside - {file}))


def source_files() -> dict[str, Path]:
    """Return every Python file that takes part in a sweep, by a name that is the same on all machines."""
    files: dict[str, Path] = {}
    for package in PACKAGES:
        root = source_folder(package)
        inside = package.replace(".", "/")
        files |= {f"{inside}/{f.relative_to(root).as_posix()}": f for f in root.rglob("*.py")}
    for number, folder in enumerate(folders()):
        sources = (f for f in plugin_files(folder) if f.suffix == ".py")
        files |= {f"plugins {number}: {f.relative_to(folder).as_posix()}": f for f in sources}
    for kind in CONSTANTS:
        for found in _entry_points(kind):
            files |= {f"{found.module} ({found.origin}): {f.name}": f for f in code_of(found)}
    return dict(sorted(files.items()))
