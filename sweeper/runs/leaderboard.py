"""The leaderboard: a function of the journal's records, one row a pipeline, best first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sweeper.atomic import atomically
from sweeper.errors import InputError, StoppedError
from sweeper.evaluate.calibration import QUALITIES
from sweeper.evaluate.metrics import DOMAIN_METRICS, METRICS, RANKED_BY, WORST_DOMAIN
from sweeper.evaluate.statistics import accuracy_intervals, p_values
from sweeper.pipeline import canonical_json, params_of_each, value_text
from sweeper.runs.results import TIMES, VALUES, CompleteRows, Probabilities, Results, mean_of_folds

if TYPE_CHECKING:
    import pandas as pd

_SCORES = tuple(
    column
    for metric in METRICS
    for column in (
        metric,
        f"{metric}_std",
        *(("accuracy_ci_low", "accuracy_ci_high") if metric == "accuracy" else ()),
    )
)
COLUMNS = (
    "rank",
    "trial",
    "featurizer",
    "featurizer_params",
    "training_set",
    "reducer",
    "classifier",
    "classifier_params",
    "budget",
    "folds",
    *_SCORES,
    *QUALITIES,
    "p_vs_best",
    "test_accuracy",
    "featurize_ms_per_frame",
    "fit_s",
    "predict_ms_per_frame",
    "status",
    "error",
)
"""Columns of the leaderboard, in order."""

DOMAIN_COLUMNS = ("accuracy_mean_domain", "accuracy_mean_domain_std", WORST_DOMAIN)
"""Columns behind the interval of the accuracy, where whole domains are held out."""

_DESCRIPTION = (
    "featurizer",
    "featurizer_params",
    "training_set",
    "reducer",
    "classifier",
    "classifier_params",
)
"""Columns that say what a pipeline is."""

BEST_PER: Mapping[str, tuple[str, ...]] = {
    "featurizer": ("featurizer",),
    "classifier": ("classifier",),
    "representation": ("featurizer", "featurizer_params", "training_set"),
}
"""Kinds of which :func:`select` can keep the best, and the columns that tell one from another."""

ENSEMBLE = "ensemble"
"""Featurizer and classifier of the row that is a weighted mean of others."""

_N_METRICS = len(METRICS)
_DONE, _STOPPED, _FAILED = 0, 1, 2
_STATUS = np.array(["done", "stopped", "failed"], dtype=object)


def _std(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation over folds with n − 1, (rows, ...); NaN with fewer than two defined."""
    defined = np.isfinite(values)
    squares = np.where(defined, values - mean_of_folds(values)[:, None], 0) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        std: NDArray[np.float64] = np.sqrt(squares.sum(axis=1) / (defined.sum(axis=1) - 1))
    return np.where(defined.sum(axis=1) > 1, std, np.nan)


def _scores(rows: CompleteRows) -> dict[str, NDArray[np.float64]]:
    """Columns of the scores and times, each (rows,)."""
    mean, std = mean_of_folds(rows.values), _std(rows.values[:, :, :_N_METRICS])
    columns = {name: mean[:, i] for i, name in enumerate((*METRICS, *TIMES))}
    columns |= {f"{metric}_std": std[:, i] for i, metric in enumerate(METRICS)}
    columns |= _of_domains(rows)
    if len(rows.owner):
        low, high = accuracy_intervals(rows.values[:, :, 0], mean[:, -2], mean[:, -1])
        columns |= {"accuracy_ci_low": low, "accuracy_ci_high": high}
    return columns


def _of_domains(rows: CompleteRows) -> dict[str, NDArray[np.float64]]:
    """Columns of accuracies over domains, each (rows,); NaN where none were held out."""
    values = rows.values[:, :, [VALUES.index(metric) for metric in DOMAIN_METRICS]]
    mean, std = mean_of_folds(values)[:, 0], _std(values)[:, 0]
    return dict(zip(DOMAIN_COLUMNS, (mean, std, values[:, :, 1].min(axis=1, initial=np.inf)), strict=True))


def _p_vs_best(rows: CompleteRows, order: NDArray[np.int64], done: int, metric: str) -> NDArray[np.float64]:
    """p of each row against the first of `order`, (rows,); NaN for itself and for rows not done."""
    p = np.full(len(rows.owner), np.nan)
    if done > 1:
        others, best = order[1:done], order[0]
        values = rows.values[:, :, VALUES.index(metric)]
        size = mean_of_folds(rows.values[:, :, -2:])
        p[others] = p_values(values[others], values[best], size[others, 0], size[others, 1])
    return p


