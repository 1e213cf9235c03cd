"""``sweeper list``: what there is to search, and to search with."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sweeper import plugins
from sweeper.api import Axis, Network
from sweeper.commands.arguments import add_json, add_plugins, command, print_json
from sweeper.data.formats import formats
from sweeper.data.intensity import AXES as INTENSITY_AXES
from sweeper.errors import EXIT_DONE, InputError
from sweeper.evaluate.reducers import REDUCERS
from sweeper.pipeline import value_text
from sweeper.runs.presets import PRESETS
from sweeper.space.file import load_space
from sweeper.space.parts import SLOTS
from sweeper.space.study import read_study


def add(commands: Any) -> None:
    """Add the verb."""
    parser = command(
        commands,
        "list",
        _list,
        "show what there is to search: names, parameters and legal values",
        "sweeper list featurizers glcm",
    )
    parser.add_argument("kind", choices=tuple(KINDS), metavar="KIND", help=", ".join(KINDS))
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="show this one with its parameters (default: all of the kind)"
    )
    add_json(parser)
    add_plugins(parser)


def _list(args: argparse.Namespace) -> int:
    kind = KINDS[args.kind]
    entries = kind.all() if args.name is None else [kind.one(args.name)]
    if args.json:
        found = [entry.json for entry in entries]
        print_json(found if args.name is None else found[0])
    elif kind.brief and args.name is None:
        print("\n".join(_brief(entry) for entry in entries))
    else:
        texts = ("\n  ".join([entry.title, *entry.lines]) for entry in entries)
        print("\n\n".join(texts))
    return EXIT_DONE


def _brief(entry: Entry) -> str:
    """Return an entry's first line; of what cannot be used also why."""
    return "\n  ".join([entry.title, *(entry.lines if "error" in entry.json else ())])


# --------------------------------------------------------------------------- entries


@dataclass(frozen=True)
class Entry:
    """Something to search, or to search with.

    Attributes
    ----------
    title : str
        Its first line as text.
    lines : tuple of str
        What follows, indented.
    json : dict
        The same as JSON has it; ``docs/command_line.md`` describes the keys.
    """

    title: str
    lines: tuple[str, ...]
    json: dict[str, Any]


def _plugin(name: str, title: str, source: str, axes: tuple[Axis, ...], **facts: Any) -> Entry:
    """Return the entry of whatever has parameters."""
    lines = [f"source: {source}"] if source else []
    if facts.get("missing"):
        lines.insert(0, facts["missing"])
    for axis in axes:
        many = ", any non-empty subset" if axis.many else ""
        lines.append(f"{axis.name}: {axis.legal}{many}; default {value_text(axis.default)}")
        lines += [f"  {axis.doc}"] if axis.doc else []
        lines += [f"  {value!r} is refused: {reason}" for value, reason in axis.refused.items()]
    parameters = [
        {
            "name": axis.name,
            "legal": str(axis.legal),
            "many": axis.many,
            "default": axis.default,
            "doc": axis.doc,
            "refused": {value_text(value): reason for value, reason in axis.refused.items()},
        }
        for axis in axes
    ]
    return Entry(title, tuple(lines), {"name": name, "source": source, **facts, "parameters": parameters})


# --------------------------------------------------------------------------- kinds


def _featurizer(name: str) -> Entry:
    family = plugins.family(name) if name in plugins.featurizer_names() else None
    lack = _lack("featurizer", name)
    if family is not None and lack["missing"]:
        return _plugin(f"{name}:NAME", f"{name}:NAME", family.source, (), kind="network", **lack)
    plugin = plugins.featurizer(name if family is None else f"{name}:{family.example}")
    kind = "network" if isinstance(plugin, Network) else "texture"
    facts = {"kind": kind, "version": plugin.version, **lack}
    if family is None:
        title = f"{name}; a network" if kind == "network" else name
        return _plugin(name, title, plugin.source, plugin.all_axes, **facts)
    title = f"{name}:NAME; any network of this family by name, such as {plugin.name}, which has"
    return _plugin(f"{name}:NAME", title, family.source, plugin.all_axes, **facts, example=plugin.name)


def _classifier(name: str) -> Entry:
    plugin = plugins.classifier(name)
    title = f"{name}; the budget buys {plugin.budget}"
    facts = {"version": plugin.version, "budget": plugin.budget, **_lack("classifier", name)}
    return _plugin(name, title, plugin.source, plugin.axes, **facts)


def _lack(kind: plugins.Kind, name: str) -> dict[str, str | None]:
    """Return what must be installed before a plugin can be used, if anything."""
    return {"missing": plugins.missing(kind, name)}


def _reducer(name: str) -> Entry:
    reducer = REDUCERS[name]
    return _plugin(name, name, reducer.source, reducer.axes)


def _intensity(name: str) -> Entry:
    axis = next(axis for axis in INTENSITY_AXES if axis.name == name)
    return _plugin(name, "intensity", "", (axis,))


