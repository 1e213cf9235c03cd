"""The metrics of a fold, from its score matrix: seven of its frames, and two of the domains in it.

camSortXS (table 2) gives recall as macro, precision as weighted and F1 as micro average under one
heading; here each name carries its average. Micro-averaged F1 is accuracy again, so F1 is macro.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

TITLES = {
    "accuracy": "accuracy",
    "recall_macro": "recall (macro)",
    "precision_weighted": "precision (weighted)",
    "f1_macro": "F1 (macro)",
    "kappa": "Cohen's κ",
    "mcc": "MCC",
    "auc_ovr": "AUC (one against rest)",
    "accuracy_mean_domain": "accuracy, mean over domains",
    "accuracy_worst_domain": "accuracy of the worst domain",
}
"""Metrics in the order of the leaderboard's columns, as a page writes them."""

WORST_DOMAIN = "accuracy_worst_domain"
DOMAIN_METRICS = ("accuracy_mean_domain", WORST_DOMAIN)
"""Those that sweeps have which hold out whole domains."""

METRICS = tuple(name for name in TITLES if name not in DOMAIN_METRICS)
"""Those that every sweep has; for each, larger is better and 1 is perfect."""

RANKED_BY = (*METRICS, *DOMAIN_METRICS)
"""Metrics that can rank a leaderboard, those of domains only where whole domains are held out."""


def score(
    y_true: NDArray[np.int64],
    scores: NDArray[np.float64],
    n_classes: int,
    domains: NDArray[np.int64] | None = None,
) -> dict[str, float | None]:
    """All metrics of one fold.

    Averages run over the classes that `y_true` holds: a class that the validation rows lack can be
    neither recalled nor missed. (scikit-learn counts such a class as 0 when it was predicted.)

    Parameters
    ----------
    y_true : int64, (n,)
        Classes, 0 to `n_classes` − 1.
    scores : float64, (n, n_classes)
        The largest is the prediction, the first of equal ones.
    n_classes : int
    domains : int64, (n,), optional
        Number of the domain of each row.

    Returns
    -------
    dict
        Value of each of :data:`METRICS`, and with `domains` of each of :data:`DOMAIN_METRICS`. ``kappa``,
        ``mcc`` and ``auc_ovr`` are None where `y_true` holds one class alone and agreement beyond chance
        has no meaning; ``mcc`` is 0 where all predictions are one class. ``auc_ovr`` is the mean over the
        classes in `y_true` of the area under the ROC curve of that class's score against the rest.
    """
    table = _table(y_true, scores.argmax(axis=1), n_classes)
    of_table = {name: _of_table(name, table) for name in METRICS if name != "auc_ovr"}
    of_domains = (
        {} if domains is None else {m: _of_domains(m, y_true, scores, domains) for m in DOMAIN_METRICS}
    )
    return {**of_table, "auc_ovr": _auc_ovr(y_true, scores), **of_domains}


def value(
    metric: str,
    y_true: NDArray[np.int64],
    scores: NDArray[np.float64],
    n_classes: int,
    domains: NDArray[np.int64] | None = None,
) -> float | None:
    """One of the metrics; arguments and result as :func:`score`."""
    if metric in DOMAIN_METRICS:
        assert domains is not None, f"{metric} needs domains"
        return _of_domains(metric, y_true, scores, domains)
    if metric == "auc_ovr":
        return _auc_ovr(y_true, scores)
    return _of_table(metric, _table(y_true, scores.argmax(axis=1), n_classes))


def over_folds(metric: str, values: Sequence[float]) -> float:
    """Return a metric of all folds from its values in each: their mean; the least for the worst domain."""
    return float(min(values)) if metric == WORST_DOMAIN else float(sum(values) / len(values))


def _of_domains(
    metric: str, y_true: NDArray[np.int64], scores: NDArray[np.float64], domains: NDArray[np.int64]
) -> float:
    """Return mean or least accuracy of the domains among the rows, each counting alike."""
    _, which = np.unique(domains, return_inverse=True)
    accuracy = np.bincount(which, scores.argmax(axis=1) == y_true) / np.bincount(which)  # (n_domains,)
    return float(accuracy.min() if metric == WORST_DOMAIN else accuracy.mean())


def _of_table(metric: str, table: NDArray[np.int64]) -> float | None:
    """A metric that the confusion matrix determines."""
    support = table.sum(axis=1)  # (n_classes,)
    predicted = table.sum(axis=0)
    hits = np.diag(table)
    present = support > 0
    recall = hits / np.maximum(support, 1)
    precision = hits / np.maximum(predicted, 1)
    f1 = 2 * hits / np.maximum(support + predicted, 1)
    varied = int(present.sum()) > 1
    of_table: dict[str, Callable[[], float]] = {
        "accuracy": lambda: hits.sum() / support.sum(),
        "recall_macro": lambda: recall[present].mean(),
        "precision_weighted": lambda: (precision * support).sum() / support.sum(),
        "f1_macro": lambda: f1[present].mean(),
        "kappa": lambda: _kappa(table),
        "mcc": lambda: _mcc(table),
    }
    return float(of_table[metric]()) if varied or metric not in ("kappa", "mcc") else None


def confusion(y_true: NDArray[np.int64], y_pred: NDArray[np.int64], n_classes: int) -> list[list[int]]:
    """Frames of each true class (rows) that were predicted as each class (columns)."""
    rows: list[list[int]] = _table(y_true, y_pred, n_classes).tolist()
    return rows


def _table(y_true: NDArray[np.int64], y_pred: NDArray[np.int64], n_classes: int) -> NDArray[np.int64]:
    """Confusion matrix, (n_classes, n_classes)."""
    cells = np.bincount(y_true * n_classes + y_pred, minlength=n_classes**2)
    return cells.reshape(n_classes, n_classes)


def _kappa(table: NDArray[np.int64]) -> float:
    """Cohen, Educ. Psychol. Meas. 20 (1960) 37: agreement beyond what the marginals give by chance."""
    n = table.sum()
    observed = np.trace(table) / n
    chance = float(table.sum(axis=0) @ table.sum(axis=1)) / float(n) ** 2
    return float((observed - chance) / (1 - chance))


def _mcc(table: NDArray[np.int64]) -> float:
    """Gorodkin, Comput. Biol. Chem. 28 (2004) 367, equation 8: correlation of truth and prediction."""
    n = float(table.sum())
    true, predicted = table.sum(axis=1).astype(float), table.sum(axis=0).astype(float)
    spread = (n**2 - predicted @ predicted) * (n**2 - true @ true)
    if spread == 0:
        return 0.0
    return float((np.trace(table) * n - true @ predicted) / np.sqrt(spread))


def _auc_ovr(y_true: NDArray[np.int64], scores: NDArray[np.float64]) -> float | None:
    """Mean over classes of the Mann-Whitney statistic; equal scores count one half."""
    classes = np.unique(y_true)
    if len(classes) < 2:
        return None
    areas = []
    for c in classes:
        positive = y_true == c
        n_positive = int(positive.sum())
        ranks = _mean_ranks(scores[:, c])
        above = ranks[positive].sum() - n_positive * (n_positive + 1) / 2
        areas.append(above / (n_positive * (len(y_true) - n_positive)))
    return float(np.mean(areas))


def _mean_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1, (n,); equal values share their mean rank."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[which], dtype=np.float64)
