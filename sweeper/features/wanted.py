"""Blocks that a search space can ask for."""

from __future__ import annotations

from typing import Any

from sweeper import plugins
from sweeper.api import Network
from sweeper.features.blocks import block_grid
from sweeper.space.space import Space


def wanted_blocks(space: Space) -> dict[str, list[dict[str, Any]]]:
    """Return the blocks that a space can ask for, by featurizer.

    Networks have none before they are fitted.
    """
    wanted = {}
    for part in space.parts["featurizer"]:
        values: dict[str, list[Any]] = {}
        featurizer = plugins.featurizer(part.name)
        if isinstance(featurizer, Network):
            continue
        for axis in featurizer.axes:
            domain = part.domains[axis.name]
            chosen = domain.values if hasattr(domain, "values") else list(domain.grid())
            flat = [v for c in chosen for v in (c if axis.many and isinstance(c, tuple) else (c,))]
            values[axis.name] = list(dict.fromkeys(flat))
        wanted[part.name] = block_grid(values)
    return wanted
