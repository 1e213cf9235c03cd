"""What a person may change of a search space when a sweep is asked for, and what the space brings along.

A space of a publication may say how its sweep is run (``sweep``), and name cuts of itself for small machines
(``scales``).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from sweeper import plugins
from sweeper.errors import InputError
from sweeper.yamlfile import parse_yaml, read_yaml

SWEEP, SCALES, SCALE = "sweep", "scales", "scale"
"""Keys of a space: settings of its sweep, its cuts, and which cut this is."""


def as_study(
    space: str | dict[str, Any], scale: str | None = None, settings: Sequence[str] = ()
) -> tuple[str | dict[str, Any], dict[str, Any]]:
    """A space with other choices for some parameters, and how its sweep is run unless told otherwise.

    Parameters
    ----------
    space : str or mapping
        Name or path, or the mapping itself.
    scale : str, optional
        One of the space's own cuts.
    settings : sequence of str
        ``plugin.axis=value``, such as ``glcm.distance=[1, 2]``; the value as the YAML writes it.
        ``intensity.axis=value`` changes a setting of the intensity. They come after the cut.

    Returns
    -------
    space : str or mapping
        As it was given where nothing is to be changed.
    sweep : dict
        Fields of :class:`sweeper.runs.spec.SweepSpec`.

    Raises
    ------
    ValueError
        No such space or scale, a setting that cannot be read, a plugin that the space does not have.
    """
    data = _mapping(space)
    if not isinstance(data, dict) or not (scale or settings or {SWEEP, SCALES} & set(data)):
        return space, {}
    data = copy.deepcopy(data)
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
    return data, sweep


def _mapping(space: str | dict[str, Any]) -> Any:
    if isinstance(space, dict):
        return space
    path = plugins.space_path(space)
    data = read_yaml(path)
    return {"name": path.stem, **data} if isinstance(data, dict) else data


def written_out(space: str) -> dict[str, Any]:
    """The mapping of a space given by name or path, without what it brings along for sweeps."""
    data: dict[str, Any] = _mapping(space)
    return {key: value for key, value in data.items() if key not in (SWEEP, SCALES)}


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
    data[SCALE] = f"{scale}: {' '.join(str(cut['cuts']).split())}"


def _read_setting(setting: str) -> tuple[str, str, Any]:
    target, equals, written = setting.partition("=")
    plugin, dot, axis = target.strip().rpartition(".")
    if not (equals and dot and plugin and axis):
        raise InputError(f"--set {setting}: must look like plugin.axis=value, such as deepfreak.size=96")
    try:
        return plugin, axis, parse_yaml(written)
    except Exception as error:
        raise InputError(f"--set {setting}: {' '.join(str(error).split())}") from None


def _params_of(data: dict[str, Any], plugin: str, asked: str) -> dict[str, Any]:
    """Parameters of a plugin in a space's mapping, made where the space leaves them out."""
    if plugin == "intensity":
        data["intensity"] = data.get("intensity") or {}
        found: dict[str, Any] = data["intensity"]
        return found
    known = []
    for slot in ("featurizers", "reducers", "classifiers"):
        written = data.get(slot) or {}
        data[slot] = written if isinstance(written, dict) else dict.fromkeys(written)
        if not data[slot]:
            del data[slot]
            continue
        if plugin in data[slot]:
            data[slot][plugin] = data[slot][plugin] or {}
            return data[slot][plugin]  # type: ignore[no-any-return]
        known += data[slot]
    raise InputError(f"{asked}: the space has no {plugin!r}; {plugins.nearest(plugin, known)}")
