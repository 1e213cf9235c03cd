"""Pipelines in few words: names, and those parameters that tell the pipelines of a run apart."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sweeper.pipeline import unnested, value_text
from sweeper.runs.leaderboard import ENSEMBLE

SETS = {"unbalanced": "UB", "balanced": "BL", "augmented": "BLA", "pretrained": "PT"}
"""Training sets as camSortXS abbreviates them."""


def short_sets(training_set: str) -> str:
    """Training set of a network as camSortXS abbreviates it; of several networks: ``UB+PT``."""
    return "+".join(SETS.get(name, name) for name in training_set.split("+"))


_MEMBERS = 6
"""Of an ensemble, that are named."""


class Labels:
    """Names for the rows of a leaderboard.

    A parameter is named where it differs between rows of the same plugin; what is the same in all of them
    stands in the search space.
    """

    def __init__(self, board: Any) -> None:
        self._varying: dict[tuple[str, str], set[str]] = {}
        for slot in ("featurizer", "classifier"):
            pairs = set(zip(board[slot], board[f"{slot}_params"], strict=True))
            self._varying.update({(slot, name): found for name, found in _varying(pairs)})
        self._reducers = set(board["reducer"][board["trial"] >= 0])

    def representation(self, row: Any, *, params: bool = True) -> str:
        """``glcm distance=1,2`` or ``lenet BLA``."""
        if row.featurizer == ENSEMBLE:
            return ENSEMBLE
        name = f"{row.featurizer} {short_sets(row.training_set)}".rstrip()
        chosen = self.params("featurizer", row) if params else ""
        return f"{name} {chosen}".rstrip()

    def short(self, row: Any) -> str:
        """``glcm + rf``."""
        name = self.representation(row, params=False)
        return name if name == ENSEMBLE else f"{name} + {row.classifier}"

    def long(self, row: Any) -> str:
        """``glcm distance=1,2 + rf n_trees=300``."""
        if row.featurizer == ENSEMBLE:
            return f"{ENSEMBLE} of {self.params('classifier', row)}"
        reducer = f" + {row.reducer}" if len(self._reducers) > 1 and row.reducer != "none" else ""
        classifier = f"{row.classifier} {self.params('classifier', row)}".rstrip()
        return f"{self.representation(row)}{reducer} + {classifier}"

    def params(self, slot: str, row: Any) -> str:
        """``distance=1,2 angle_deg=0``: of the row's featurizer or classifier."""
        if getattr(row, slot) == ENSEMBLE:
            return _members(row.classifier_params) if slot == "classifier" else ""
        varying = self._varying.get((slot, getattr(row, slot)), set())
        found = flat_params(getattr(row, f"{slot}_params"))
        return " ".join(f"{name}={value}" for name, value in found.items() if name in varying)


def _members(params: str) -> str:
    """Trials of an ensemble with their weights, the heaviest first."""
    members = json.loads(params).get("members", [])
    named = [f"{one['trial']} ({one['weight']:.2g})" for one in members]
    more = [f"{len(named) - _MEMBERS} more"] if len(named) > _MEMBERS else []
    return "trials " + ", ".join([*named[:_MEMBERS], *more])


def flat_params(text: str) -> dict[str, str]:
    """Parameters of a leaderboard's cell as text; settings of the intensity among them.

    Those of featurizers side by side are called ``glcm.distance``.
    """
    try:
        params = json.loads(text)
    except (TypeError, ValueError):
        return {}
    intensity = params.pop("intensity", None)
    params |= intensity if isinstance(intensity, dict) else {}
    return {name: value_text(value) for name, value in unnested(params).items()}


def _varying(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, set[str]]]:
    """Names of the parameters of each plugin that have more than one value."""
    values: dict[str, dict[str, set[str]]] = {}
    for plugin, text in pairs:
        for name, value in flat_params(text).items():
            values.setdefault(plugin, {}).setdefault(name, set()).add(value)
    return [(p, {n for n, found in names.items() if len(found) > 1}) for p, names in values.items()]
