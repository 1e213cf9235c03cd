"""Featurizers, classifiers, searches and search spaces by their names.

A plugin is known by its file's name, and a file is imported only when its plugin is used: looking through
the folders is enough to know the names. A file that holds a family gives a plugin for each name after the
colon: ``timm:convnext_tiny``. Plugins come with Sweeper, from folders that a person names (``--plugins``, the
environment variable ``SWEEPER_PLUGINS``, :func:`add_folder`), and from installed packages by entry points.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import shutil
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from sweeper.api import Classifier, Featurizer, Network, NetworkFamily, Search
from sweeper.errors import InputError, described
from sweeper.extras import first_missing, missing_library, remedy
from sweeper.plugins.finding import PACKAGES as PACKAGES
from sweeper.plugins.finding import SENT as SENT
from sweeper.plugins.finding import VARIABLE as VARIABLE
from sweeper.plugins.finding import Found, code_of, known, stray
from sweeper.plugins.finding import Kind as Kind
from sweeper.plugins.finding import add_folder as add_folder
from sweeper.plugins.finding import folders as folders
from sweeper.plugins.finding import in_file as in_file
from sweeper.plugins.finding import plugin_files as plugin_files
from sweeper.plugins.finding import root_of as root_of
from sweeper.plugins.finding import source_files as source_files
from sweeper.plugins.finding import source_folder as source_folder

_FEATURIZERS = (Featurizer, Network, NetworkFamily)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a phrase that suggests the nearest known name, or lists them all when none is near."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"


# --------------------------------------------------------------------------- names


def featurizer_names() -> tuple[str, ...]:
    """Return the names of the featurizers, sorted; a family counts once."""
    return tuple(known("featurizer"))


def classifier_names() -> tuple[str, ...]:
    """Return the names of the classifiers, sorted."""
    return tuple(known("classifier"))


def search_names() -> tuple[str, ...]:
    """Return the names of the searches, sorted."""
    return tuple(known("search"))


def space_names() -> tuple[str, ...]:
    """Return the names of the search spaces, sorted."""
    return tuple(known("space"))


def _find(kind: Kind, name: str) -> Found:
    """Return where a plugin is; InputError with the nearest name when there is none."""
    found = known(kind).get(name)
    if found is None:
        noun = "search space" if kind == "space" else kind
        raise InputError(f"unknown {noun} {name!r}; {stray(name) or nearest(name, known(kind))}")
    if found.problem:
        raise InputError(f"{found.origin}: {found.problem}")
    return found


# --------------------------------------------------------------------------- plugins


def featurizer(name: str) -> Featurizer | Network:
    """Return the featurizer called `name`.

    Raises
    ------
    InputError
        There is none (the nearest name is suggested), or its file cannot be used, for the reason given.
    """
    stem, colon, variant = name.partition(":")
    plugin: Featurizer | Network | NetworkFamily = _load("featurizer", stem, _FEATURIZERS)
    if isinstance(plugin, NetworkFamily):
        if not variant:
            raise InputError(f"{stem} is a family of networks: name one, such as {stem}:{plugin.example}")
        return _member(plugin, variant)
    if colon:
        raise InputError(f"unknown featurizer {name!r}: {stem} is not a family; {nearest(stem, (stem,))}")
    return plugin


def texture(name: str) -> Featurizer:
    """Return the featurizer called `name`, which computes its blocks from frames alone."""
    plugin = featurizer(name)
    assert isinstance(plugin, Featurizer)
    return plugin


def network(name: str) -> Network:
    """Return the network called `name`; InputError when it is another featurizer."""
    plugin = featurizer(name)
    if not isinstance(plugin, Network):
        raise InputError(f"{name} is a featurizer that is not trained: a network is needed")
    return plugin


def family(name: str) -> NetworkFamily | None:
    """Return the family of networks that the file called `name` holds; None when it holds a single plugin."""
    plugin = _load("featurizer", name, _FEATURIZERS)
    return plugin if isinstance(plugin, NetworkFamily) else None


def featurizer_examples() -> tuple[str, ...]:
    """Return one featurizer of each file, sorted: of a family, the example that it names."""
    found = ((name, family(name)) for name in featurizer_names())
    return tuple(name if kin is None else f"{name}:{kin.example}" for name, kin in found)


def classifier(name: str) -> Classifier:
    """Return the classifier called `name`; InputError as for :func:`featurizer`."""
    plugin: Classifier = _load("classifier", name, (Classifier,))
    return plugin


def search(name: str) -> Search:
    """Return the search called `name`; InputError as for :func:`featurizer`."""
    plugin: Search = _load("search", name, (Search,))
    return plugin


_LOADERS: dict[Kind, Any] = {"featurizer": featurizer, "classifier": classifier, "search": search}


def _load(kind: Kind, name: str, types: tuple[type, ...]) -> Any:
    return _imported(_find(kind, name), kind, types)


@lru_cache(maxsize=1024)
def _imported(found: Found, kind: Kind, types: tuple[type, ...]) -> Any:
    """Import a plugin, and check that it is one; InputError names its file and what is wrong."""
    try:
        module = importlib.import_module(found.module)
    except (Exception, SystemExit) as error:
        reason = _why(error) or f"cannot be imported: {described(error)}"
        raise InputError(f"{found.origin} {reason}") from error
    plugin = getattr(module, found.constant, None)
    if not isinstance(plugin, types):
        wanted = " or ".join(t.__name__ for t in types)
        raise InputError(f"{found.origin}: {found.constant} must be a {wanted}, got {type(plugin).__name__}")
    if plugin.name != found.name:  # type: ignore[attr-defined]
        raise InputError(f"{found.origin}: {found.constant}.name must be {found.name!r}, the {kind}'s name")
    return plugin


@lru_cache(maxsize=1024)
def _member(family: NetworkFamily, variant: str) -> Network:
    name = f"{family.name}:{variant}"
    try:
        return family.member(variant)
    except InputError:
        raise
    except (ValueError, ImportError) as error:
        raise InputError(f"{name} {_why(error) or f'cannot be made: {error}'}") from error


def _why(error: BaseException) -> str:
    """Return what to install when an import failed for want of a library; else nothing."""
    library = missing_library(error)
    return "" if library is None else remedy(library)


# --------------------------------------------------------------------------- what is installed


def missing(kind: Kind, name: str) -> str | None:
    """Return what must be installed before a plugin can be used; None when nothing is missing.

    Raises
    ------
    InputError
        See :func:`featurizer`.
    """
    kin = family(name.partition(":")[0]) if kind == "featurizer" else None
    library = None if kin is None else first_missing(kin.requires)
    if library is None and (kin is None or ":" in name):
        library = first_missing(_LOADERS[kind](name).requires)
    return None if library is None else remedy(library)


def check_installed(kind: Kind, names: Iterable[str]) -> None:
    """Raise InputError, naming plugin and remedy, unless all that some plugins need is installed."""
    for name in names:
        if (lack := missing(kind, name)) is not None:
            raise InputError(f"{name} {lack}")


# --------------------------------------------------------------------------- code


def code_digest(kind: Kind, name: str) -> int | str:
    """Return what the keys of evaluations and blocks know a plugin's code by.

    For a plugin that comes with Sweeper this is its `version`. For one from outside it is a digest of its
    version, its file and the helpers beside it: results of an earlier edit are never taken for its own.
    """
    version: int = _LOADERS[kind](name).version
    found = _find(kind, name.partition(":")[0])
    return version if found.built_in else _digest(found, version)


@lru_cache(maxsize=1024)
def _digest(found: Found, version: int) -> str:
    hasher = hashlib.blake2b(f"{version}\n".encode(), digest_size=10)
    for path in code_of(found):
        hasher.update(f"{path.name}\n".encode())
        hasher.update(path.read_bytes())
    return hasher.hexdigest()


def copy_folders(target: Path) -> list[Path]:
    """Copy the folders of plugins, helpers included, into numbered folders in `target`; return these."""
    copies = []
    for number, folder in enumerate(folders()):
        copy = target / str(number)
        copy.mkdir(parents=True)
        for file in plugin_files(folder):
            place = copy / file.relative_to(folder)
            place.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, place)
        copies.append(copy)
    return copies


# --------------------------------------------------------------------------- search spaces


def is_space_file(name: str) -> bool:
    """Return whether a space is given as the path of a file; else it is a name."""
    return Path(name).suffix in {".yaml", ".yml"} or Path(name).parent != Path()


def space_path(name: str) -> Path:
    """Return the file of the search space called `name`, or `name` itself when it is the path of a file.

    Raises
    ------
    InputError
        There is no such space; the nearest name is suggested.
    """
    if is_space_file(name):
        if not Path(name).is_file():
            raise InputError(f"space {name}: no such file")
        return Path(name)
    file = _find("space", name).file
    assert file is not None
    return file