def _all_of_intensity() -> list[Entry]:
    """Return one entry: all settings of the intensity together."""
    return [_plugin("intensity", "intensity", "", INTENSITY_AXES)]


def _format(name: str) -> Entry:
    one = next(one for one in formats() if one.name == name)
    facts = {"reads": one.reads, "refuses": one.refuses, "images": one.images, "masks": one.masks}
    suffixes = " ".join(one.suffixes)
    lines = [f"library: {one.library}", *(f"{what}: {text}" for what, text in facts.items() if text)]
    found = {"name": name, "suffixes": list(one.suffixes), "library": one.library, **facts}
    return Entry(f"{name}: {suffixes}", tuple(lines), found)


def _search(name: str) -> Entry:
    search = plugins.search(name)
    facts = {"early_stopping": search.early_stopping, "learns": search.learns, "version": search.version}
    lack = plugins.missing("search", name)
    found = {"name": name, "about": search.doc, "source": search.source, **facts, "missing": lack}
    lines = (lack, f"source: {search.source}") if lack else (f"source: {search.source}",)
    return Entry(f"{name}: {search.doc}", lines, found)


def _space(name: str) -> Entry:
    study, space = read_study(name), load_space(name)
    size = "infinitely many" if math.isinf(space.size) else f"{int(space.size):,}"
    title = f"{space.name}: {size} pipelines; {space.source}".removesuffix("; ")
    lines = []
    slots: dict[str, dict[str, Any]] = {slot: {} for slot in SLOTS}
    for slot in SLOTS:
        for part in space.parts[slot]:
            searched = {axis: domain for axis, domain in part.domains.items() if domain.size > 1}
            choices = "; ".join(f"{axis} {domain}" for axis, domain in searched.items())
            owner = slot if part.label == slot else f"{slot} {part.label}"
            lines.append(f"{owner}: {choices or 'one choice'}")
            slots[slot][part.label] = {axis: domain.written() for axis, domain in part.domains.items()}
    if space.most > 1:
        lines.append(f"combine: up to {space.most} featurizers side by side")
    lines += [f"scale {scale}: {cuts}" for scale, cuts in study.scales.items()]
    found = {"name": space.name, "source": space.source, "pipelines": space.size, "scales": study.scales}
    return Entry(title, tuple(lines), {**found, "combine": {"most": space.most}, **slots})


def _preset(name: str) -> Entry:
    preset = PRESETS[name]
    lines = [f"{key}: {value}" for key, value in preset.contents.items()]
    found = {"name": name, "about": preset.doc, "space": preset.space, "set": list(preset.changes)}
    return Entry(f"{name}: {preset.doc}", tuple(lines), {**found, "settings": dict(preset.settings)})


@dataclass(frozen=True)
class Kind:
    """A kind of things to list.

    Attributes
    ----------
    singular : str
    names : callable
        Gives the names of all.
    entry : callable
        Gives the entry of a name.
    open : bool
        There are more names than these (paths, members of a family): `entry` tells which are wrong.
    every : callable or None
        Gives the entries of all, where they are not those of the names one by one.
    brief : bool
        All are listed in a line each; their parameters are shown where one is named.
    """

    singular: str
    names: Callable[[], Iterable[str]]
    entry: Callable[[str], Entry]
    open: bool = False
    every: Callable[[], list[Entry]] | None = None
    brief: bool = False

    def all(self) -> list[Entry]:
        """Return the entries of all; of one that cannot be used, why."""
        return [self._entry(name) for name in self.names()] if self.every is None else self.every()

    def _entry(self, name: str) -> Entry:
        try:
            return self.entry(name)
        except InputError as error:
            return Entry(f"{name}; cannot be used", (str(error),), {"name": name, "error": str(error)})

    def one(self, name: str) -> Entry:
        """Return the entry of a name; raises InputError with the nearest name where there is none."""
        if not self.open and name not in self.names():
            raise InputError(f"unknown {self.singular} {name!r}; {plugins.nearest(name, self.names())}")
        return self.entry(name)


KINDS: Mapping[str, Kind] = {
    "featurizers": Kind("featurizer", plugins.featurizer_names, _featurizer, open=True),
    "classifiers": Kind("classifier", plugins.classifier_names, _classifier),
    "reducers": Kind("reducer", lambda: REDUCERS, _reducer),
    "intensity": Kind(
        "setting of intensity", lambda: [a.name for a in INTENSITY_AXES], _intensity, every=_all_of_intensity
    ),
    "spaces": Kind("search space", plugins.space_names, _space, open=True, brief=True),
    "presets": Kind("preset", lambda: PRESETS, _preset),
    "formats": Kind("format", lambda: [one.name for one in formats()], _format),
    "searches": Kind("search", plugins.search_names, _search, brief=True),
}
"""Kinds that can be listed: a further kind is a further line here."""
