"""Checks of a plugin's file: documented, and light to import."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from sweeper.testing.checks import Check, expect

_ALLOWED = ("numpy", "sweeper.api")


def check_it_is_documented(path: Path) -> None:
    """Check that the module has a docstring."""
    expect(bool(ast.get_docstring(ast.parse(path.read_bytes()))), f"{path.name} needs a docstring")


def check_importing_it_loads_no_library(path: Path) -> None:
    """Check that module level imports only the standard library, numpy, sweeper.api and light helpers.

    Listing plugins imports every file, in every process of a sweep: libraries are imported in functions.
    """
    for module in _loaded_by(path, set()):
        light = module.partition(".")[0] in sys.stdlib_module_names or module in _ALLOWED
        expect(
            light or module.startswith("numpy."),
            f"{path.name} imports {module} at module level: import libraries inside functions, and of "
            "Sweeper sweeper.api alone",
        )


def _loaded_by(path: Path, seen: set[Path]) -> Iterator[str]:
    """Yield the absolute imports that run when a file is imported, its helpers' included."""
    if path in seen:
        return
    seen.add(path)
    for node in _module_level(ast.parse(path.read_bytes()).body):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif not node.level:
            yield node.module or ""
        else:
            folder = path.parents[node.level - 1]
            stems = [node.module] if node.module else [alias.name for alias in node.names]
            for stem in stems:
                helper = folder / f"{stem.replace('.', '/')}.py"
                if helper.is_file():
                    yield from _loaded_by(helper, seen)


def _module_level(body: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports outside functions and ``if TYPE_CHECKING``."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _module_level(node.orelse)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for name in ("body", "orelse", "finalbody"):
                yield from _module_level(getattr(node, name, []))
            for handler in getattr(node, "handlers", []):
                yield from _module_level(handler.body)


def file_checks() -> tuple[Check, ...]:
    """Return all checks of a plugin's file; each takes its path."""
    return check_it_is_documented, check_importing_it_loads_no_library
