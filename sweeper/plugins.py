"""Finds featurizers, classifiers and search spaces by walking their folders.

A plugin is known by its file's name: listing the folder is enough to know the names, and a file is
imported only when its plugin is used. A file that holds a family gives a plugin for each name after the
colon: ``timm:convnext_tiny``.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from sweeper.api import Classifier, Featurizer, Network, NetworkFamily
from sweeper.errors import InputError

PACKAGES = ("sweeper", "sweeper.featurizers", "sweeper.classifiers", "sweeper.search_spaces")
"""The engine, and where plugins are found."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Sentence that suggests the nearest known name, or lists them all when none is near."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"


@cache
def _names(package: str) -> tuple[str, ...]:
    folder = importlib.import_module(package)
    return tuple(sorted(m.name for m in pkgutil.iter_modules(folder.__path__) if not m.name.startswith("_")))


def add_folder(folder: Path) -> None:
    """Add a folder of plugins from outside the installation.

    Raises
    ------
    ValueError
        There is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"--plugins {folder}: there is no such folder")


def featurizer_names() -> tuple[str, ...]:
    """Names of the featurizers, sorted."""
    return _names("sweeper.featurizers")


def classifier_names() -> tuple[str, ...]:
    """Names of the classifiers, sorted."""
    return _names("sweeper.classifiers")


def space_names() -> tuple[str, ...]:
    """Names of the search spaces, sorted."""
    return tuple(sorted(p.stem for p in source_folder("sweeper.search_spaces").glob("*.yaml")))


def source_folder(package: str) -> Path:
    """Folder of one of :data:`PACKAGES`, as this process imports it."""
    return Path(importlib.import_module(package).__path__[0])


def is_space_file(name: str) -> bool:
    """Whether a space is given as the path of a file; else it is a name."""
    return Path(name).suffix in {".yaml", ".yml"} or Path(name).parent != Path()


def space_path(name: str) -> Path:
    """File of the search space called `name`, or `name` itself when it is the path of a file.

    Raises
    ------
    ValueError
        When there is no such space; the nearest name is suggested.
    """
    if is_space_file(name):
        if not Path(name).is_file():
            raise InputError(f"space {name}: no such file")
        return Path(name)
    if name not in space_names():
        raise InputError(f"unknown search space {name!r}; {nearest(name, space_names())}")
    return source_folder("sweeper.search_spaces") / f"{name}.yaml"


def _load(package: str, constant: str, name: str, kinds: tuple[type, ...]) -> Any:
    known = _names(package)
    singular = package.rpartition(".")[2].removesuffix("s")
    if name not in known:
        raise InputError(f"unknown {singular} {name!r}; {nearest(name, known)}")
    module = importlib.import_module(f"{package}.{name}")
    plugin = getattr(module, constant, None)
    if not isinstance(plugin, kinds):
        raise InputError(f"{module.__file__}: a {singular} file has a constant {constant}")
    if plugin.name != name:  # type: ignore[attr-defined]
        raise InputError(f"{module.__file__}: {constant}.name must be {name!r}, the file's name")
    return plugin


@cache
def featurizer(name: str) -> Featurizer | Network:
    """The featurizer called `name`; ValueError with the nearest name when there is none."""
    stem, colon, variant = name.partition(":")
    plugin: Featurizer | Network | NetworkFamily = _load(
        "sweeper.featurizers", "FEATURIZER", stem, (Featurizer, Network, NetworkFamily)
    )
    if isinstance(plugin, NetworkFamily):
        if not variant:
            raise InputError(f"{stem} is a family of networks: name one, such as {stem}:{plugin.example}")
        return plugin.member(variant)
    if colon:
        raise InputError(f"unknown featurizer {name!r}: {stem} is not a family; {nearest(stem, (stem,))}")
    return plugin


def texture(name: str) -> Featurizer:
    """The featurizer called `name`, which computes its blocks from frames alone."""
    plugin = featurizer(name)
    assert isinstance(plugin, Featurizer)
    return plugin


def network(name: str) -> Network:
    """The network called `name`; ValueError when it is another featurizer."""
    plugin = featurizer(name)
    if not isinstance(plugin, Network):
        raise InputError(f"{name} is a featurizer that is not trained: a network is needed")
    return plugin


def family(name: str) -> NetworkFamily | None:
    """The family of networks that the file called `name` holds; None when it holds a single plugin."""
    plugin = _load("sweeper.featurizers", "FEATURIZER", name, (Featurizer, Network, NetworkFamily))
    return plugin if isinstance(plugin, NetworkFamily) else None


def featurizer_examples() -> tuple[str, ...]:
    """A featurizer of each file, sorted: of a family the example that it names."""
    found = ((name, family(name)) for name in featurizer_names())
    return tuple(name if kin is None else f"{name}:{kin.example}" for name, kin in found)


@cache
def classifier(name: str) -> Classifier:
    """The classifier called `name`; ValueError with the nearest name when there is none."""
    plugin: Classifier = _load("sweeper.classifiers", "CLASSIFIER", name, (Classifier,))
    return plugin
