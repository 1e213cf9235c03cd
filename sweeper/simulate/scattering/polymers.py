"""Matter without atomic crystals: halos of amorphous materials, and lines of polymers.

The figures are approximate: a simulated frame shows a polymer like these, not a standard.
"""

from __future__ import annotations

HALOS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "polystyrene": ((0.75, 0.45, 0.5), (1.38, 0.5, 1.0)),
    "poly(methyl methacrylate)": ((0.96, 0.35, 1.0), (2.1, 0.7, 0.45)),
    "polycarbonate": ((0.68, 0.3, 0.25), (1.22, 0.45, 1.0)),
    "poly(ether sulfone)": ((1.24, 0.55, 1.0), (1.9, 0.8, 0.4), (3.1, 0.8, 0.15)),
    "silica glass": ((1.53, 0.5, 1.0), (2.9, 0.9, 0.15), (5.0, 1.2, 0.12)),
    "water": ((2.0, 0.8, 1.0), (2.95, 0.7, 0.45), (4.9, 1.2, 0.2)),
    "hydrocarbon": ((1.38, 0.35, 1.0), (2.9, 0.9, 0.15)),
    "kapton": ((0.4, 0.08, 0.4), (1.22, 0.5, 1.0), (1.65, 0.5, 0.4)),
    "metallic glass": ((2.9, 0.4, 1.0), (5.0, 0.9, 0.35), (7.3, 1.2, 0.15)),
}
"""Maxima: q and full width at half maximum in 1/Å, relative height."""

POLYMERS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "polypropylene": (
        (1.002, 1.0, 90),
        (1.204, 0.7, 90),
        (1.318, 0.5, 90),
        (1.53, 0.6, 50),
        (1.555, 0.6, 62),
    ),
    "nylon": ((1.425, 1.0, 90), (1.695, 0.9, 90), (0.73, 0.1, 20)),
    "cellulose": ((1.03, 0.4, 90), (1.17, 0.35, 90), (1.598, 1.0, 90), (2.42, 0.15, 0)),
    "poly(ethylene terephthalate)": ((1.247, 0.8, 90), (1.60, 0.7, 90), (1.835, 1.0, 88), (1.16, 0.3, 40)),
    "poly(tetrafluoroethylene)": ((1.28, 1.0, 90), (2.22, 0.1, 90), (2.56, 0.12, 90), (2.6, 0.2, 20)),
    "poly(vinylidene fluoride)": ((1.26, 0.6, 90), (1.32, 0.7, 90), (1.42, 1.0, 90), (1.9, 0.2, 40)),
    "polythiophene": ((0.385, 1.0, 90), (0.77, 0.25, 90), (1.155, 0.1, 90), (1.65, 0.6, 90)),
    "keratin": ((0.64, 0.8, 90), (1.22, 0.5, 10), (1.48, 0.8, 60)),
    "poly(ethylene oxide)": ((1.356, 1.0, 75), (1.645, 0.9, 60), (1.93, 0.15, 50)),
}
"""Lines: q in 1/Å, relative power, angle from the chain's axis in degrees."""
