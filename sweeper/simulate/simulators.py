"""The simulators by name, and what a module must offer to be one."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Drawn = tuple[NDArray[Any], dict[str, Any]]
"""Counts of a frame, and what it was drawn from, by column of the manifest."""


@dataclass(frozen=True)
class Kind:
    """A simulator as the command line offers it; its module is imported only when it is used.

    Attributes
    ----------
    module : str
        Has ``SIMULATOR`` (name and version; raise the version when the same seed gives other frames),
        ``LABELS`` and ``simulate_frame(label, index, seed, size, **options) -> (counts, drawn)``, a pure
        function. `drawn` holds ``label``, ``index``, ``seed``, ``size_px``, ``simulator``, and ``group``
        where frames belong together. Optional: ``prepare``, ``group_of``, ``BY_NAME``, see
        :class:`Simulator`.
    help, example : str
    options : tuple of (str, dict)
        Its own options, for argparse; their values go to ``prepare``.
    """

    module: str
    help: str
    example: str
    options: tuple[tuple[str, dict[str, Any]], ...] = ()


KINDS: Mapping[str, Kind] = {
    "diffraction": Kind(
        module="sweeper.simulate.diffraction",
        help="serial-crystallography stills in five classes",
        example="sweeper simulate diffraction frames --per-class 60 --size 256 --seed 1",
        options=(
            (
                "--structure",
                {
                    "metavar": "FILE",
                    "help": "structure factors from a PDB, mmCIF or MTZ file, or a list of h k l F (default: "
                    "drawn from Wilson's statistics)",
                },
            ),
            (
                "--method",
                {
                    "default": "spot",
                    "metavar": "M",
                    "help": "spot, or pixel, which is nanoBragg's sum and slow (default: %(default)s)",
                },
            ),
            (
                "--point-spread",
                {
                    "default": "gaussian",
                    "metavar": "P",
                    "help": "point spread of the camera, gaussian or fibre (default: %(default)s)",
                },
            ),
        ),
    ),
    "scattering": Kind(
        module="sweeper.simulate.scattering.frame",
        help="SAXS, WAXS, GISAXS and GIWAXS frames of real detectors, two of a session in a group",
        example="sweeper simulate scattering frames --per-class 60 --size 256 --seed 1",
        options=(
            (
                "--shape",
                {
                    "default": "detector",
                    "metavar": "S",
                    "help": "detector, with PX its longer edge, or square (default: %(default)s)",
                },
            ),
        ),
    ),
}


def _no_options(**options: Any) -> tuple[dict[str, Any], dict[str, str]]:
    assert not options
    return {}, {}


@dataclass(frozen=True)
class Simulator:
    """A module of :data:`KINDS`, imported.

    Attributes
    ----------
    name : str
        Name and version.
    labels : tuple of str
    by_name : tuple of str
        Classes that are drawn only where they are named.
    draw : callable
        ``draw(label, index, seed, size, **options)`` gives a frame and what it was drawn from.
    Turns the values of the kind's own options into those of `draw` (which travel to other machines, so
    no paths) and into the columns of the manifest that tell this simulation from others. Raises
    InputError for a bad value.
    group_of : callable or None
        ``group_of(label, index, seed)`` names the group of a frame without drawing it: a group is never
        split over train, val and test. None where every frame stands alone.
    """

    name: str
    labels: tuple[str, ...]
    by_name: tuple[str, ...]
    draw: Callable[..., Drawn]
    prepare: Callable[..., tuple[dict[str, Any], dict[str, str]]]
    group_of: Callable[[str, int, int], str] | None


def load(kind: str) -> Simulator:
    """Import the simulator of a kind and return it."""
    module = importlib.import_module(KINDS[kind].module)
    return Simulator(
        name=module.SIMULATOR,
        labels=module.LABELS,
        by_name=getattr(module, "BY_NAME", ()),
        draw=module.simulate_frame,
        prepare=getattr(module, "prepare", _no_options),
        group_of=getattr(module, "group_of", None),
    )
