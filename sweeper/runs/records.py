"""The records of a journal: one a line, each with a type.

A pipeline is written out once, in the line of its trial; evaluations name it by its id.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

from sweeper.pipeline import Pipeline, representation_text

FORMAT = 2
"""Raise it when journals of an earlier version cannot be read any more."""

TEST = "test"
"""FoldName of the test split: all other rows against the test rows."""

FoldName = int | str
"""Number of a fold of the cross-validation, or :data:`TEST`."""


class Header(msgspec.Struct, tag_field="kind", tag="journal", frozen=True):
    """The first line of a journal."""

    format: int
    sweeper: str


class Trial(msgspec.Struct, tag_field="kind", tag="trial", frozen=True):
    """A trial and the pipeline that it evaluates.

    Attributes
    ----------
    trial : int
        From 0; −1 for an ensemble, which is no trial.
    id : str
        Id of the pipeline.
    pipeline : JSON
        What :meth:`sweeper.pipeline.Pipeline.to_dict` gives; kept as text until it is asked for.
    """

    trial: int
    id: str
    pipeline: msgspec.Raw

    @classmethod
    def of(cls, trial: int, pipeline: Pipeline) -> Trial:
        """Return the record of a trial."""
        return cls(trial, pipeline.id, msgspec.Raw(msgspec.json.encode(pipeline.to_dict())))


# --------------------------------------------------------------------------- evaluations


class Cause(StrEnum):
    """Why an evaluation gave no score."""

    ERROR = "error"
    """The reducer or the classifier raised, or gave scores that are no scores."""
    TIME_LIMIT = "time limit"
    MEMORY_LIMIT = "memory limit"
    DIED = "process died"
    """The process ended: a crash in native code, or the system's memory ran out."""
    FEATURES = "no features"
    """Features cannot be computed from these frames."""

    @property
    def is_limit(self) -> bool:
        """Whether a limit was reached, so that the other folds need not be tried."""
        return self in (Cause.TIME_LIMIT, Cause.MEMORY_LIMIT)


class Scored(msgspec.Struct, tag_field="status", tag="done", frozen=True):
    """Outcome of an evaluation that gave a score.

    Attributes
    ----------
    metrics : dict
        Value of each of :data:`sweeper.evaluate.metrics.METRICS`, and of ``DOMAIN_METRICS`` where whole
        domains are held out; None where one is not defined.
    confusion : list of list of int, or None
        Frames of each true class (rows) predicted as each class (columns).
    n_train, n_validation : int
        Rows fitted on, but for those that only help, and rows scored.
    fit_s, predict_ms_per_frame : float
    warnings : tuple of str
        What the libraries warned of.
    """

    metrics: dict[str, float | None]
    confusion: list[list[int]] | None
    n_train: int
    n_validation: int
    fit_s: float
    predict_ms_per_frame: float
    warnings: tuple[str, ...] = ()


class Failed(msgspec.Struct, tag_field="status", tag="failed", frozen=True):
    """Outcome of an evaluation that gave no score."""

    cause: Cause
    error: str


def failed(cause: Cause, error: str) -> Failed:
    """Return a failure; of a long error the beginning is kept."""
    return Failed(cause, readable(error[:500]))


def readable(text: str) -> str:
    """Return text as JSON can keep it: bytes of a file's name that are no UTF-8 become ``\\udcff``."""
    return text.encode("utf-8", "backslashreplace").decode()


class Evaluation(msgspec.Struct, tag_field="kind", tag="evaluation", frozen=True, omit_defaults=True):
    """A pipeline at a budget on one fold, and what came of it.

    Attributes
    ----------
    key : str
        Digest of all that the outcome depends on.
    pipeline : str
        Id of the pipeline.
    budget : float
        In (0, 1].
    fold : int or str
    seed : int
        Of what was fitted.
    outcome : Scored or Failed
    featurize_ms_per_frame : float
    rerun : bool
        One of the cross-validation's folds again, with a seed that the search did not use.
    """

    key: str
    pipeline: str
    budget: float
    fold: FoldName
    seed: int
    outcome: Scored | Failed
    featurize_ms_per_frame: float
    rerun: bool = False


# --------------------------------------------------------------------------- networks


class NetworkFit(msgspec.Struct, tag_field="kind", tag="fit", frozen=True):
    """A network that is trained; its epochs refer to it by its key.

    Attributes
    ----------
    key : str
        Digest of all that the weights depend on.
    featurizer : str
    featurizer_params, intensity : dict
    fold : int or str
        Name of the fold that asked for it first; of a rerun with its seed.
    n_train : int
    workers : int
    device : str
    """

    key: str
    featurizer: str
    featurizer_params: dict[str, Any]
    intensity: dict[str, Any]
    fold: FoldName
    n_train: int
    workers: int
    device: str

    @property
    def representation(self) -> str:
        """As :attr:`sweeper.pipeline.Pipeline.representation` of the pipelines that use it."""
        return representation_text(self.featurizer, self.featurizer_params, self.intensity)


class Epoch(msgspec.Struct, tag_field="kind", tag="epoch", frozen=True, omit_defaults=True):
    """One epoch of a network's training; held-out values are None where nothing was held out."""

    fit: str
    epoch: int
    loss: float
    accuracy: float
    learning_rate: float
    seconds: float
    held_out_loss: float | None = None
    held_out_accuracy: float | None = None


Record = Header | Trial | Evaluation | NetworkFit | Epoch

_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


def decode(line: bytes) -> Record | None:
    """Return the record of a line; None where the line holds none."""
    try:
        return _decoder.decode(line.decode())  # as text, so that no byte of a pipeline is damaged either
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        return None


def encode(record: Record) -> bytes:
    """Return the line of a record, with its line break.

    What is read must be what was written. Above all it must hold no NaN and no infinity: msgspec writes them
    as null, which is a metric without a value, or a line that cannot be read.
    """
    line = msgspec.json.encode(record)
    assert decode(line) == record, f"this record cannot be read back: {record}"
    return line + b"\n"


def read_pipeline(text: bytes | msgspec.Raw) -> Pipeline:
    """Return the pipeline that a trial's line holds."""
    data: Mapping[str, Any] = msgspec.json.decode(text)
    return Pipeline.from_dict(dict(data))
