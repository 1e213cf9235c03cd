"""Charts of a report, each a function that draws into an empty figure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.report.content import Draw, shortened
from sweeper.report.style import COLOURS, GROUND, INK, MUTED, PAPER, RULE

_LONGEST = 34
"""Characters of a label beside an axis."""
_MOST_WRITTEN = 20
"""Classes of a confusion matrix whose counts are written."""
_LEGEND_WIDTH = 58
"""Characters of a line of a legend."""
_MOST_VECTORS = 1500
"""Points that are drawn one by one; more of them become a picture in the chart: the page stays small."""
_LOG_SPAN = 5.0
"""Times whose largest is this many times the smallest stand on a logarithmic axis."""


@dataclass(frozen=True)
class Interval:
    """A line of :func:`intervals`: a value, its interval where it has one, and a paper's value."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    test: float | None = None
    paper: float | None = None


def intervals(items: Sequence[Interval], axis: str) -> Draw:
    """Values with intervals, one a line, best on top."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        y = np.arange(len(items))[::-1]
        for position, item in zip(y, items, strict=True):
            if item.low is not None and item.high is not None:
                axes.plot([item.low, item.high], [position] * 2, color=COLOURS[0], linewidth=2, alpha=0.55)
        axes.plot([i.value for i in items], y, "o", color=COLOURS[0], markersize=6, label="this run")
        marks = (("test", "test split", "D", COLOURS[1]), ("paper", "the paper, on its frames", "|", PAPER))
        for name, label, marker, colour in marks:
            shown = [(getattr(i, name), at) for i, at in zip(items, y, strict=True) if getattr(i, name)]
            if shown:
                size, wide = (13, 2.4) if marker == "|" else (5, 1)
                x, at = zip(*shown, strict=True)
                axes.plot(x, at, marker, color=colour, markersize=size, markeredgewidth=wide, label=label)
        axes.set_yticks(y, [shortened(item.label, _LONGEST) for item in items])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_ylim(-0.6, len(items) - 0.4)
        axes.grid(axis="x")
        axes.set_xlabel(axis)
        if len(axes.get_legend_handles_labels()[0]) > 1:
            figure.legend(loc="outside lower center", ncols=3)

    return draw


@dataclass(frozen=True)
class Boxes:
    """A panel of :func:`boxes`: a title, and values by label."""

    title: str
    values: dict[str, list[float]]


def boxes(panels: Sequence[Boxes], axis: str) -> Draw:
    """Box plots beside each other over one axis, every value shown as a point."""

    def draw(figure: Any) -> None:
        heights = [max(1, len(panel.values)) for panel in panels]
        column = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        for number, (axes, panel) in enumerate(zip(column, panels, strict=True)):
            labels = list(panel.values)
            at = np.arange(len(labels))[::-1]
            colour = COLOURS[number % len(COLOURS)]
            axes.boxplot(
                [panel.values[label] for label in labels],
                positions=at, orientation="horizontal", widths=0.55, showfliers=False, patch_artist=True,
                boxprops={"facecolor": colour, "edgecolor": colour, "alpha": 0.3},
                medianprops={"color": colour, "linewidth": 2},
                whiskerprops={"color": colour}, capprops={"color": colour},
            )  # fmt: skip
            for position, label in zip(at, labels, strict=True):
                found = panel.values[label]
                axes.plot(found, [position] * len(found), "o", color=colour, markersize=3.5, alpha=0.9)
            axes.set_yticks(at, labels)
            axes.tick_params(axis="y", length=0)
            axes.set_ylim(-0.6, len(labels) - 0.4)
            axes.set_title(panel.title)
            axes.grid(axis="x")
        column[-1].set_xlabel(axis)

    return draw


def confusion(counts: NDArray[np.int64], classes: Sequence[str]) -> Draw:
    """Confusion matrix: ground by the share of the true class, counts written in it."""

    def draw(figure: Any) -> None:
        from matplotlib.colors import to_rgba

        axes = figure.subplots()
        n = len(classes)
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        for i in range(n):
            for j in range(n):
                right = i == j
                strength = share[i, j] ** 0.6
                colour = to_rgba(COLOURS[0] if right else COLOURS[1], 0.85 * strength if share[i, j] else 0)
                axes.fill([j - 0.5, j + 0.5, j + 0.5, j - 0.5], [i - 0.5] * 2 + [i + 0.5] * 2, color=colour,
                          linewidth=0)  # fmt: skip
                if counts[i, j] and n <= _MOST_WRITTEN:
                    ink = GROUND if strength > 0.6 else INK
                    axes.text(
                        j,
                        i,
                        f"{counts[i, j]:,}",
                        ha="center",
                        va="center",
                        color=ink,
                        fontsize=min(9, 100 / n),
                    )
        short = [shortened(name, 14) for name in classes]
        turned = 90 if n > 10 else 30 if max(map(len, short), default=0) > 6 else 0
        axes.set_xticks(range(n), short, rotation=turned, fontsize=min(9.5, 220 / n))
        axes.set_yticks(range(n), short, fontsize=min(9.5, 220 / n))
        axes.set_xticks(np.arange(n + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(n + 1) - 0.5, minor=True)
        axes.grid(which="minor", color=RULE)
        axes.tick_params(which="both", length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlim(-0.5, n - 0.5)
        axes.set_ylim(n - 0.5, -0.5)
        axes.set_aspect("equal")
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")

    return draw


@dataclass(frozen=True)
class Series:
    """A line over epochs: mean, and a band where several fits make one."""

    label: str
    epoch: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None
    dashed: bool = False
    colour: int = 0
    points: bool = False


@dataclass(frozen=True)
class Panel:
    """One pair of axes of :func:`lines`."""

    axis: str
    series: Sequence[Series]
    log: bool = False


def _wrapped(label: str) -> list[str]:
    return textwrap.wrap(label, _LEGEND_WIDTH, break_on_hyphens=False)


def legend_height(series: Sequence[Series]) -> float:
    """Inches that the legend of :func:`lines` takes."""
    return 0.1 + 0.17 * sum(len(_wrapped(label)) for label in {one.label for one in series})


def lines(panels: Sequence[Panel], x: str = "epoch") -> Draw:
    """Curves over epochs, panel above panel."""

    def draw(figure: Any) -> None:
        from matplotlib.ticker import MaxNLocator

        column = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        named: dict[str, Any] = {}
        for axes, panel in zip(column, panels, strict=True):
            for one in panel.series:
                colour = COLOURS[one.colour % len(COLOURS)]
                marked = one.points or len(one.epoch) <= 15
                style = "none" if one.points else "--" if one.dashed else "-"
                (line,) = axes.plot(
                    one.epoch, one.mean, linestyle=style, color=colour, linewidth=1.4,
                    marker=("D" if one.points else "o") if marked else "", markersize=5 if one.points else 3,
                )  # fmt: skip
                if one.low is not None and one.high is not None:
                    if one.points:
                        axes.vlines(one.epoch, one.low, one.high, color=colour, linewidth=1.6, alpha=0.6)
                    else:
                        axes.fill_between(one.epoch, one.low, one.high, color=colour, alpha=0.16, linewidth=0)
                named.setdefault(one.label, line)
            if panel.log:
                _logarithmic(axes.yaxis, axes.set_yscale)
            axes.set_ylabel(panel.axis)
            axes.grid(axis="y")
        column[-1].set_xlabel(x)
        column[-1].xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        if named:
            labels = ["\n".join(_wrapped(label)) for label in named]
            figure.legend(named.values(), labels, loc="outside lower left", ncols=1)

    return draw


def against(
    x: NDArray[np.float64], y: NDArray[np.float64], of: Sequence[str], front: NDArray[np.bool_], x_axis: str,
    y_axis: str,
) -> Draw:  # fmt: skip
    """Points by kind; those that nothing beats in both are joined."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        kinds = list(dict.fromkeys(of))
        for number, kind in enumerate(kinds):
            chosen = np.array([k == kind for k in of])
            colour = COLOURS[number % len(COLOURS)]
            axes.plot(
                x[chosen], y[chosen], "o^sDvP*X"[(number + number // 8) % 8], color=colour,
                markersize=4.5, alpha=0.75, markeredgewidth=0, label=kind, rasterized=len(x) > _MOST_VECTORS,
            )  # fmt: skip
        order = np.argsort(x[front])
        axes.step(x[front][order], y[front][order], where="post", color=MUTED, linewidth=1, linestyle="--",
                  label="best trade-offs")  # fmt: skip
        if len(x) and x.min() > 0 and x.max() > _LOG_SPAN * x.min():
            _logarithmic(axes.xaxis, axes.set_xscale)
        axes.set_xlabel(x_axis)
        axes.set_ylabel(y_axis)
        axes.grid()
        figure.legend(loc="outside lower center", ncols=3 if max(map(len, kinds)) < 10 else 2)

    return draw


Bins = Sequence[tuple[float, float, int]]
"""Mean confidence, accuracy and number of frames of each bin of a reliability diagram."""


def reliability(before: Bins, after: Bins) -> Draw:
    """Accuracy of frames by their confidence before and after calibration: on the diagonal at best."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=RULE)
        # Rings around dots: where calibration changes nothing both are seen.
        looks = ((before, COLOURS[1], "before calibration", 60), (after, COLOURS[0], "after", 0))
        for bins, colour, label, wider in looks:
            most = max(count for _, _, count in bins)
            confidence, accuracy, counts = zip(*bins, strict=True)
            axes.plot(confidence, accuracy, color=colour, linewidth=1)
            axes.scatter(
                confidence,
                accuracy,
                [12 + wider + 60 * n / most for n in counts],
                facecolors="none" if wider else colour,
                edgecolors=colour,
                label=label,
            )
        axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1.05), ylim=(-0.02, 1.05))
        axes.grid()
        figure.legend(loc="outside lower center", ncols=2)

    return draw


def _logarithmic(axis: Any, set_scale: Any) -> None:
    """A logarithmic axis with numbers that people read: 0.5, 1, 2."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    set_scale("log")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def history(
    trial: NDArray[np.float64], score: NDArray[np.float64], done: NDArray[np.bool_], axis: str
) -> Draw:
    """Score of each trial in the order they were proposed, and the best so far."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        marks = {
            "linestyle": "",
            "marker": "o",
            "markeredgewidth": 0,
            "rasterized": len(trial) > _MOST_VECTORS,
        }
        if not done.all():
            axes.plot(
                trial[~done],
                score[~done],
                color=COLOURS[7],
                markersize=3.5,
                alpha=0.6,
                label="stopped early",
                **marks,
            )
        axes.plot(
            trial[done],
            score[done],
            color=COLOURS[0],
            markersize=4.5,
            alpha=0.85,
            label="full budget",
            **marks,
        )
        order = np.argsort(trial[done])
        if len(order):
            best = np.maximum.accumulate(score[done][order])
            axes.step(trial[done][order], best, where="post", color=COLOURS[1], linewidth=1.6,
                      label="best so far")  # fmt: skip
        axes.set_xlabel("trial")
        axes.set_ylabel(axis)
        axes.grid()
        figure.legend(loc="outside lower center", ncols=3)

    return draw
