"""A complete grid: the score and the cost of every pipeline of a space, on every fold, at every budget."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sweeper.features.representation import representation
from sweeper.pipeline import Pipeline, canonical_json, plain_params
from sweeper.space.file import load_space
from sweeper.space.space import Space

FOLDER = Path(__file__).parent
TASKS = ("diffraction", "scattering", "digits")
RUNGS, REDUCTION_FACTOR = 3, 3
BUDGETS = tuple(REDUCTION_FACTOR ** (k + 1 - RUNGS) for k in range(RUNGS))
"""The budgets of a sweep by default, rising to 1."""


def space_of(task: str) -> Space:
    """Return the search space of a task."""
    return load_space(str(FOLDER / f"{task}.yaml"))


def intensity_name(pipeline: Pipeline) -> str:
    """Return text that tells one setting of the intensities from another."""
    return canonical_json(plain_params(pipeline.intensity))


@dataclass(frozen=True)
class FeatureCosts:
    """Seconds that features take, on one core.

    Attributes
    ----------
    reading : dict
        To read and prepare all frames once, by the setting of the intensities.
    blocks : dict
        To compute a block for all frames, by the setting and the block's name.
    codebooks : dict
        To fit a codebook and encode all frames, by the setting, the featurizer's parameters and the fold.
    """

    reading: dict[str, float] = field(default_factory=dict)
    blocks: dict[str, float] = field(default_factory=dict)
    codebooks: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Table:
    """All scores and costs of a task.

    Attributes
    ----------
    task : str
    pipelines : list of Pipeline
        In the order of the space's grid, (n,).
    scores : float64, (n, budgets, folds)
        Accuracy on the validation rows.
    fit_s : float64, (n, budgets, folds)
        Seconds on one core to fit and apply reducer and classifier.
    features : FeatureCosts
    facts : dict
        Of the frames and the machine.
    """

    task: str
    pipelines: list[Pipeline]
    scores: NDArray[np.float64]
    fit_s: NDArray[np.float64]
    features: FeatureCosts
    facts: dict[str, Any]

    @cached_property
    def number(self) -> dict[str, int]:
        """Position of each pipeline, by its id."""
        return {pipeline.id: i for i, pipeline in enumerate(self.pipelines)}

    @cached_property
    def means(self) -> NDArray[np.float64]:
        """Mean score over the folds, (n, budgets)."""
        return np.asarray(self.scores.mean(axis=2))

    @property
    def folds(self) -> int:
        """Number of folds."""
        return int(self.scores.shape[2])

    @property
    def best(self) -> float:
        """The best score that any pipeline has at the full budget."""
        return float(self.means[:, -1].max())

    @cached_property
    def needs(self) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
        """Return the intensities, blocks and codebooks that each pipeline needs, as costs name them."""
        found = []
        for pipeline in self.pipelines:
            at = intensity_name(pipeline)
            blocks, codebooks = [], []
            for single in pipeline.singles:
                kind = representation(single, 2)
                names = sorted(kind.block_names)  # type: ignore[union-attr]
                blocks += [f"{at} {name}" for name in names]
                if f"{codebook_name(single)} 0" in self.features.codebooks:
                    codebooks.append(codebook_name(single))
            found.append((at, tuple(blocks), tuple(codebooks)))
        return found

    def write(self, path: Path) -> None:
        """Write one row for each pipeline, budget and fold; costs of features and facts as metadata."""
        index = np.indices(self.scores.shape)
        columns = {
            "pipeline": index[0].ravel().astype(np.uint16),
            "budget": index[1].ravel().astype(np.uint8),
            "fold": index[2].ravel().astype(np.uint8),
            "accuracy": self.scores.ravel().astype(np.float32),
            "fit_s": self.fit_s.ravel().astype(np.float32),
        }
        metadata = {
            "task": self.task,
            "budgets": json.dumps(BUDGETS),
            "pipelines": json.dumps([pipeline.id for pipeline in self.pipelines]),
            "features": json.dumps(vars(self.features)),
            "facts": json.dumps(self.facts),
        }
        table = pa.table(columns).replace_schema_metadata(metadata)
        pq.write_table(table, path, compression="zstd", compression_level=19)


def read_table(path: Path) -> Table:
    """Read a table; RuntimeError where the space has changed since it was made."""
    table = pq.read_table(path)
    metadata: Mapping[str, Any] = {k.decode(): v.decode() for k, v in table.schema.metadata.items()}
    task = metadata["task"]
    pipelines = list(space_of(task).grid())
    if [pipeline.id for pipeline in pipelines] != json.loads(metadata["pipelines"]):
        raise RuntimeError(f"{path}: {task}.yaml has other pipelines now; make the table again")
    shape = (len(pipelines), len(json.loads(metadata["budgets"])), -1)
    # Single precision halves the file; rounded, equal counts of frames are equal scores again.
    scores = np.round(table["accuracy"].to_numpy().astype(np.float64).reshape(shape), 6)
    fit_s = table["fit_s"].to_numpy().astype(np.float64).reshape(shape)
    features = FeatureCosts(**json.loads(metadata["features"]))
    return Table(task, pipelines, scores, fit_s, features, json.loads(metadata["facts"]))


def read_tables(folder: Path, tasks: Sequence[str] = TASKS) -> list[Table]:
    """Read the tables of a folder."""
    return [read_table(folder / f"{task}.parquet") for task in tasks]


def codebook_name(single: Pipeline) -> str:
    """Return what costs call the codebook of a pipeline with a single featurizer."""
    params = canonical_json(plain_params(single.featurizer_params))
    return f"{intensity_name(single)} {single.featurizer} {params}"
