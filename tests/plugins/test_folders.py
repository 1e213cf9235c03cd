"""Plugins from folders: found without being imported, loaded when used, refused with a reason."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sweeper import plugins
from sweeper.data.intensity import prepare
from sweeper.errors import InputError
from sweeper.space.file import load_space
from tests.plugins import outside

Cli = Callable[..., subprocess.CompletedProcess[str]]
FAMILY = '''"""Networks by name."""

from sweeper.api import NetworkFamily


def member(variant):
    raise {error}


FEATURIZER = NetworkFamily(name="nets", source="a test", member=member, example="small", requires=())
'''


def refused(load: Callable[[], object]) -> str:
    with pytest.raises(InputError) as raised:
        load()
    assert "\n" not in str(raised.value)
    return str(raised.value)


# --------------------------------------------------------------------------- found and used


@pytest.mark.parametrize("nested", [False, True])
def test_a_folder_adds_plugins_of_every_kind(tmp_path: Path, nested: bool) -> None:
    before = {kind: names() for kind, names in NAMES.items()}
    plugins.add_folder(outside.write(tmp_path / "mine", nested=nested))
    added = {kind: set(names()) - set(before[kind]) for kind, names in NAMES.items()}
    assert added == {
        "featurizer": {"rings"}, "classifier": {"logistic"}, "search": {"backwards"}, "space": {"mine"}
    }  # fmt: skip
    frame = prepare(np.arange(64, dtype=np.uint16).reshape(8, 8), {})
    (row,) = plugins.texture("rings").compute(frame, [{"rings": 4}])
    assert row.shape == (4,)
    assert plugins.classifier("logistic").budget == "rows"
    space = load_space("mine")
    proposer = plugins.search("backwards").proposer(space, 0)
    assert proposer.propose(0, set(), []) == list(space.grid())[-1]


NAMES: dict[plugins.Kind, Callable[[], tuple[str, ...]]] = {
    "featurizer": plugins.featurizer_names,
    "classifier": plugins.classifier_names,
    "search": plugins.search_names,
    "space": plugins.space_names,
}


def test_the_environment_names_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, name in ((one, "rings"), (two, "circles")):
        folder.mkdir()
        (folder / f"{name}.py").write_text(outside.RINGS.replace('"rings",', f'"{name}",'))
        (folder / "_rings.py").write_text(outside.RINGS_HELPER)
    monkeypatch.setenv(plugins.VARIABLE, f"{one}{os.pathsep}{two}")
    assert {"rings", "circles"} <= set(plugins.featurizer_names())
    assert plugins.texture("rings").compute is not plugins.texture("circles").compute
    monkeypatch.setenv(plugins.VARIABLE, str(two))
    assert "rings" not in plugins.featurizer_names()
    assert refused(lambda: plugins.featurizer("rings")).startswith("unknown featurizer 'rings'")


def test_adding_a_folder_reaches_processes_that_are_started(tmp_path: Path, run_cli: Cli) -> None:
    plugins.add_folder(outside.write(tmp_path))
    done = run_cli("list", "classifiers")
    assert done.returncode == 0
    assert "logistic; the budget buys rows" in done.stdout


def test_names_are_known_without_importing_anything(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text("FEATURIZER: object = 1\nraise RuntimeError('imported')\n")
    plugins.add_folder(tmp_path)
    assert "loud" in plugins.featurizer_names()
    assert "imported" in refused(lambda: plugins.featurizer("loud"))


def test_a_plugin_sees_neither_files_beside_it_nor_claims_a_name(tmp_path: Path) -> None:
    """Beside it may stand a ``numpy.py``: plugins import by the usual path alone."""
    outside.write(tmp_path)
    for name in ("numpy", "json", "sklearn"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the wrong one')\n")
    before = set(sys.path)
    plugins.add_folder(tmp_path)
    assert plugins.texture("rings").name == "rings"
    assert set(sys.path) == before
    assert {m for m in sys.modules if m.partition(".")[0] in ("rings", "_rings", tmp_path.name)} == set()


def test_a_folder_that_is_added_again_is_read_again(tmp_path: Path) -> None:
    plugins.add_folder(outside.write(tmp_path))
    assert plugins.classifier("logistic").version == 1
    (tmp_path / "logistic.py").write_text(outside.LOGISTIC.replace("version=1", "version=2"))
    plugins.add_folder(tmp_path)
    assert plugins.classifier("logistic").version == 2
    assert os.environ[plugins.VARIABLE] == str(tmp_path)


def test_an_edit_that_keeps_time_and_size_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python takes bytecode for up to date by these two."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    file = outside.write(tmp_path) / "logistic.py"
    for version in (1, 2):
        file.write_text(outside.LOGISTIC.replace("version=1", f"version={version}"))
        os.utime(file, (1e9, 1e9))
        plugins.add_folder(tmp_path)
        assert plugins.classifier("logistic").version == version
    assert not list(tmp_path.rglob("__pycache__"))


def test_the_folders_of_the_installation_may_be_named_too() -> None:
    plugins.add_folder(plugins.source_folder("sweeper.classifiers"))
    assert plugins.code_digest("classifier", "rf") == plugins.classifier("rf").version


# --------------------------------------------------------------------------- refused


def test_folders_that_are_not_there_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = tmp_path / "missing"
    assert refused(lambda: plugins.add_folder(missing)) == f"--plugins {missing}: no such folder"
    (tmp_path / "a:b").mkdir()
    assert "must not contain ':'" in refused(lambda: plugins.add_folder(tmp_path / "a:b"))
    monkeypatch.setenv(plugins.VARIABLE, str(missing))
    assert refused(plugins.featurizer_names) == f"{plugins.VARIABLE}: {missing}: no such folder"


def test_a_name_that_two_sources_claim_names_both_files(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        (folder / "logistic.py").write_text(outside.LOGISTIC)
        (folder / "quick.yaml").write_text(outside.SPACE)
    plugins.add_folder(first)
    plugins.add_folder(second)
    said = refused(plugins.classifier_names)
    assert str(first / "logistic.py") in said
    assert str(second / "logistic.py") in said
    said = refused(lambda: load_space("quick"))
    assert str(first / "quick.yaml") in said
    assert str(plugins.source_folder("sweeper.search_spaces") / "quick.yaml") in said
    assert plugins.featurizer("glcm").name == "glcm"  # other kinds are none the worse


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import nowhere_to_be_found\nCLASSIFIER = 1\n", "needs nowhere_to_be_found, which is not installed"),
        ("from ._missing import x\nCLASSIFIER = 1\n", "cannot be imported: ModuleNotFoundError: No module"),
        ("CLASSIFIER = 1 / 0\n", "cannot be imported: ZeroDivisionError: division by zero"),
        ("import sys\nCLASSIFIER = sys.exit(3)\n", "cannot be imported: SystemExit: 3"),
        ("CLASSIFIER = 'x'\n", "CLASSIFIER must be a Classifier, got str"),
        ("CLASSIFIER = (\n", "cannot be read as Python: '(' was never closed"),
        (outside.LOGISTIC.replace('"logistic"', '"other"'), "CLASSIFIER.name must be 'logistic'"),
    ],
)
def test_a_broken_plugin_says_why_when_it_is_used(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "logistic.py"
    path.write_text(text)
    plugins.add_folder(tmp_path)
    assert "logistic" in plugins.classifier_names()
    for _ in range(2):
        said = refused(lambda: plugins.classifier("logistic"))
        assert said.startswith(str(path))
        assert reason in said
    assert plugins.classifier("rf").name == "rf"


def test_a_file_in_a_subfolder_must_be_of_its_kind(tmp_path: Path) -> None:
    path = tmp_path / "classifiers" / "rings.py"
    path.parent.mkdir()
    path.write_text(outside.RINGS)
    plugins.add_folder(tmp_path)
    assert refused(lambda: plugins.classifier("rings")) == f"{path}: has no constant CLASSIFIER"


def test_a_name_that_columns_cannot_carry_is_refused(tmp_path: Path) -> None:
    (tmp_path / "my-rings.py").write_text(outside.RINGS)
    plugins.add_folder(tmp_path)
    assert "letters, digits and underscores" in refused(lambda: plugins.featurizer("my-rings"))


def test_a_file_without_a_constant_is_named_when_somebody_wants_it(tmp_path: Path) -> None:
    (tmp_path / "rings.py").write_text(outside.RINGS.replace("FEATURIZER", "FEATURISER"))
    plugins.add_folder(tmp_path)
    assert "rings" not in plugins.featurizer_names()
    said = refused(lambda: plugins.featurizer("rings"))
    assert said.startswith(f"unknown featurizer 'rings'; {tmp_path / 'rings.py'} has none of the constants")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("ValueError('no network small')", "nets:small cannot be made: no network small"),
        ("ModuleNotFoundError('no', name='nix.x')", "nets:small needs nix, which is not installed"),
    ],
)
def test_what_a_family_raises_is_wrong_input(tmp_path: Path, error: str, reason: str) -> None:
    (tmp_path / "nets.py").write_text(FAMILY.format(error=error))
    plugins.add_folder(tmp_path)
    assert reason in refused(lambda: plugins.featurizer("nets:small"))


def test_list_shows_a_broken_plugin_with_its_reason(tmp_path: Path, run_cli: Cli) -> None:
    outside.write(tmp_path)
    (tmp_path / "broken.py").write_text("import nowhere_to_be_found\nCLASSIFIER = 1\n")
    (tmp_path / "worse.py").write_text("CLASSIFIER = (\n")
    lacking = outside.LOGISTIC.replace("logistic", "lacking")
    (tmp_path / "lacking.py").write_text(lacking.replace("build=build", "build=build, requires=('nix',)"))
    (tmp_path / "bad.yaml").write_text("featurizers: [glmc]\nclassifiers: [rf]\n")
    plugins.add_folder(tmp_path)
    listed = run_cli("list", "classifiers")
    assert listed.returncode == 0, listed.stderr
    assert f"broken; cannot be used\n  {tmp_path / 'broken.py'} needs nowhere_to_be_found" in listed.stdout
    assert f"worse; cannot be used\n  {tmp_path / 'worse.py'}: cannot be read as Python" in listed.stdout
    assert "lacking; the budget buys rows\n  needs nix, which is not installed" in listed.stdout
    assert "\nlogistic; the budget buys rows\n" in listed.stdout
    spaces = run_cli("list", "spaces")
    assert spaces.returncode == 0, spaces.stderr
    assert "bad; cannot be used" in spaces.stdout
    assert "did you mean 'glcm'?" in spaces.stdout


# --------------------------------------------------------------------------- code


def test_keys_know_the_code_of_a_plugin_from_outside(tmp_path: Path) -> None:
    def digest() -> int | str:
        plugins.add_folder(tmp_path)
        return plugins.code_digest("featurizer", "rings")

    outside.write(tmp_path)
    first = digest()
    assert isinstance(first, str)
    (tmp_path / "unrelated.py").write_text("x = 1\n")
    assert digest() == first
    (tmp_path / "_rings.py").write_text(outside.RINGS_HELPER + "\n# edited\n")
    second = digest()
    (tmp_path / "rings.py").write_text(outside.RINGS.replace("number of rings", "how many"))
    third = digest()
    assert len({first, second, third}) == 3


def test_the_same_code_has_the_same_digest_wherever_it_is(tmp_path: Path) -> None:
    digests = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        os.environ[plugins.VARIABLE] = ""
        plugins.add_folder(outside.write(folder))
        digests.append(plugins.code_digest("classifier", "logistic"))
    assert digests[0] == digests[1]


def test_keys_know_the_plugins_of_the_installation_by_their_version() -> None:
    for name in plugins.classifier_names():
        assert plugins.code_digest("classifier", name) == plugins.classifier(name).version
    assert plugins.code_digest("featurizer", "glcm") == plugins.featurizer("glcm").version
    assert plugins.code_digest("search", "bohb") == plugins.search("bohb").version
    assert plugins.code_digest("featurizer", "timm:test_resnet") == 1


def test_copies_hold_plugins_and_helpers_alone(tmp_path: Path) -> None:
    folder = outside.write(tmp_path / "mine", nested=True)
    (folder / "data.bin").write_bytes(bytes(10))
    (folder / ".hidden.py").write_text("")
    (folder / "other").mkdir()
    (folder / "other" / "x.py").write_text("")
    plugins.add_folder(folder)
    (copy,) = plugins.copy_folders(tmp_path / "copies")
    found = sorted(str(p.relative_to(copy)) for p in copy.rglob("*") if p.is_file())
    assert found == [
        "classifiers/logistic.py", "featurizers/_rings.py", "featurizers/rings.py",
        "search_spaces/mine.yaml", "searches/backwards.py",
    ]  # fmt: skip
