"""Machines that run something else: the file, or the version, in which they differ is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sweeper import plugins
from sweeper.engine import nodes
from sweeper.errors import UnequalNodeError
from tests.plugins import outside

Files = dict[str, str]


def test_every_source_file_is_known_by_the_same_name_on_all_machines() -> None:
    files = nodes.file_digests()
    for name in ("sweeper/engine/nodes.py", "sweeper/featurizers/glcm.py", "sweeper/featurizers/_timm.py",
                 "sweeper/classifiers/rf.py", "sweeper/search/bohb.py", "sweeper/cli.py"):  # fmt: skip
        assert name in files
    assert not any(str(Path.cwd()) in name for name in files)


CHANGES: list[tuple[Callable[[Files], Files], str]] = [
    (
        lambda files: {**files, "sweeper/featurizers/glcm.py": "0"},
        "sweeper/featurizers/glcm.py must be the same",
    ),
    (
        lambda files: {**files, "sweeper/featurizers/mine.py": "0"},
        "sweeper/featurizers/mine.py must not be there",
    ),
    (
        lambda files: {k: v for k, v in files.items() if k != "sweeper/cli.py"},
        "sweeper/cli.py is missing, it is there where the sweep was started",
    ),
]


@pytest.mark.parametrize(("change", "said"), CHANGES)
def test_the_first_file_in_which_a_node_differs_is_named(change: Callable[[Files], Files], said: str) -> None:
    mine = nodes.file_digests()
    assert nodes._file_difference("host", mine, dict(mine)) is None
    found = nodes._file_difference("host", mine, change(mine))
    assert found is not None
    assert found.startswith(f"node host: {said}")


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Files], str | None]]:
    """Check this process as one that joined late, while the driver runs some files; gives what is wrong."""
    monkeypatch.setattr("ray.util.get_node_ip_address", lambda: "host")
    here = nodes.file_digests()

    def check(driver: Files) -> str | None:
        monkeypatch.setattr(nodes, "file_digests", lambda: driver)
        monkeypatch.setenv(nodes.EXPECTED, nodes.expected())
        monkeypatch.setattr(nodes, "file_digests", lambda: here)
        nodes.check.cache_clear()
        try:
            nodes.check()
        except UnequalNodeError as error:
            return str(error)
        return None

    yield check
    nodes.check.cache_clear()


def test_a_machine_that_joins_late_names_the_file_too(late: Callable[[Files], str | None]) -> None:
    files = nodes.file_digests()
    assert late(dict(files)) is None
    changed = late({**files, "sweeper/cli.py": "0"})
    assert changed == (
        "node host: sweeper/cli.py must be the same file as where the sweep was started, it differs"
    )
    lacking = late({**files, "sweeper/featurizers/mine.py": "0"})
    assert lacking == "node host: 1 source files that the sweep was started with are missing"
    more = late({name: content for name, content in files.items() if name != "sweeper/cli.py"})
    assert more is not None
    assert "sweeper/cli.py" in more


def test_what_workers_are_told_is_short() -> None:
    """It travels with every task."""
    told = json.loads(nodes.expected())
    assert told["python"] == nodes.versions()["python"]
    assert len(nodes.expected()) < 10 * len(nodes.file_digests())


def test_plugins_from_outside_are_source_files_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(plugins.VARIABLE, "")
    plugins.add_folder(outside.write(tmp_path))
    assert {"plugins 0: rings.py", "plugins 0: _rings.py", "plugins 0: backwards.py"} <= set(
        plugins.source_files()
    )
