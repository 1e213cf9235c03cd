"""The options that make a spec, derived from the settings' declarations, and the spec that they make."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from sweeper.api import Interval
from sweeper.runs import spec
from sweeper.runs.presets import PRESETS
from sweeper.runs.settings import GROUPS, Above, Duration, Names, Setting, Switch, parse_duration
from sweeper.runs.spec import SETTINGS, SweepSpec

OF_RAY_HERE = ("address", "cpus", "object_store_gb")
"""Settings of the Ray that a sweep starts or joins, which a job that is sent to a cluster does not choose."""


def add_spec_options(
    parser: argparse.ArgumentParser, without: tuple[str, ...] = ()
) -> Mapping[str, argparse._ArgumentGroup]:
    """Add DATA and an option for every setting, but for some; returns the groups that they stand in."""
    parser.add_argument("data", metavar="DATA", help=f"{SETTINGS['data'].help}, or spec file (SPEC.yaml)")
    groups = {name: parser.add_argument_group(name) for name in GROUPS}
    for name, declared in SETTINGS.items():
        if declared.option is not None and name not in without:
            groups[declared.group].add_argument(declared.option, **_argument(declared))
            if name == "space":
                _add_changes_of_the_space(groups[declared.group])
    return groups


def _argument(declared: Setting) -> dict[str, Any]:
    """Return how argparse is told of a setting. What is not given is None: the spec has its own defaults."""
    options: dict[str, Any] = {"dest": declared.key, "default": None, "help": option_help(declared)}
    if isinstance(declared.legal, Switch):
        return {**options, "action": "store_true"}
    if isinstance(declared.legal, Names):
        return {**options, "action": "append", "metavar": declared.metavar}
    return {**options, "type": _type(declared), "metavar": declared.metavar}


def _type(declared: Setting) -> type:
    legal = declared.legal
    if isinstance(legal, Interval):
        return int if legal.integer else float
    return float if isinstance(legal, Above) and not isinstance(legal, Duration) else str


def option_help(declared: Setting) -> str:
    """Return what `--help` says about a setting: what it does, its choices, its default."""
    choices = f": {_listed(declared.choices)}" if declared.choices else ""
    default = f" (default: {declared.default_text})" if declared.default_text else ""
    return f"{declared.help}{choices}{default}".replace("%", "%%")


def _listed(values: tuple[str, ...]) -> str:
    *first, last = values
    return f"{', '.join(first)} or {last}"


def _add_changes_of_the_space(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--preset",
        metavar="NAME",
        help=f"values for what you do not choose, the space among them: {_listed(tuple(PRESETS))}; 'sweeper "
        "list presets' shows them (default: none)",
    )
    group.add_argument(
        "--scale",
        metavar="NAME",
        help="cut the space to a size it names, such as small (default: all of it)",
    )
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PLUGIN.AXIS=VALUE",
        help="give a parameter of the space other choices, written as in its YAML: deepfreak.size=96; may be "
        "given more than once",
    )


def spec_of(args: argparse.Namespace, *, elsewhere: bool = False) -> SweepSpec:
    """Return the spec that the arguments ask for: from a YAML file, or from DATA and a space or preset.

    `elsewhere` says that it will run on other machines, see :func:`sweeper.runs.spec.make_spec`.
    """
    given = {
        name: value
        for name, declared in SETTINGS.items()
        if name != "data" and (value := getattr(args, declared.key, None)) is not None
    }
    for name, declared in SETTINGS.items():
        if isinstance(declared.legal, Duration) and name in given:
            given[name] = parse_duration(given[name], str(declared.option))
    changes: dict[str, Any] = {
        "preset": args.preset,
        "scale": args.scale,
        "settings": args.set,
        "elsewhere": elsewhere,
    }
    return spec.spec_of(args.data, given.pop("space", None), required="--space", **changes, **given)
