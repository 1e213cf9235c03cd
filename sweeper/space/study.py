"""A search space as it is asked for: read once, cut, changed, and told from what it says about its sweep.

A space may say how its sweep is run (``sweep``), as the study that it comes from did, and name cuts of itself
for small machines (``scales``).
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeper import plugins
from sweeper.errors import InputError
from sweeper.yamlfile import parse_yaml, read_yaml

SWEEP, SCALES, SCALE = "sweep", "scales", "scale"
"""Keys of a space: settings of its sweep, its cuts, and which cut this is."""


@dataclass(frozen=True)
class Study:
    """A search space that is read.

    Attributes
    ----------
    space : dict
        The space as its YAML holds it, without `sweep` and the cuts; it has a name.
    sweep : dict
        Settings of the sweep that hold unless told otherwise, see :mod:`sweeper.runs.spec`.
    scales : dict
        Names of its cuts, and what each of them cuts.
    source : str
        The file it was read from; empty for a mapping.
    """

    space: dict[str, Any]
    sweep: dict[str, Any]
    scales: dict[str, str]
    source: str

    def located(self, error: ValueError) -> InputError:
        """Return an error of this space as one that names its file."""
        return InputError(f"{self.source}: {error}" if self.source else str(error))


def read_study(
    space: str | Path | Mapping[str, Any], scale: str | None = None, settings: Sequence[str] = ()
) -> Study:
    """Read a search space, cut it to a scale, and change single parameters.

    Parameters
    ----------
    space : str, Path or mapping
        Name or path, or the mapping itself.
    scale : str, optional
        One of the space's own cuts.
    settings : sequence of str
        ``plugin.axis=value``, such as ``glcm.distance=[1, 2]``, with the value as the YAML writes it.
        ``intensity.axis=value`` changes a setting of the intensity, ``combine.most=3`` how many featurizers
        may stand side by side. They are applied after the cut.

    Raises
    ------
    ValueError
        No such space or scale, a file that cannot be read, a setting that cannot be read, a plugin that the
        space does not have, values that no YAML file holds.
    """
    written, source = _written(space)
    data = plain(written, f"{source}: space" if source else "space")
    sweep, scales = data.pop(SWEEP, None) or {}, data.pop(SCALES, None) or {}
    if not isinstance(sweep, dict) or not isinstance(scales, dict):
        raise InputError(f"space {data.get('name')}: {SWEEP} and {SCALES} must be mappings")
    if scale:
        _cut(data, scales, scale)
    for setting in settings:
        plugin, axis, value = _read_setting(setting)
        _params_of(data, plugin, f"--set {setting}")[axis] = value
    if scale and settings:
        data[SCALE] += f"; then --set {', '.join(settings)}"
    cuts = {name: _cuts(cut) for name, cut in scales.items() if isinstance(cut, dict)}
    return Study(data, sweep, cuts, source)


def _written(space: str | Path | Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """Return the mapping of a space, and the file that it stands in."""
    space = os.fspath(space) if isinstance(space, os.PathLike) else space
    if isinstance(space, Mapping):
        return space, ""
    if not isinstance(space, str) or not space.strip():
        raise InputError(f"space must be a name, a path or a mapping, got {space!r}")
    path = plugins.space_path(space)
    written = read_yaml(path)
    if not isinstance(written, dict):
        raise InputError(f"{path}: a search space is a mapping with at least featurizers and classifiers")
    return {"name": path.stem, **written}, str(path)


def plain(written: Any, where: str = "space") -> Any:
    """Return a copy of a value in the types that YAML has, so that it is written and read back the same.

    Raises
    ------
    ValueError
        It holds a value of another type; the message says where.
    """
    if isinstance(written, Mapping):
        return {key: plain(value, f"{where}.{key}") for key, value in written.items()}
    if isinstance(written, list | tuple):
        return [plain(value, where) for value in written]
    if written is None or type(written) in (bool, int, float, str, datetime.date, datetime.datetime):
        return written
    raise InputError(f"{where} must hold text, numbers, lists and mappings alone, got {written!r}")


def _cut(data: dict[str, Any], scales: dict[str, Any], scale: str) -> None:
    """Change a space to one of its cuts, and have it say so."""
    if scale not in scales:
        hint = plugins.nearest(scale, scales) if scales else "the space has none"
        raise InputError(f"unknown --scale {scale!r}; {hint}")
    cut = scales[scale]
    if not isinstance(cut, dict) or set(cut) != {"cuts", "set"} or not isinstance(cut["set"], dict):
        raise InputError(f"space {data.get('name')}: scale {scale} must have cuts (text) and set (a mapping)")
    for target, value in cut["set"].items():
        plugin, _, axis = str(target).rpartition(".")
        _params_of(data, plugin, f"scale {scale}: {target}")[axis] = value
    data[SCALE] = f"{scale}: {_cuts(cut)}"


def _cuts(cut: Mapping[str, Any]) -> str:
    """Return what a scale says that it cuts."""
    return " ".join(str(cut.get("cuts", "")).split())


def _read_setting(setting: str) -> tuple[str, str, Any]:
    """Return plugin, axis and value of ``plugin.axis=value``."""
    target, equals, written = setting.partition("=")
    plugin, dot, axis = target.strip().rpartition(".")
    if not (equals and dot and plugin and axis):
        raise InputError(f"--set {setting}: must look like plugin.axis=value, such as deepfreak.size=96")
    try:
        return plugin, axis, parse_yaml(written)
    except Exception as error:
        raise InputError(f"--set {setting}: {' '.join(str(error).split())}") from None


def _params_of(data: dict[str, Any], plugin: str, asked: str) -> dict[str, Any]:
    """Return the parameters of a plugin in a space's mapping, made where the space leaves them out."""
    if plugin in ("intensity", "combine"):
        data[plugin] = data.get(plugin) or {}
        found: dict[str, Any] = data[plugin]
        return found
    known: list[str] = []
    for slot in ("featurizers", "reducers", "classifiers"):
        written = data.get(slot)
        if isinstance(written, list) and all(isinstance(name, str) for name in written):
            written = dict.fromkeys(written)
        if not isinstance(written, dict):
            continue  # nothing is written here, or nothing that a space may say, which is told later
        if plugin in written:
            data[slot] = written
            params: dict[str, Any] = written[plugin] or {}
            written[plugin] = params
            return params
        known += map(str, written)
    raise InputError(f"{asked}: the space has no {plugin!r}; {plugins.nearest(plugin, known)}")
