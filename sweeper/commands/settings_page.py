"""The page of all settings, ``docs/settings.md``, from their declarations.

``make docs`` writes it; a test says whether it is current.
"""

from __future__ import annotations

from sweeper.runs.presets import PRESETS
from sweeper.runs.settings import GROUPS, Duration, Setting, SpaceMapping
from sweeper.runs.spec import SETTINGS

_HEAD = """\
# Settings of a sweep

Every setting has the same name everywhere: it is an option of `sweeper plan`, `run` and `submit` (with
dashes), a key of a spec file and of `sweep.yaml`, and a keyword of `sweeper.run` (with underscores). Options
and keywords win over a spec file, which wins over a [preset](#presets), which wins over what the search space
says about its sweep (`sweep:`).

- Relative paths are taken from the folder of the spec file that holds them, others from the current folder.
- A time has a unit (`90s`, `10m`, `1.5h`); under its name with `_s` it is in seconds, as in `sweep.yaml`.
- A sweep is resumed by running its command again on its run folder. Some settings may change then; another
  value of one that stays makes another sweep, which needs a folder of its own.

This page is written by `make docs`.
"""
_PRESETS = """\
## Presets

`--preset NAME`, `preset: NAME` in a spec file or `preset="NAME"` gives these values to what is not chosen
otherwise. With `--space` the space is yours, as it is written, and the preset has the rest. `sweep.yaml`
keeps the values. [advice.md](advice.md) says what each costs.
"""
_AS_WRITTEN = {Duration: "a time above zero", SpaceMapping: "a name, a path, or the space as a mapping"}
"""Legal values as people write them, where the spec holds something else."""


def page() -> str:
    """Return the text of the page."""
    return "\n".join([_HEAD, *(_group(name) for name in GROUPS), _presets()])


def _presets() -> str:
    """Return the section on presets: what each chooses."""
    keys = list(next(iter(PRESETS.values())).contents)
    rows = [
        f"| `{p.name}` | {p.doc} | {' | '.join(p.contents[key] for key in keys)} |" for p in PRESETS.values()
    ]
    named = " | ".join(f"`{key}`" for key in keys)
    return "\n".join([_PRESETS, f"| preset | for | {named} |", f"|{' --- |' * (len(keys) + 2)}", *rows, ""])


def _group(group: str) -> str:
    rows = [_row(declared) for declared in SETTINGS.values() if declared.group == group]
    lines = [
        f"## {group.capitalize()}\n",
        "| setting | what it does | legal values | default | on resuming |",
        "| --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*lines, *rows, ""])


def _row(declared: Setting) -> str:
    cells = (
        f"`{declared.key}`",
        declared.help,
        _AS_WRITTEN.get(type(declared.legal), str(declared.legal)),
        declared.default_text or "required",
        "may change" if declared.resumable else "stays",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(page(), end="")
