"""Plugins of installed packages, which name them by entry points."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeper import plugins
from sweeper.errors import InputError
from sweeper.plugins import finding
from sweeper.space.file import load_space
from tests.plugins import outside

POINTS = """[sweeper.featurizers]
rings = beamline_tools.rings
[sweeper.classifiers]
logistic = beamline_tools.logistic:CLASSIFIER
lost = beamline_tools.not_there
[sweeper.searches]
backwards = beamline_tools.backwards
[sweeper.spaces]
ours = beamline_tools.spaces
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package with entry points, installed in a folder of its own; gives the package's folder."""
    package = tmp_path / "site" / "beamline_tools"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    outside.write(package)
    (package / "mine.yaml").unlink()
    (package / "spaces").mkdir()
    (package / "spaces" / "mine.yaml").write_text(outside.SPACE)
    metadata = tmp_path / "site" / "beamline_tools-1.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: beamline-tools\nVersion: 1.2\n")
    (metadata / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    finding._entry_points.cache_clear()
    finding._known.cache_clear()
    yield package
    finding._entry_points.cache_clear()
    finding._known.cache_clear()
    for name in [m for m in sys.modules if m.partition(".")[0] == "beamline_tools"]:
        del sys.modules[name]


def test_an_installed_package_adds_plugins_of_every_kind(installed: Path) -> None:
    assert "beamline_tools" not in sys.modules
    assert "rings" in plugins.featurizer_names()
    assert "beamline_tools" not in sys.modules, "names are known without importing the package"
    assert plugins.texture("rings").name == "rings"
    assert plugins.classifier("logistic").name == "logistic"
    assert plugins.search("backwards").exhaustive
    assert load_space("mine").size == 9


def test_its_code_is_known_by_its_files(installed: Path) -> None:
    first = plugins.code_digest("featurizer", "rings")
    assert isinstance(first, str)
    names = [name for name in plugins.source_files() if "beamline-tools 1.2" in name]
    assert any(name.endswith(": rings.py") for name in names)
    assert any(name.endswith(": _rings.py") for name in names)


def test_a_module_that_is_not_there_is_named_when_it_is_used(installed: Path) -> None:
    assert "lost" in plugins.classifier_names()
    with pytest.raises(InputError, match=r"^beamline_tools\.not_there of beamline-tools 1\.2 cannot be"):
        plugins.classifier("lost")


def test_a_name_that_a_folder_claims_too_is_refused(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "rings.py").write_text(outside.RINGS)
    plugins.add_folder(tmp_path / "mine")
    with pytest.raises(InputError, match="'rings' is there twice") as raised:
        plugins.featurizer("rings")
    assert str(tmp_path / "mine" / "rings.py") in str(raised.value)
    assert "beamline_tools.rings of beamline-tools 1.2" in str(raised.value)


def test_a_package_under_development_may_be_named_as_a_folder(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(plugins.VARIABLE, str(installed))
    assert plugins.featurizer("rings").name == "rings"
