"""Learning rates as a function of the step alone, so that it does not matter where a rung ends."""

from __future__ import annotations

import math

from sweeper.api import Params

_STEP_EPOCHS = 10
_STEP_FACTOR = 0.1


def learning_rate(step: int, steps_per_epoch: int, params: Params) -> float:
    """Learning rate of one step.

    Parameters
    ----------
    step : int
        From 0, over all epochs.
    steps_per_epoch : int
    params : mapping
        ``learning_rate``, ``schedule``, ``decay``, ``epochs`` and ``warmup_epochs`` of the recipe:

        - ``time``: rate / (1 + decay × step), as Keras does it (camSortXS section 4.2);
        - ``step``: a tenth every 10 epochs (DeepFreak, Table 2 of its paper);
        - ``cosine``: half a period from the end of the warm-up to the end of the full number of epochs;
        - ``constant``.

        While it warms up, all of them are multiplied by a factor that rises linearly to 1 at the last
        step of the warm-up.
    """
    rate = float(params["learning_rate"])
    warmup = int(params["warmup_epochs"]) * steps_per_epoch
    rising = min(1.0, (step + 1) / warmup) if warmup else 1.0
    factor = 1.0
    kind = params["schedule"]
    if kind == "time":
        factor = 1 / (1 + float(params["decay"]) * step)
    elif kind == "step":
        factor = _STEP_FACTOR ** (step // steps_per_epoch // _STEP_EPOCHS)
    elif kind == "cosine":
        after = max(1, params["epochs"] * steps_per_epoch - warmup)
        factor = (1 + math.cos(math.pi * min(1.0, max(0, step - warmup) / after))) / 2
    else:
        assert kind == "constant", kind
    return rate * rising * factor
