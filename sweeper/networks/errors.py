"""What goes wrong with a network; light, for those that only pass it on."""

from __future__ import annotations


class FitError(RuntimeError):
    """A network cannot be trained as asked: the same would happen again."""


class DivergedError(FitError):
    """The loss is no longer a finite number."""


class OutOfMemoryError(FitError):
    """The device has too little memory for the batch size and the input size."""