def build_leaderboard(
    results: Results, *, metric: str = "accuracy", folds: int | None = None
) -> pd.DataFrame:
    """Rank the pipelines of a sweep.

    Parameters
    ----------
    results : Results
        What the journal says.
    metric : str
        One of :data:`~sweeper.evaluate.metrics.RANKED_BY`: decides the rank and what ``p_vs_best`` compares.
    folds : int, optional
        Folds of the sweep; by default as many as the records name.

    Returns
    -------
    pandas.DataFrame
        :data:`COLUMNS`, a row for each pipeline with all folds at some budget, or with a failure.
        ``done`` rows (full budget) by metric, equal ones by trial; then ``stopped`` rows by budget and
        metric; then ``failed`` ones, with their error and no scores. Scores are means over the folds
        where they are defined, ``_std`` their standard deviation (none with one fold). ``reducer``
        carries its parameters as ``pca[components=5]``; settings of the intensity that differ between
        the pipelines stand in ``featurizer_params`` under ``intensity``. Featurizers side by side are
        written ``glcm+lbp``, with the parameters of each by its name, and the training sets of networks
        among them in their order. An ensemble, which is no trial
        (−1), has its members and their weights in ``classifier_params``. ``log_loss``, ``brier`` and ``ece``
        are those of calibrated probabilities, where `results` has them. ``p_vs_best`` is given for
        ``done`` rows but the first; chosen as the best, the first is a little lucky.

    Raises
    ------
    InputError
        Unknown metric.
    """
    import pandas as pd

    if metric not in RANKED_BY:
        raise InputError(f"metric must be one of {', '.join(RANKED_BY)}, got {metric!r}")
    rows = results.complete_rows(folds)
    trial_of = results.owners
    columns: dict[str, Any] = dict(_scores(rows))
    trial = np.array([trial_of[o] for o in rows.owner.tolist()], dtype=np.int64)
    status = np.where(rows.budget >= 1.0, _DONE, _STOPPED)
    # Equal up to the order in which folds were added is equal.
    value = np.nan_to_num(columns[metric].round(12), nan=-np.inf)
    late = np.where(trial < 0, np.iinfo(np.int64).max, trial)  # an ensemble is no trial
    order = np.lexsort((late, -value, -rows.budget, status))
    columns["p_vs_best"] = _p_vs_best(rows, order, int((status == _DONE).sum()), metric)
    ranked = pd.DataFrame({"owner": rows.owner, "budget": rows.budget, "status": status, **columns})
    ranked = ranked.iloc[order]
    ranked["folds"] = rows.values.shape[1]
    failed = sorted(results.failed.keys() & trial_of.keys(), key=trial_of.__getitem__)
    lost = pd.DataFrame(
        {
            "owner": np.array(failed, dtype=np.int64),
            "budget": np.array([results.failed[o].budget for o in failed], dtype=np.float64),
            "status": _FAILED,
            "folds": 0,
        }
    )
    board = pd.concat([ranked, lost], ignore_index=True) if len(ranked) else lost
    return _described(board, results)


def _described(board: pd.DataFrame, results: Results) -> pd.DataFrame:
    """Add what pipelines are, test scores and errors to ranked rows; columns in order."""
    owners, trial_of = board["owner"].tolist(), results.owners
    described = _descriptions(results)
    columns = [list(column) for column in zip(*(described[o] for o in owners), strict=True)]
    tests = [results.tested(o) for o in owners]
    errors = [
        results.failed[o].error if o in results.failed else error
        for o, (_, error) in zip(owners, tests, strict=True)
    ]
    board = board.assign(
        rank=np.arange(1, len(board) + 1),
        trial=np.array([trial_of[o] for o in owners], dtype=np.int64),
        **dict(zip(_DESCRIPTION, columns or [[] for _ in _DESCRIPTION], strict=True)),
        test_accuracy=np.array([accuracy for accuracy, _ in tests], dtype=np.float64),
        status=_STATUS[board["status"].to_numpy(dtype=np.int64)],
        error=errors,
        **_qualities([results.probabilities.get(trial_of[o]) for o in owners]),
    )
    return board.reindex(columns=list(_columns(board)))


def _qualities(found: Sequence[Probabilities | None]) -> dict[str, NDArray[np.float64]]:
    """Return columns on calibrated probabilities, each (rows,); NaN where they were not worked out."""
    return {
        name: np.array([np.nan if p is None else getattr(p.after, name) for p in found], dtype=np.float64)
        for name in QUALITIES
    }


def _columns(board: pd.DataFrame) -> tuple[str, ...]:
    """Return the columns of a leaderboard, those of domains among them where there are any."""
    if WORST_DOMAIN not in board or not board[WORST_DOMAIN].notna().any():
        return COLUMNS
    behind = COLUMNS.index("accuracy_ci_high") + 1
    return (*COLUMNS[:behind], *DOMAIN_COLUMNS, *COLUMNS[behind:])


def _descriptions(results: Results) -> dict[int, tuple[str, ...]]:
    """The columns of :data:`_DESCRIPTION` for the number of each pipeline."""
    pipelines = {owner: msgspec.json.decode(results.text(owner)) for owner in results.owners}
    varying = _varying(pipelines.values())
    known: dict[bytes, str] = {}  # the same few parameters come again and again
    described: dict[int, tuple[str, ...]] = {}
    for owner, pipeline in pipelines.items():
        params = pipeline["featurizer_params"]
        each = params_of_each(pipeline["featurizer"], params).values()
        training_set = "+".join(one.pop("training_set") for one in each if "training_set" in one)
        if varying and pipeline["featurizer"] != ENSEMBLE:
            params["intensity"] = {k: pipeline["intensity"].get(k) for k in varying}
        described[owner] = (
            pipeline["featurizer"],
            _text(params, known),
            training_set,
            _reducer(pipeline),
            pipeline["classifier"],
            _text(pipeline["classifier_params"], known),
        )
    return described


