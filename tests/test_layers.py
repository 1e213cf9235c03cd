"""Arrows point down only: who may import whom, and what stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from sweeper import plugins
from sweeper.data.intensity import AXES as INTENSITY_AXES
from sweeper.evaluate.reducers import REDUCERS
from tests.conftest import REPOSITORY

PROJECT = ("sweeper", "featurizers", "classifiers", "search_spaces")
HEAVY = (
    "ray", "torch", "torchvision", "timm", "safetensors", "matplotlib", "sklearn", "pandas", "numba", "scipy",
    "cv2", "lightgbm", "xgboost", "catboost", "pyarrow", "h5py", "fabio", "tifffile", "rich",
    "hpbandster", "ConfigSpace",
)  # fmt: skip

FILES = sorted(path for package in PROJECT for path in (REPOSITORY / package).rglob("*.py"))

ROOMS = (
    "errors", "process", "interrupts", "extras", "atomic", "yamlfile", "pipeline", "api", "plugins", "data",
    "space", "networks", "features", "evaluate", "search", "runs", "planning", "simulate", "explain",
    "similar", "labels", "report", "sorter", "opened", "keywords", "testing", "engine", "commands", "cli",
    "sweeper", "__main__",
)  # fmt: skip
"""Packages and modules of sweeper/ from the lowest to the highest: each imports those before it alone.

``sweeper`` is the package itself, the door for Python.
"""
ABOVE_THE_ENGINE = ROOMS[ROOMS.index("engine") + 1 :]
"""They reach it inside functions: it is slow to import."""

UPWARD = {
    ("sweeper.space.file", "sweeper.evaluate.reducers"): "a space checks values of reducers by their axes",
    ("sweeper.space.needs", "sweeper.features.blocks"): "blocks that a space can ask for",
    ("sweeper.space.needs", "sweeper.networks.weights"): "sizes and weights of the networks of a space",
}
"""Imports from a higher room that are still there, and what for."""


def module_name(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}


def _imported(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[str]:
    """Modules that a statement in a package names; for `from package import module`, the module."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
    origin = ".".join([*above, *([node.module] if node.module else [])])
    for alias in node.names:
        inner = f"{origin}.{alias.name}"
        yield inner if inner in MODULES else origin


