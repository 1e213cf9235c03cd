"""How the settings of a sweep are declared: each once, with its default, legal values, help and option.

Whatever else says something about a setting (checks, the command line, ``sweep.yaml``, what may change when a
sweep is resumed, the page of all settings) is derived from its declaration.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sweeper.api import Legal, OneOf
from sweeper.errors import InputError
from sweeper.plugins import nearest, search_names

GROUPS = ("data", "search", "evaluation", "resources", "networks", "output")
"""Settings stand together by what they are about, in the order of ``--help``."""
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_MOST = 1e8


# --------------------------------------------------------------------------- legal values


@dataclass(frozen=True)
class Text:
    """Text that is not empty."""

    def __contains__(self, value: object) -> bool:
        return isinstance(value, str) and bool(value.strip())

    def __str__(self) -> str:
        return "text that is not empty"


@dataclass(frozen=True)
class SearchName(Text):
    """The name of a search; that there is one is checked where the search is made."""

    def __str__(self) -> str:
        return "the name of a search"


@dataclass(frozen=True)
class FilePath(Text):
    """The path of a file or folder; a relative one is made absolute where it is read."""

    def __contains__(self, value: object) -> bool:
        return super().__contains__(os.fspath(value) if isinstance(value, os.PathLike) else value)

    def __str__(self) -> str:
        return "a path"

    def on_disk(self, value: object) -> bool:
        """Return whether a legal value is a path, which may be relative."""
        return True


@dataclass(frozen=True)
class Beginning(FilePath):
    """A run by its path or URL; where a sweep has begun, the pipelines that were taken from it."""

    def __contains__(self, value: object) -> bool:
        if isinstance(value, Mapping):
            return isinstance(value.get("run"), str) and isinstance(value.get("pipelines"), list)
        return super().__contains__(value)

    def __str__(self) -> str:
        return "the path or URL of a run"

    def on_disk(self, value: object) -> bool:
        return not isinstance(value, Mapping) and "://" not in str(value)


@dataclass(frozen=True)
class SpaceMapping:
    """A search space as its YAML holds it."""

    def __contains__(self, value: object) -> bool:
        return isinstance(value, Mapping)

    def __str__(self) -> str:
        return "a search space: a mapping with at least featurizers and classifiers"


@dataclass(frozen=True)
class Switch:
    """True or false."""

    def __contains__(self, value: object) -> bool:
        return isinstance(value, bool)

    def __str__(self) -> str:
        return "true or false"


@dataclass(frozen=True)
class Names:
    """A list of names."""

    def __contains__(self, value: object) -> bool:
        return isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)

    def __str__(self) -> str:
        return "a list of names"


@dataclass(frozen=True)
class Above:
    """Numbers above `low` and below `high`."""

    low: float = 0.0
    high: float = _MOST

    def __contains__(self, value: object) -> bool:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and self.low < value < self.high  # type: ignore[operator]

    def __str__(self) -> str:
        return f"a number above {'zero' if self.low == 0 else f'{self.low:g}'} and below {self.high:g}"


@dataclass(frozen=True)
class Costs:
    """Numbers above zero by name; people write them as :func:`parse_costs` takes them, or as a mapping."""

    def __contains__(self, value: object) -> bool:
        return (
            isinstance(value, Mapping)
            and bool(value)
            and all(name in Text() and cost in Above() for name, cost in value.items())
        )

    def __str__(self) -> str:
        return "classes with numbers above zero, such as good: 5"


@dataclass(frozen=True)
class Duration(Above):
    """Seconds; people write them with a unit, see :func:`parse_duration`."""


def parse_duration(text: str | float, name: str = "--time-budget") -> float:
    """Return the seconds in ``90``, ``90s``, ``10m`` or ``1.5h``.

    Raises
    ------
    ValueError
        It is no such time; the message begins with `name`.
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([a-z]*)\s*", str(text))
    seconds = 0.0 if match is None else float(match[1]) * _UNITS.get(match[2], 0.0)
    if not 0 < seconds < _MOST:
        raise InputError(
            f"{name} must be a time above zero and below three years, such as 90s, 10m or 1.5h, got {text!r}"
        )
    return seconds


def parse_costs(text: str, name: str = "--class-costs") -> dict[str, float]:
    """Return the numbers in ``good=5,strong=10``, by name.

    Raises
    ------
    ValueError
        It is no such text; the message begins with `name`.
    """
    found: dict[str, float] = {}
    for part in text.split(","):
        key, equals, number = (piece.strip() for piece in part.rpartition("="))
        try:
            found[key] = float(number)
        except ValueError:
            equals = ""
        if not key or not equals or found[key] not in Above():
            raise InputError(
                f"{name} must be classes with numbers above zero, such as good=5,strong=10, got {text!r}"
            )
    return found


