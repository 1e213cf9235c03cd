"""Every plugin that comes with Sweeper passes every check of its kind.

A new plugin is held to these without a line of test code. What a featurizer's numbers mean is held to an
independent reference in ``tests/featurizers``, and that a network's layers are those of its paper as well.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sweeper import plugins
from sweeper.testing.checks import Check
from sweeper.testing.files import file_checks
from sweeper.testing.plugin import checks_of

KINDS: dict[plugins.Kind, tuple[str, ...]] = {
    "featurizer": plugins.featurizer_names(),
    "classifier": plugins.classifier_names(),
    "search": plugins.search_names(),
    "space": plugins.space_names(),
}
PACKAGES = {
    "featurizer": "sweeper.featurizers",
    "classifier": "sweeper.classifiers",
    "search": "sweeper.search",
}


def all_checks() -> Iterator[Any]:
    """Every check of every plugin, those of one plugin in a row: a large network is built once."""
    for kind, names in KINDS.items():
        for name in names:
            for check, subject in checks_of(kind, name):
                yield pytest.param(check, subject, id=f"{kind}-{name}-{check.__name__}")


def files() -> Iterator[Any]:
    for kind, package in PACKAGES.items():
        for name in KINDS[kind]:
            yield pytest.param(plugins.source_folder(package) / f"{name}.py", id=f"{kind}-{name}")


@pytest.mark.parametrize(("check", "subject"), list(all_checks()))
def test_every_plugin_passes_every_check(check: Check, subject: Any) -> None:
    check(subject)


@pytest.mark.parametrize("check", file_checks())
@pytest.mark.parametrize("path", list(files()))
def test_every_file_passes_every_check(path: Path, check: Check) -> None:
    check(path)


def test_the_plugins_are_found() -> None:
    assert {"glcm", "lbp", "histogram", "sift", "lenet", "timm"} <= set(KINDS["featurizer"])
    assert {"rf", "et", "svm", "lightgbm", "xgboost", "catboost", "head"} == set(KINDS["classifier"])
    assert {"bohb", "gp", "gp_per_second", "hyperband", "asha", "random", "grid"} == set(KINDS["search"])
    assert {"quick", "diffranet", "camsortxs"} <= set(KINDS["space"])
    assert all(len(checks_of(kind, names[-1])) >= 4 for kind, names in KINDS.items())


@functools.cache
def loaded_by_import() -> dict[str, list[str]]:
    """Libraries that importing each plugin's file loads, in a process where they all are imported."""
    modules = [f"{package}.{name}" for kind, package in PACKAGES.items() for name in KINDS[kind]]
    code = (
        "import importlib, json, sys, sweeper.plugins\n"
        "found = {}\n"
        f"for module in {modules!r}:\n"
        "    before = set(sys.modules)\n"
        "    importlib.import_module(module)\n"
        "    roots = {m.partition('.')[0] for m in set(sys.modules) - before}\n"
        "    found[module] = sorted(roots - {'numpy', 'sweeper'} - sys.stdlib_module_names)\n"
        "print(json.dumps(found))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found: dict[str, list[str]] = json.loads(run.stdout)
    return found


def test_importing_plugins_loads_no_library() -> None:
    """By running it: the check of a file reads its imports."""
    assert len(loaded_by_import()) > 20
    assert {module: loaded for module, loaded in loaded_by_import().items() if loaded} == {}