def _statements(node: ast.AST, *, lazy: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """Import statements in a node; without `lazy` those alone that run when the module is imported."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield node
    elif not lazy and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return
    elif not lazy and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        for inner in node.orelse:
            yield from _statements(inner, lazy=lazy)
    else:
        for inner in ast.iter_child_nodes(node):
            yield from _statements(inner, lazy=lazy)


def imports(path: Path, *, lazy: bool) -> set[str]:
    """Return the modules that a file imports; with `lazy`, in functions and for type checkers as well."""
    tree = ast.parse(path.read_text())
    inside = path.is_relative_to(REPOSITORY)
    package = ".".join(path.relative_to(REPOSITORY).parent.parts) if inside else "package"
    return {name for node in _statements(tree, lazy=lazy) for name in _imported(node, package)}


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def test_the_reader_of_imports_sees_them_wherever_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text(
        "import a.b\nfrom c import d\nfrom sweeper import api\nfrom . import y\nfrom .z import w\n"
        "try:\n    import e\nexcept ImportError:\n    import f\n"
        "if TYPE_CHECKING:\n    import typed\nelse:\n    import j\n"
        "class K:\n    import g\n    def m(self):\n        with x:\n            import h\n"
        "async def n():\n    match x:\n        case 1:\n            import i\n"
    )
    top = {"a.b", "c", "sweeper.api", "package", "package.z", "e", "f", "g", "j"}
    assert imports(path, lazy=False) == top
    assert imports(path, lazy=True) == {*top, "h", "i", "typed"}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_only_the_engine_imports_ray(name: str) -> None:
    if not within(name, "sweeper.engine"):
        assert not {m for m in imports(MODULES[name], lazy=True) if within(m, "ray")}


def test_the_engine_does_import_ray() -> None:
    """Else the test above holds for the wrong reason."""
    engine = [path for name, path in MODULES.items() if within(name, "sweeper.engine")]
    assert any(within(m, "ray") for path in engine for m in imports(path, lazy=False))


@pytest.mark.parametrize("name", sorted(n for n in MODULES if within(n, "featurizers", "classifiers")))
def test_plugins_import_the_api_alone(name: str) -> None:
    package = name.partition(".")[0]
    ours = {m for m in imports(MODULES[name], lazy=True) if within(m, *PROJECT)}
    private = {m for m in ours if m.startswith(f"{package}._")}
    assert ours - private <= {"sweeper.api"}


OURS = sorted(name for name in MODULES if within(name, "sweeper"))
IMPORTED = {name: imports(MODULES[name], lazy=True) & set(MODULES) for name in MODULES}
"""What each module imports of the project, wherever it does."""


def room(name: str) -> str:
    package, _, rest = name.partition(".")
    return rest.partition(".")[0] or package


@pytest.mark.parametrize("name", OURS)
def test_rooms_import_those_below_them_alone(name: str) -> None:
    assert room(name) in ROOMS, "a new room has its place in ROOMS"
    height = ROOMS.index(room(name))
    others = {m for m in IMPORTED[name] if within(m, "sweeper") and room(m) != room(name)}
    upward = {m for m in others if ROOMS.index(room(m)) > height}
    assert upward == {to for frm, to in UPWARD if frm == name}


def test_every_room_is_there_and_every_exception_needed() -> None:
    assert {room(name) for name in OURS} == set(ROOMS)
    assert {frm for frm, _ in UPWARD} <= set(OURS)


@pytest.mark.parametrize("name", [name for name in OURS if room(name) in ABOVE_THE_ENGINE])
def test_what_stands_above_the_engine_starts_without_it(name: str) -> None:
    assert not {m for m in imports(MODULES[name], lazy=False) if within(m, "sweeper.engine")}


@pytest.mark.parametrize("name", [n for n in OURS if room(n) == "engine" and ".private" not in n])
def test_what_is_not_rays_public_api_stands_in_one_place(name: str) -> None:
    of_ray = {m for m in imports(MODULES[name], lazy=True) if within(m, "ray")}
    hidden = {m for m in of_ray if within(m, "ray.experimental", "ray.tune.execution") or "._" in m}
    assert not hidden
    assert "ray._" not in MODULES[name].read_text()


@pytest.mark.parametrize(
    ("room", "below"),
    [
        ("sweeper.api", {"sweeper.errors", "sweeper.pipeline"}),
        ("sweeper.plugins", {"sweeper.api", "sweeper.errors", "sweeper.extras"}),
        ("sweeper.extras", {"sweeper.errors"}),
    ],
)
def test_what_plugins_stand_on(room: str, below: set[str]) -> None:
    names = [name for name in MODULES if within(name, room)]
    assert names
    imported = {m for name in names for m in imports(MODULES[name], lazy=True) if within(m, *PROJECT)}
    assert {m for m in imported if not within(m, room)} <= below


@pytest.mark.parametrize("name", plugins.search_names())
def test_searches_import_the_api_and_each_other_alone(name: str) -> None:
    ours = {m for m in imports(MODULES[f"sweeper.search.{name}"], lazy=True) if within(m, *PROJECT)}
    assert {m for m in ours if not within(m, "sweeper.search")} <= {"sweeper.api"}


def circles(graph: Mapping[str, set[str]]) -> set[tuple[str, ...]]:
    """Return the groups of modules from each of which every other one is reached."""
    reached = {name: {name} for name in graph}
    while grown := {
        name: found
        for name in graph
        if (found := reached[name].union(*(reached[m] for m in graph[name]))) != reached[name]
    }:
        reached |= grown
    groups = {tuple(sorted(m for m in reached[name] if name in reached[m])) for name in graph}
    return {group for group in groups if len(group) > 1 or group[0] in graph[group[0]]}


def test_circles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set(), "e": {"f"}, "f": {"e", "a"}, "g": {"g"}}
    assert circles(graph) == {("a", "b", "c"), ("e", "f"), ("g",)}
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == set()


def test_modules_import_each_other_in_one_direction() -> None:
    """Also inside functions and for type checkers: there a circle is only hidden."""
    assert circles(IMPORTED) == set()


def loaded_after(code: str) -> set[str]:
    """Heavy libraries that are loaded once some code ran in a process of its own."""
    names = "print('heavy:', *sorted({m.partition('.')[0] for m in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\n{names}"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=REPOSITORY,
        check=True,
    )
    loaded = next(line for line in done.stdout.splitlines() if line.startswith("heavy:"))
    return set(loaded.split()) & set(HEAVY)


def test_what_starts_often_starts_light() -> None:
    code = "import sweeper, sweeper.cli\ntry:\n    sweeper.cli.main(['--help'])\nexcept SystemExit:\n    pass"
    assert loaded_after(code) == set()


def test_plugins_are_found_without_their_libraries() -> None:
    code = (
        "from sweeper import plugins\n"
        "for n in plugins.featurizer_names(): plugins.family(n) or plugins.featurizer(n)\n"
        "for n in plugins.classifier_names(): plugins.classifier(n)"
    )
    assert loaded_after(code) == set()


@pytest.mark.parametrize("name", sorted(n for n in MODULES if "/_" not in MODULES[n].as_posix()))
def test_modules_say_what_they_are(name: str) -> None:
    assert ast.get_docstring(ast.parse(MODULES[name].read_text()))


def test_every_plugin_file_is_found_and_documented() -> None:
    for package, names, load in (
        ("featurizers", plugins.featurizer_examples(), plugins.featurizer),
        ("classifiers", plugins.classifier_names(), plugins.classifier),
    ):
        files = {p.stem for p in (REPOSITORY / package).glob("*.py") if not p.stem.startswith("_")}
        assert {name.partition(":")[0] for name in names} == files
        assert len(files) >= 4
        for name in names:
            plugin = load(name)
            assert plugin.source, f"{package}/{name}.py: source"
            assert plugin.version >= 1
            axes = getattr(plugin, "all_axes", plugin.axes)
            assert all(axis.doc for axis in axes), f"{package}/{name}.py: every axis has a doc"


def test_every_default_is_legal() -> None:
    owners = [(n, plugins.featurizer(n).all_axes) for n in plugins.featurizer_examples()]
    owners += [(n, plugins.classifier(n).axes) for n in plugins.classifier_names()]
    owners += [(n, reducer.axes) for n, reducer in REDUCERS.items()] + [("intensity", INTENSITY_AXES)]
    for owner, axes in owners:
        for axis in axes:
            for value in axis.default if axis.many and isinstance(axis.default, tuple) else (axis.default,):
                axis.check(owner, value)
