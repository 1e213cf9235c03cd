"""A run as one HTML page that people look at, and its figures as files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from sweeper.errors import InputError
from sweeper.report import content as c
from sweeper.report import page, style
from sweeper.report.content import Section
from sweeper.report.labels import Labels
from sweeper.report.reading import read_run
from sweeper.report.run import Run
from sweeper.runs.contents import ENSEMBLE, FRAMES, PREDICTIONS, REPORT, SESSIONS
from sweeper.runs.folder import RunFolder
from sweeper.runs.place import Place, reading, shown

NEEDED = (FRAMES, PREDICTIONS, SESSIONS, ENSEMBLE)
"""Files of a run at a URL that are read beside its spec, environment and journal."""


def report_of(run: Place, html: Path | None = None, figures: Path | None = None) -> tuple[Path, list[Path]]:
    """Write the report of the run at a place, see :func:`write_report`; by default into its folder.

    Raises
    ------
    InputError
        As :func:`write_report`, and where the run is at a URL and no file is named.
    """
    if isinstance(run, Path):
        return write_report(run, str(run.resolve()), html or run / REPORT, figures)
    if html is None:
        raise InputError(f"--html must name a file for the report: the run is at a URL, {shown(run)}")
    with reading(run, NEEDED) as folder:
        return write_report(folder, shown(run), html, figures)


def write_report(
    folder: Path, place: str, html: Path, figures: Path | None = None
) -> tuple[Path, list[Path]]:
    """Write the report of a run.

    Parameters
    ----------
    folder : Path
        The run folder, or a copy of what is needed of it.
    place : str
        Where the run is, for people.
    html : Path
        The file to write.
    figures : Path, optional
        Folder for the figures as PNG and PDF.

    Returns
    -------
    html : Path
    figures : list of Path

    Raises
    ------
    ValueError
        No sweep is there, or a file cannot be written.
    """
    from sweeper.atomic import write_text

    run = read_run(RunFolder(folder), place)
    found = sections(run)
    text = page.render(run.name, headline(run), found)
    files: list[Path] = []
    _writable("--html", html, lambda: write_text(html, text))
    if figures is not None:
        for chart in page.charts(found):
            _writable("--figures", figures, lambda chart=chart: files.extend(style.save(chart, figures)))  # type: ignore[misc]
    return html, files


def _writable(option: str, path: Path, write: Callable[[], object]) -> None:
    try:
        write()
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise InputError(f"{option} {path}: cannot be written ({why})") from None


def sections(run: Run) -> list[Section]:
    """All sections that the run has data for, in the order of the page."""
    from sweeper.report import curves, frames, matrices, overview, ranking, search
    from sweeper.report.advice import advice
    from sweeper.report.domains import domains
    from sweeper.report.growth import growth
    from sweeper.report.probabilities import probabilities
    from sweeper.report.studies import camsortxs, diffranet
    from sweeper.report.studies.published import STUDIES
    from sweeper.report.target import target

    labels = Labels(run.board)
    study = {"camsortxs": camsortxs.study, "diffranet": diffranet.study}.get(STUDIES.get(run.space_name, ""))
    found = [
        overview.searched(run),
        ranking.leaderboard(run, labels),
        *([study(run, labels)] if study else []),
        domains(run, labels),
        ranking.comparison(run, labels),
        matrices.confusion(run, labels),
        probabilities(run, labels),
        frames.worst(run, labels),
        curves.learning_curves(run),
        search.search(run, labels),
        target(run),
        growth(run),
        advice(run),
        overview.cost(run),
        overview.provenance(run),
    ]
    return [section for section in found if section.blocks]


def headline(run: Run) -> list[tuple[str, str]]:
    """The few numbers that come first."""
    from sweeper.evaluate.metrics import TITLES
    from sweeper.report.significance import interval

    told: list[tuple[str, str]] = []
    best = next(iter(run.done.itertuples()), None)
    if best is not None:
        labels = Labels(run.board)
        value = getattr(best, run.metric)
        found = interval(run, best)
        name = TITLES[run.metric]
        about = f"{name} of the best pipeline, {labels.short(best)}"
        about += f" (95 % interval {c.between(*found)})" if found else ""
        told.append((c.number(value, 4), about))
        if run.spec.hold_out is not None and c.is_number(best.accuracy_mean_domain):
            worst = c.number(best.accuracy_worst_domain, 3)
            about = f"its accuracy to expect of a domain that was never seen; {worst} in the worst held out"
            told.append((c.number(best.accuracy_mean_domain, 4), about))
        if c.is_number(best.test_accuracy):
            told.append((c.number(best.test_accuracy, 4), "its accuracy on the test split"))
    told.append((f"{len(run.tried):,}", "pipelines tried" if len(run.tried) != 1 else "pipeline tried"))
    if run.n_frames:
        told.append((f"{run.n_frames:,}", f"frames of {len(run.classes)} classes"))
    return told
