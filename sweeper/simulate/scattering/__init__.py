"""Frames of X-ray scattering at beamlines: SAXS, WAXS, GISAXS and GIWAXS, by formulas.

Light to import: numeric modules are imported only when a frame is drawn.
"""

from __future__ import annotations

LABELS = ("SAXS", "WAXS", "GISAXS", "GIWAXS")
"""Classes, in the order in which they are drawn."""

BLANK = "blank"
"""The class of frames with a closed shutter, drawn only on request."""

SIMULATOR = "scattering 2"
"""Name and version: the same label, index, seed and size give the same frame under the same name."""
