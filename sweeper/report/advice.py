"""The section on the next run: whether the time was enough, and what was never worth it."""

from __future__ import annotations

from typing import Any

from sweeper.evaluate.gain import CONFIDENCE
from sweeper.evaluate.metrics import TITLES
from sweeper.report import content as c
from sweeper.report.content import Block, Cell, Chart, Column, Section, Table, Text
from sweeper.report.run import Run
from sweeper.report.style import COLOURS, MUTED
from sweeper.runs import advice as told
from sweeper.runs.advice import Advice, Part, advise

_TITLE = "Was it enough?"
_ABOUT = (
    "Judged by the {seen} pipelines that last reached the full budget. Should the search go on proposing "
    "such pipelines, and always take the same number of times as many, or more, to halve the error of the "
    "best, then as much time again brings {more} more of them, and a best score that is higher by what the "
    "band shows. A gain below the standard error of the best score cannot be told from luck."
)


def advice(run: Run) -> Section:
    """The best score against time, what more time would add, and the parts that were never worth it."""
    found = advise(run.results, run.spec, run.environment.get("folds"))
    if not found.course:
        return Section("advice", _TITLE)
    sentence = f"Time: {found.about_time}."
    blocks: list[Block] = [Text(sentence, "verdict")]
    if found.metadata_alone:
        blocks.append(Text(f"{told.ABOUT_METADATA[0].upper()}{told.ABOUT_METADATA[1:]}.", "verdict"))
    if found.seconds > 0:
        blocks.append(Chart("any-time", _course(found), _caption(found), (7.0, 3.2)))
    if found.gain is not None:
        blocks.append(Text(_ABOUT.format(seen=found.gain.seen, more=found.gain.more), "note"))
    if found.parts:
        blocks.append(_parts(found))
    return Section("advice", _TITLE, blocks, "Enough?")


def _caption(found: Advice) -> str:
    caption = (
        f"{TITLES[found.metric]} of the best pipeline so far, against the time spent on fits and predictions."
    )
    if found.gain is None:
        return caption
    return (
        f"{caption} Dashed: as much time again, with a band of {CONFIDENCE:.0%}; dotted: one standard error "
        "above the best."
    )


def _course(found: Advice) -> Any:
    def draw(figure: Any) -> None:
        axes = figure.subplots()
        best, end = found.course[-1].score, found.seconds
        seconds = [step.seconds for step in found.course]
        scores = [step.score for step in found.course]
        axes.step([*seconds, end], [*scores, best], where="post", color=COLOURS[0], linewidth=1.8)
        axes.plot(seconds, scores, "o", color=COLOURS[0], markersize=4)
        if (gain := found.gain) is not None:
            later = [end, 2 * end]
            low, high = ([best, best + value] for value in (gain.low, gain.high))
            axes.fill_between(later, low, high, color=COLOURS[0], alpha=0.18, linewidth=0)
            axes.plot(later, [best, best + gain.expected], "--", color=COLOURS[0], linewidth=1.4)
            axes.axvline(end, color=MUTED, linewidth=0.8)
            if found.standard_error is not None:
                axes.axhline(best + found.standard_error, linestyle=":", color=MUTED, linewidth=1.2)
        axes.set_xlabel("seconds of fits and predictions")
        axes.set_ylabel(TITLES[found.metric])
        axes.set_xlim(left=0)
        axes.grid(axis="y")

    return draw


def _parts(found: Advice) -> Table:
    columns = (
        Column("", numeric=False),
        Column("part", numeric=False),
        Column("trials", about="that have a score"),
        Column("full budget", about="trials that reached it"),
        Column(f"best {TITLES[found.metric]}", about="at the full budget, of the pipelines with this part"),
        Column("p", about="of the hypothesis that this is as good as the best pipeline of all, by Holm"),
        Column("", numeric=False),
    )
    note = (
        f"Never worth it: surely worse than the best pipeline (corrected resampled t-test, Holm, below "
        f"{told.ALPHA:g}) in {told.LEAST_TRIED} trials or more, those that the search stopped early "
        "among them. A featurizer counts with everything that stood beside it. Settings that were not tried "
        "may do better."
    )
    return Table(columns, [_row(part) for part in found.parts], "Parts of the space", note, heads=2)


def _row(part: Part) -> list[Cell]:
    return [
        Cell(part.slot),
        Cell(part.name, strong=True),
        Cell(f"{part.tried:,}", part.tried),
        Cell(f"{part.finished:,}", part.finished),
        Cell(c.number(part.best, 4), part.best),
        Cell(c.probability(part.p), part.p),
        Cell(part.verdict, strong=part.verdict == told.NEVER),
    ]