def _varying(pipelines: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Names of the settings of intensities that are not the same in all."""
    texts = {msgspec.json.encode(pipeline["intensity"]) for pipeline in pipelines}
    intensities = [msgspec.json.decode(text) for text in texts]
    names = {name for intensity in intensities for name in intensity}
    return tuple(sorted(n for n in names if any(i.get(n) != intensities[0].get(n) for i in intensities)))


def _text(params: dict[str, Any], known: dict[bytes, str]) -> str:
    """Canonical JSON, looked up by JSON that is made many times faster."""
    key = msgspec.json.encode(params)
    if key not in known:
        known[key] = canonical_json(params)
    return known[key]


def _reducer(pipeline: Mapping[str, Any]) -> str:
    params = pipeline["reducer_params"]
    text = ",".join(f"{name}={value_text(params[name])}" for name in sorted(params))
    return f"{pipeline['reducer']}[{text}]" if text else str(pipeline["reducer"])


# --------------------------------------------------------------------------- views


def select(
    board: pd.DataFrame,
    *,
    top: int | None = None,
    best_per: str | None = None,
    pareto: bool = False,
    metric: str = "accuracy",
) -> pd.DataFrame:
    """Some rows of a leaderboard, in its order and with its ranks.

    Parameters
    ----------
    board : pandas.DataFrame
        From :func:`build_leaderboard`.
    top : int, optional
        The first so many of what the other choices leave; 1 or more.
    best_per : {"featurizer", "classifier", "representation"}, optional
        The best row of each that did not fail.
    pareto : bool
        ``done`` rows for which no other is at least as good in `metric` and in latency (featurizing
        and predicting a frame) and better in one of them.
    metric : str

    Raises
    ------
    ValueError
        Unknown `best_per` or metric, `top` below 1.
    """
    if top is not None and top < 1:
        raise InputError(f"top must be 1 or more, got {top}")
    if best_per is not None and best_per not in BEST_PER:
        raise InputError(f"best_per must be one of {', '.join(BEST_PER)}, got {best_per!r}")
    if metric not in RANKED_BY:
        raise InputError(f"metric must be one of {', '.join(RANKED_BY)}, got {metric!r}")
    if best_per is not None:
        board = board[board["status"] != "failed"].drop_duplicates(list(BEST_PER[best_per]))
    if pareto:
        board = board[board["status"] == "done"]
        latency = (board["featurize_ms_per_frame"] + board["predict_ms_per_frame"]).to_numpy(dtype=np.float64)
        board = board[_undominated(board[metric].to_numpy(dtype=np.float64), latency)]
    return board if top is None else board.head(top)


def _undominated(value: NDArray[np.float64], latency: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether no other row is as good in both (larger value, smaller latency) and better in one, (n,)."""
    value = np.nan_to_num(value, nan=-np.inf)
    order = np.lexsort((-value, latency))
    ordered, when = value[order], latency[order]
    before = np.concatenate([[-np.inf], np.maximum.accumulate(ordered)[:-1]])[: len(order)]
    # Rows that tie in both with a kept one are kept as well.
    same = np.zeros(len(order), dtype=np.bool_)
    kept = ordered > before
    for i in range(1, len(order)):
        same[i] = (kept[i - 1] or same[i - 1]) and ordered[i] == ordered[i - 1] and when[i] == when[i - 1]
    result = np.zeros(len(order), dtype=np.bool_)
    result[order] = kept | same
    return result


def why_all_failed(board: pd.DataFrame) -> str:
    """Return why every pipeline of a leaderboard failed, the commonest reason of several; else nothing."""
    if board.empty or (board["status"] != "failed").any():
        return ""
    reasons = board["error"].value_counts(sort=True)
    others = len(board) - int(reasons.iloc[0])
    n = "the only pipeline" if len(board) == 1 else f"all {len(board)} pipelines"
    besides = f" (and {others} of them for other reasons)" if others else ""
    return f"{n} failed: {reasons.index[0]}{besides}"


def write_csv(board: pd.DataFrame, path: Path) -> None:
    """Write a leaderboard as CSV; a reader sees the old file or the new one, never a part.

    Raises
    ------
    OSError
        The file cannot be written; the message names it, and nothing is left behind.
    """
    with atomically(path) as partial:
        board.to_csv(partial, index=False)


def write_leaderboard(results: Results, path: Path, *, metric: str, folds: int | None) -> pd.DataFrame:
    """Rank the pipelines of a sweep and write them as CSV; returns the leaderboard.

    Raises
    ------
    StoppedError
        The file cannot be written.
    """
    board = build_leaderboard(results, metric=metric, folds=folds)
    try:
        write_csv(board, path)
    except OSError as error:
        raise StoppedError(f"{error.strerror or error}; nothing recorded is lost") from None
    return board
