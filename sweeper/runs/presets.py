"""Presets: how long a sweep takes and how widely it searches, where a person does not choose each setting.

A preset gives values to settings that nobody has chosen. The spec of a sweep holds these values and not the
preset's name, so that a sweep is resumed, and copied, without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sweeper.errors import InputError
from sweeper.plugins import nearest
from sweeper.runs.settings import duration_text

PRESET = "preset"
"""Key of a spec file, and keyword, that names a preset."""


@dataclass(frozen=True)
class Preset:
    """Values for settings that nobody has chosen.

    Attributes
    ----------
    name : str
    doc : str
        What it is for, in one line.
    space : str
        Search space of a sweep that names none.
    changes : tuple of str
        Changes of that space, as ``--set`` takes them.
    settings : mapping
        Values by the names of the fields of :class:`sweeper.runs.spec.SweepSpec`.
    """

    name: str
    doc: str
    space: str
    changes: tuple[str, ...]
    settings: Mapping[str, Any]

    @property
    def contents(self) -> dict[str, str]:
        """Everything that it chooses, as people write it in a spec file."""
        changed = f" with {', '.join(self.changes)}" if self.changes else ""
        settings = {
            name.removesuffix("_s"): duration_text(value) if name.endswith("_s") else str(value)
            for name, value in self.settings.items()
        }
        return {"space": f"{self.space}{changed}", **settings}


PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "quick",
            "a first look, in a minute: cheap texture features, one featurizer a pipeline",
            "quick",
            ("combine.most=1",),
            {"search": "gp_per_second", "time_budget_s": 60.0, "folds": 3, "repeats": 1},
        ),
        Preset(
            "balanced",
            "a good pipeline, in five minutes: cheap texture features, up to three side by side",
            "quick",
            (),
            {"search": "gp_per_second", "time_budget_s": 300.0, "folds": 5, "repeats": 1},
        ),
        Preset(
            "best",
            "the best that can be had without a network, in an hour: every descriptor, up to four side by "
            "side, and six kinds of classifiers",
            "thorough",
            (),
            {"search": "gp_per_second", "time_budget_s": 3600.0, "folds": 5, "repeats": 2},
        ),
    )
}
"""Every preset, the shortest first."""


def preset_called(name: object) -> Preset:
    """Return the preset of this name; InputError with the nearest name where there is none."""
    if not isinstance(name, str) or name not in PRESETS:
        raise InputError(f"unknown {PRESET} {name!r}; {nearest(str(name), PRESETS)}")
    return PRESETS[name]