def duration_text(seconds: float) -> str:
    """Return seconds as people write them: ``90s``, ``10m``, ``2h``."""
    for unit, length in (("h", 3600), ("m", 60)):
        if seconds % length == 0:
            return f"{seconds / length:.10g}{unit}"
    return f"{seconds:.10g}s"


# --------------------------------------------------------------------------- declarations


@dataclass(frozen=True)
class Setting:
    """One setting of a sweep.

    Attributes
    ----------
    legal : Legal
        What its value may be. A setting whose default is None may be None as well.
    help : str
        What it does, as ``--help`` says it.
    group : str
        One of :data:`GROUPS`.
    metavar : str
        What stands for its value in ``--help``; not used for a :class:`Switch`.
    unset : str
        What None stands for.
    resumable : bool
        Whether it may change when a sweep is resumed: it decides how far the sweep goes, or by what means it
        computes, but not what. (So are settings whose effect is told by other means: which frames take part
        by the digest of the data set, which weights a network starts from by the keys of evaluations.)
    positional : bool
        Whether it is an argument of its own on the command line, without an option.
    required : bool
        Whether it has no default.
    default : object
        The field's default.
    name : str
        The field's name.
    """

    legal: Legal
    help: str
    group: str
    metavar: str = ""
    unset: str = ""
    resumable: bool = False
    positional: bool = False
    required: bool = False
    default: Any = None
    name: str = ""

    @property
    def optional(self) -> bool:
        """Whether it may be None."""
        return self.default is None and not self.required

    @property
    def key(self) -> str:
        """Its key in a spec file: the name, for a time without the unit."""
        return self.name.removesuffix("_s") if isinstance(self.legal, Duration) else self.name

    @property
    def option(self) -> str | None:
        """Its option on the command line; None where it is an argument of its own."""
        return None if self.positional else f"--{self.key.replace('_', '-')}"

    @property
    def default_text(self) -> str:
        """The default as people read it; empty where there is none."""
        if self.required:
            return ""
        if self.default is None:
            return self.unset
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        if isinstance(self.legal, Duration):
            return duration_text(self.default)
        return ", ".join(self.default) or self.unset if isinstance(self.default, tuple) else str(self.default)

    @property
    def choices(self) -> tuple[str, ...]:
        """Names that the value is one of, as far as they are known; none where it is free."""
        if isinstance(self.legal, SearchName):
            return search_names()
        return tuple(map(str, self.legal.values)) if isinstance(self.legal, OneOf) else ()

    def check(self, value: object) -> None:
        """Raise InputError, naming setting, rule and value, unless `value` is legal."""
        if value in self.legal or (value is None and self.optional):
            return
        if isinstance(self.legal, OneOf):
            raise InputError(f"unknown {self.name} {value!r}; {nearest(str(value), self.choices)}")
        raise InputError(f"{self.name} must be {self.legal}, got {value!r}")


def setting(default: Any = dataclasses.MISSING, **declared: Any) -> Any:
    """Return a dataclass field with a :class:`Setting` made of `declared`."""
    known = {"required": True} if default is dataclasses.MISSING else {"default": default}
    return dataclasses.field(default=default, metadata={"setting": Setting(**declared, **known)})


def settings_of(spec: Any) -> dict[str, Setting]:
    """Return the settings that a dataclass declares, by name and in order."""
    return {f.name: dataclasses.replace(f.metadata["setting"], name=f.name) for f in dataclasses.fields(spec)}


def from_written(
    written: Mapping[str, Any],
    settings: Mapping[str, Setting],
    noun: str = "setting",
    others: Iterable[str] = (),
) -> dict[str, Any]:
    """Return values by field name from settings as people write them, in a file or as keyword arguments.

    A time may be written with a unit under its :attr:`~Setting.key`, such as ``time_budget: 10m``; where it
    is left empty it has its default. Costs may be written as on the command line.

    Raises
    ------
    ValueError
        A name that is not known (the message calls it a `noun`, and suggests the nearest, which may be one of
        `others`), or a time or costs that are none.
    """
    values = dict(written)
    for item in settings.values():
        if item.key != item.name and item.key in values:
            if item.name in values:
                raise InputError(f"{item.key} and {item.name} are the same setting, give one of them")
            if (value := values.pop(item.key)) is not None:
                values[item.name] = parse_duration(value, item.key)
        if isinstance(item.legal, Costs) and isinstance(values.get(item.name), str):
            values[item.name] = parse_costs(values[item.name], item.name)
    for name in values:
        if name not in settings:
            keys = {item.key for item in settings.values()} | {*others}
            raise InputError(f"unknown {noun} {name!r}; {nearest(str(name), keys)}")
    return values
