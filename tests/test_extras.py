"""Extras of the installation: each is named by the libraries that it brings."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

import pytest

from sweeper import extras, plugins
from sweeper.errors import InputError
from tests.conftest import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
DISTRIBUTION = {
    "xgboost": "xgboost-cpu",
    "mlflow": "mlflow-skinny",
    "aiohttp": "ray[default]",
    "opencensus": "ray[default]",
}
"""Distributions that are not named as their library is; Ray brings what its own extra needs."""


def required(entries: list[str]) -> set[str]:
    return {re.split("[><=!~ ]", entry)[0] for entry in entries}


@pytest.mark.parametrize(("library", "extra"), sorted(extras.EXTRA_OF.items()))
def test_an_extra_brings_the_libraries_that_it_is_named_for(library: str, extra: str) -> None:
    name = DISTRIBUTION.get(library, library)
    assert name in required(EXTRAS[extra])
    assert name not in required(PROJECT["dependencies"])


def test_all_is_every_extra_that_people_use() -> None:
    (entry,) = EXTRAS["all"]
    assert entry.startswith("sweeper[")
    named = set(entry[len("sweeper[") : -1].split(","))
    assert named == set(extras.EXTRA_OF.values()) == set(EXTRAS) - {"all", "dev", "oracle"}


def test_libraries_that_plugins_declare_come_with_an_extra() -> None:
    declared: set[str] = set()
    for name in plugins.classifier_names():
        declared |= set(plugins.classifier(name).requires)
    for name in plugins.featurizer_names():
        declared |= set((plugins.family(name) or plugins.featurizer(name)).requires)
    assert declared == {"torch", "timm", "xgboost", "catboost"}
    assert declared <= set(extras.EXTRA_OF)


def test_a_remedy_names_the_extra_and_the_command() -> None:
    assert extras.remedy("torch") == "needs the extra networks: pip install 'sweeper[networks]'"
    assert extras.remedy("nix") == "needs nix, which is not installed"
    extras.check_libraries(["numpy", "torch"], "it")
    with pytest.raises(InputError, match=r"^it needs nix, which is not installed\Z"):
        extras.check_libraries(["numpy", "nix"], "it")


def test_looking_for_a_library_does_not_import_it() -> None:
    code = "import sys\nfrom sweeper import extras\nassert extras.first_missing(['torch', 'nix']) == 'nix'\n"
    code += "assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_import_that_failed_for_want_of_a_library_is_told_from_others() -> None:
    def failed(module: str, name: str = "") -> str | None:
        try:
            __import__(module, fromlist=[name] if name else [])
            raise ImportError(name=module)
        except ImportError as error:
            return extras.missing_library(error)

    assert failed("nix.sub") == "nix"
    assert failed("numpy.nix") is None
    assert failed("numpy", "nix") is None
    assert extras.missing_library(ZeroDivisionError()) is None
