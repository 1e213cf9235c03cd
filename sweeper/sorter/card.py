"""The card of a model: what it was made from, how good it is, what it promises and where it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sweeper.atomic import write_text
from sweeper.errors import InputError
from sweeper.pipeline import Pipeline, value_text
from sweeper.sorter.outline import Outline

_LIMITS = (
    "It knows frames like those that it was trained on: the same instrument, detector, settings and sample "
    "environment. The promised error rate holds for these, on average over the calibration frames that "
    "might have been drawn; it says nothing about frames of another kind, some of which pass unnoticed, as "
    "the table of strangers shows.",
    "Probabilities and thresholds come from the cross-validation of the sweep, whose best pipeline was "
    "chosen by the same frames: expect the new frames of a later beamtime to be somewhat harder.",
)


def card_text(model: Outline) -> str:
    """Return the card as lines of text.

    Raises
    ------
    InputError
        The card in the file is damaged.
    """
    return _guarded(model, lambda: "\n".join(_lines(model)))


def write_card(model: Outline, path: Path) -> None:
    """Write the card as one HTML page; errors as :func:`card_text`, and OSError."""
    write_text(path, _guarded(model, lambda: _page(model)))


def _guarded(model: Outline, make: Callable[[], str]) -> str:
    """Return what is made of the card; InputError where that does not hold what it must."""
    try:
        return make()
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InputError(f"the card of model {model.id} is damaged: {error}") from None


def _percent(share: Any, digits: int = 3) -> str:
    return "none" if share is None else f"{100 * share:.{digits}g} %"


# --------------------------------------------------------------------------- text


def _lines(model: Outline) -> Iterator[str]:
    card = model.card
    yield f"model {model.id}: {model.name}, made {card['made']} with Sweeper {card['versions']['sweeper']}"
    for trial, weight, pipeline in zip(card["trials"], card["weights"], card["pipelines"], strict=True):
        share = f", weight {weight:.3g}" if len(card["trials"]) > 1 else ""
        yield f"  trial {trial}: {_pipeline_text(Pipeline.from_dict(pipeline))}{share}"
    yield f"from: {card['run']}, rank {card['rank']}; data {card['data']} ({card['dataset_digest']})"
    classes = ", ".join(f"{name} {count}" for name, count in card["classes"].items())
    grouped = "" if card["groups"] is None else f" in {card['groups']} {model.calibration.units}"
    yield f"trained on {card['frames']} frames{grouped}: {classes}"
    if helping := card.get("helping", 0):
        own = card["frames"] - helping
        yield f"{helping} of them only help: scores, calibration and promises are of the other {own} alone"
    yield ""
    yield from _score_lines(card)
    yield ""
    yield from _confusion_lines(model)
    yield ""
    yield "error rate  accepted  of these wrong"
    for row in card["promises"]:
        rate, accepted, wrong = (_percent(row[name]) for name in ("error_rate", "accepted", "wrong"))
        yield f"{rate:>10}  {accepted:>8}  {wrong:>14}"
    if decision := model.thresholds.decision:
        yield f"costs: {decision}"
    promised = model.thresholds.notes
    yield "promised: " + ("; ".join(promised) if promised else "nothing, unless sweeper sort is asked to")
    if card["domains"]:
        yield ""
        yield from _domain_lines(model)
    yield ""
    alarms = card["false_alarms"]
    yield f"frames like the training frames that are taken for strangers: {_percent(alarms)}"
    yield f"{'strangers':<34}  told apart  accepted"
    for name, row in card["strangers"].items():
        yield f"{name:<34}  {_percent(row['told_apart']):>10}  {_percent(row['accepted']):>8}"
    yield ""
    speed = card["speed"]
    total = sum(speed.values())
    yield (
        f"speed on one core where it was made: {total:.3g} ms a frame (read {speed['read_ms']:.3g}, features "
        f"{speed['features_ms']:.3g}, classify {speed['classify_ms']:.3g})"
    )
    for network in card.get("networks", {}).values():
        off = f", within {network['difference']:.1g} of PyTorch" if network["difference"] else ""
        yield f"network {network['network']}: read by {network['library']}{off}"
    versions = ", ".join(f"{name} {number}" for name, number in card["versions"].items())
    yield f"versions: {versions}"
    yield from (f"note: {text}" for text in _LIMITS)


def _domain_lines(model: Outline) -> Iterator[str]:
    domains = model.card["domains"]
    if model.calibration.of_domains:
        yield (
            "its folds held out whole domains, and each domain counts the same: what is promised is of "
            "domains that it has never seen"
        )
    else:
        yield (
            "what is promised is of frames of these domains, mixed as they are here, and not of another "
            "domain: a sweep with --hold-out domain promises that"
        )
    width = max(len("domain"), *map(len, domains))
    yield f"{'domain':<{width}}  frames  accepted  of these wrong"
    for name, row in domains.items():
        accepted, wrong = (_percent(row[key]) for key in ("accepted", "wrong"))
        yield f"{name:<{width}}  {row['frames']:>6}  {accepted:>8}  {wrong:>14}"


def _pipeline_text(pipeline: Pipeline) -> str:
    def params(values: Mapping[str, Any]) -> str:
        return "".join(f" {name}={value_text(value)}" for name, value in sorted(values.items()))

    features = " + ".join(f"{choice.name}{params(choice.params)}" for choice in pipeline.features)
    return (
        f"{features}; {pipeline.reducer}"
        f"{params(pipeline.reducer_params)}; {pipeline.classifier}{params(pipeline.classifier_params)}"
    )


def _score_lines(card: Mapping[str, Any]) -> Iterator[str]:
    scores, metric = card["scores"], card["metric"]
    low, high = scores["interval"]
    between = "" if low is None or high is None else f" (95 % interval {low:.3f} to {high:.3f})"
    yield f"cross-validated {metric} {scores[metric]['mean']:.4f}{between}, before calibration"
    calibration = card["calibration"]
    tried = ", ".join(f"{name} {loss:.4f}" for name, loss in calibration["losses"].items())
    yield f"calibration: {calibration['method']}, on {calibration['frames']} frames (log loss: {tried})"
    for when in ("before", "after"):
        row = calibration[when]
        yield f"  {when:<6}  log loss {row['log_loss']:.4f}  Brier {row['brier']:.4f}  ECE {row['ece']:.4f}"
    if (test := card["test"]) is not None:
        yield (
            f"test split, {test['frames']} frames: accuracy {test['accuracy']:.4f}; "
            f"{_percent(test['accepted'])} accepted, of these {_percent(test['wrong'])} wrong; "
            f"{_percent(test['strangers'])} taken for strangers"
        )


def _confusion_lines(model: Outline) -> Iterator[str]:
    corner = "true \\ predicted"
    width = max(len(corner), *map(len, model.classes))
    columns = [max(6, len(name)) for name in model.classes]
    names = "  ".join(f"{name:>{w}}" for name, w in zip(model.classes, columns, strict=True))
    yield f"{corner:<{width}}  {names}"
    for name, row in zip(model.classes, model.card["confusion"], strict=True):
        counts = "  ".join(f"{count:>{w}}" for count, w in zip(row, columns, strict=True))
        yield f"{name:<{width}}  {counts}"


# --------------------------------------------------------------------------- page


def _page(model: Outline) -> str:
    import numpy as np

    from sweeper.report import content as c
    from sweeper.report.content import Code, Row, Section, Text
    from sweeper.report.drawings import reliability
    from sweeper.report.matrices import as_table
    from sweeper.report.page import render

    card = model.card
    calibration = card["calibration"]
    charts = [
        c.Chart(
            "reliability",
            reliability(calibration["before"]["bins"], calibration["after"]["bins"]),
            "Accuracy of frames by their confidence.",
        ),
        c.Chart("coverage", _risk(card), "Errors among the most confident frames, by their share."),
    ]
    strangers = _table(
        ("strangers", "told apart", "accepted"),
        [
            (name, _percent(row["told_apart"]), _percent(row["accepted"]))
            for name, row in card["strangers"].items()
        ],
        f"False alarms on frames like the training frames: {_percent(card['false_alarms'])}.",
    )
    promises = _table(
        ("error rate", "accepted", "of these wrong"),
        [tuple(_percent(row[k]) for k in ("error_rate", "accepted", "wrong")) for row in card["promises"]],
        "So many are accepted that at most a promised share of all frames has a wrong class.",
    )
    counts = np.array(card["confusion"], dtype=np.int64)
    speed = f"{sum(card['speed'].values()):.3g}"
    return render(
        f"Model {model.id}: {model.name}",
        [
            (f"{card['scores'][card['metric']]['mean']:.4f}", f"cross-validated {card['metric']}"),
            (f"{card['frames']:,}", "training frames"),
            (f"{calibration['after']['ece']:.4f}", "calibration error (ECE)"),
            (speed, "ms a frame on one core"),
        ],
        [
            Section("card", "The card", [Code(card_text(model))]),
            Section("confusion", "What is taken for what", [as_table(counts, model.classes, "")]),
            Section("trust", "How far to trust it", [Row(charts), promises]),
            Section("strangers", "Frames of another kind", [strangers]),
            Section("limits", "Limits", [Text(text) for text in _LIMITS]),
        ],
    )


def _table(names: tuple[str, ...], rows: list[tuple[str, ...]], caption: str) -> Any:
    from sweeper.report.content import Cell, Column, Table

    columns = [Column(name, numeric=i > 0) for i, name in enumerate(names)]
    return Table(columns, [[Cell(text) for text in row] for row in rows], caption)


def _risk(card: Mapping[str, Any]) -> Callable[[Any], None]:
    def draw(figure: Any) -> None:
        axes = figure.subplots()
        axes.plot(*zip(*card["coverage"], strict=True), "o-", color="#0072b2")
        axes.set(xlabel="share of frames accepted", ylabel="share of these wrong", xlim=(0, 1.02))
        axes.set_ylim(bottom=0)

    return draw
