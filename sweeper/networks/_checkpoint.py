"""The state of a training as one file, replaced after each epoch."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from sweeper.atomic import atomically


@dataclass
class Checkpoint:
    """How far a training has come.

    Attributes
    ----------
    key : str
        Digest of what is trained, and on what.
    epoch : int
        Epochs done.
    history : list of dict
        Metrics of each epoch.
    best : dict or None
        With patience: weights of the epoch with the lowest held-out loss, on the CPU.
    state : dict
        Weights, optimizer and scaler after the last epoch.
    """

    key: str
    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Any] | None = None
    state: dict[str, Any] = field(default_factory=dict)


def save(path: Path, progress: Checkpoint) -> None:
    """Write a checkpoint; OSError, naming the file, when it cannot be written."""
    import torch

    shallow = {f.name: getattr(progress, f.name) for f in fields(progress)}
    with atomically(path, sync=False) as partial, partial.open("wb", buffering=0) as file:
        told = _Told(file)
        try:
            torch.save(shallow, told)
        except RuntimeError:
            if told.error is None:
                raise
            raise told.error from None


class _Told:
    """A file that remembers why it could not be written: torch makes a RuntimeError of a full disk."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        total = len(rest)
        try:
            while rest:  # an unbuffered file may take less than all
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self.error = error
            raise
        return total

    def flush(self) -> None:
        """Nothing is held back."""


def load(path: Path, key: str) -> Checkpoint | None:
    """Read a checkpoint; None when there is none, or it is damaged or of another training."""
    import torch

    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:  # torch does not look at the checksums that it writes
                return None
        progress = Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
    except MemoryError:
        raise
    except Exception:  # whatever torch makes of a damaged file: training starts from zero
        return None
    return progress if progress.key == key else None
