"""Predictions of the best pipelines for frames that they were not fitted on.

RUN/predictions has one file an evaluation, named after its key in the journal.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sweeper.atomic import atomically
from sweeper.errors import InputError
from sweeper.evaluate.metrics import over_folds
from sweeper.runs.records import Evaluation, Failed, Scored

KEPT = 50
"""Pipelines whose predictions stay: those ranked best at the full budget, with any one fold left out too.

An ensemble that is scored on a fold is selected from those that the other folds ranked best.
"""

_METADATA = b"sweeper.runs.predictions"
_FRAME, _LABEL, _PREDICTED = "frame", "label", "predicted"


@dataclass(frozen=True)
class Predictions:
    """Predictions of one evaluation.

    Attributes
    ----------
    frames : int32, (n,)
        Rows of the data set, as in RUN/frames.parquet.
    labels : int16, (n,)
        Their classes.
    predicted : int16, (n,)
        Classes with the largest score.
    scores : float32, (n, n_classes)
        Not always probabilities: see :attr:`sweeper.api.Estimator.scores`.
    classes : tuple of str
    """

    frames: NDArray[np.int32]
    labels: NDArray[np.int16]
    predicted: NDArray[np.int16]
    scores: NDArray[np.float32]
    classes: tuple[str, ...]


def to_parquet(
    frames: NDArray[np.int64],
    labels: NDArray[np.int64],
    scores: NDArray[np.float64],
    classes: tuple[str, ...],
) -> bytes:
    """A file of predictions: ``frame``, ``label``, ``predicted`` and ``score[<class>]`` for each class.

    Parameters
    ----------
    frames, labels : int64, (n,)
    scores : float64, (n, n_classes)
    classes : tuple of str
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        _FRAME: frames.astype(np.int32),
        _LABEL: labels.astype(np.int16),
        _PREDICTED: scores.argmax(axis=1).astype(np.int16),
        **{score_column(name): scores[:, i].astype(np.float32) for i, name in enumerate(classes)},
    }
    table = pa.table(columns).replace_schema_metadata({_METADATA: json.dumps({"classes": classes})})
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    return file.getvalue()


def score_column(name: str) -> str:
    """Return the name of the column that holds the scores of a class."""
    return f"score[{name}]"


def read_predictions(path: Path) -> Predictions:
    """Read a file of predictions; OSError or pyarrow's ArrowException when it is not there or damaged."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    classes = tuple(json.loads(table.schema.metadata[_METADATA])["classes"])
    scores = np.column_stack([table[score_column(name)].to_numpy() for name in classes])
    frames, labels, predicted = (table[name].to_numpy() for name in (_FRAME, _LABEL, _PREDICTED))
    return Predictions(frames, labels, predicted, scores, classes)


def prediction_file(record: Evaluation) -> str:
    """Return the name of the file of an evaluation's predictions."""
    return f"{record.key}.parquet"


def kept_predictions(folder: Path, records: Iterable[Evaluation]) -> list[Predictions] | None:
    """Return the predictions of evaluations, in order; None where those of one were not kept.

    Raises
    ------
    InputError
        A file cannot be read, or is not of this form.
    """
    import pyarrow as pa

    found = []
    for record in records:
        path = folder / prediction_file(record)
        try:
            found.append(read_predictions(path))
        except FileNotFoundError:
            return None
        except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
            why = " ".join(str(error).split())
            raise InputError(f"{path}: must be a file of predictions: {why}") from None
    return found


def score_of_folds(metric: str, values: Iterable[float | None]) -> float:
    """Return a metric of all folds, by which pipelines are ranked in whatever order folds came."""
    defined = sorted(v for v in values if v is not None)
    return round(over_folds(metric, defined), 12) if defined else -np.inf


@dataclass
class _Held:
    """Files of one pipeline at the full budget, and its value in each fold."""

    keys: dict[int, str] = field(default_factory=dict)
    values: dict[int, float | None] = field(default_factory=dict)

    def score(self, metric: str, left_out: int | None = None) -> float:
        """Return the value of all folds."""
        return score_of_folds(metric, (v for fold, v in self.values.items() if fold != left_out))


class PredictionFiles:
    """The folder of predictions, kept to the best pipelines as evaluations come.

    A pipeline's place does not get better when others come, so what was removed is never missed. Equal
    ones are told apart by their digest: which stay does not depend on the order in which they come.

    Parameters
    ----------
    folder : Path
    metric : str
        What ranks pipelines.
    folds : int
        Evaluations that make a pipeline complete; incomplete ones stay.
    kept : int
    """

    def __init__(self, folder: Path, metric: str, folds: int, kept: int = KEPT) -> None:
        self._folder, self._metric, self._folds, self._kept = folder, metric, folds, kept
        self._held: dict[str, _Held] = {}

    def path(self, key: str) -> Path:
        """File of the evaluation under a key."""
        return self._folder / f"{key}.parquet"

    def found(self) -> list[str]:
        """Keys of the files that are there."""
        return sorted(path.stem for path in self._folder.glob("[!.]*.parquet"))

    def resume(self, records: Mapping[str, Evaluation | None]) -> None:
        """Take over what is there: the record of each file's evaluation; files without one are removed."""
        for key, record in records.items():
            if record is None:
                self._remove(key)
            else:
                self._hold(record)
        self._prune()

    def add(self, record: Evaluation, data: bytes | None) -> None:
        """Keep the predictions of an evaluation, unless better pipelines are enough.

        Raises
        ------
        OSError
            It cannot be written; the message names the file.
        """
        if data is not None:
            with atomically(self.path(record.key), sync=False) as partial:
                partial.write_bytes(data)
            self._hold(record)
            self._prune()
        elif isinstance(record.outcome, Failed):
            self._drop(record.pipeline)

    def _hold(self, record: Evaluation) -> None:
        if isinstance(record.fold, int) and isinstance(record.outcome, Scored):  # the test split's stay
            held = self._held.setdefault(record.pipeline, _Held())
            held.keys[record.fold] = record.key
            held.values[record.fold] = record.outcome.metrics[self._metric]

    def _prune(self) -> None:
        complete = [name for name, held in self._held.items() if len(held.keys) == self._folds]
        if len(complete) <= self._kept:
            return
        stay: set[str] = set()
        for left_out in (None, *(range(self._folds) if self._folds > 1 else ())):
            order = [(-self._held[name].score(self._metric, left_out), name) for name in complete]
            stay.update(name for _, name in sorted(order)[: self._kept])
        for name in complete:
            if name not in stay:
                self._drop(name)

    def _drop(self, name: str) -> None:
        for key in self._held.pop(name, _Held()).keys.values():
            self._remove(key)

    def _remove(self, key: str) -> None:
        with suppress(OSError):
            self.path(key).unlink()
