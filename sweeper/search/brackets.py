"""HyperBand's brackets, as Ray Tune's HyperBandForBOHB fills them.

Source: Li et al., JMLR 18 (2018) 185, Algorithm 1; Falkner et al. 2018. Budgets are η^k steps out of
η^(rungs − 1), so that Tune counts in whole numbers; a pipeline sees the fraction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Bracket:
    """A group of trials that start together and are halved together.

    Attributes
    ----------
    number : int
        Counted from 0 over the whole sweep.
    first, size : int
        Its trials are ``first`` to ``first + size − 1``.
    steps : tuple of int
        Budget of each rung in steps, rising by the reduction factor.
    """

    number: int
    first: int
    size: int
    steps: tuple[int, ...]


@dataclass(frozen=True)
class Ladder:
    """Rungs and brackets of a search.

    Attributes
    ----------
    reduction_factor : int
        η: one trial in η is promoted to the next rung.
    rungs : int
        Number of budgets, the full one included: 1, 1/η, 1/η², ...
    group : int
        Trials of a bracket where there is one rung, and so nothing to halve.
    """

    reduction_factor: int
    rungs: int
    group: int = 1

    @property
    def max_steps(self) -> int:
        """Number of steps of the full budget."""
        return int(self.reduction_factor ** (self.rungs - 1))

    @property
    def fractions(self) -> tuple[float, ...]:
        """The budget of each rung, rising to 1."""
        return tuple(self.fraction(self.reduction_factor**k) for k in range(self.rungs))

    def fraction(self, steps: int) -> float:
        """Return the budget, in (0, 1], that a number of steps stands for."""
        return steps / self.max_steps

    def bracket_of(self, trial: int) -> Bracket:
        """Return the bracket that a trial falls into, trials counted from 0."""
        if self.rungs == 1:
            number = trial // self.group
            return Bracket(number, number * self.group, self.group, (1,))
        first = number = 0
        while True:
            start = number % self.rungs  # rung that this bracket starts on; the largest bracket is first
            halvings = self.rungs - 1 - start
            size = math.ceil(self.rungs / (halvings + 1) * self.reduction_factor**halvings)
            if trial < first + size:
                steps = tuple(int(self.reduction_factor**k) for k in range(start, self.rungs))
                return Bracket(number, first, size, steps)
            first, number = first + size, number + 1
