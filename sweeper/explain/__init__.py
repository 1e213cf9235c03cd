"""Explanations of what networks predict: Grad-CAM pictures of frames, and a contact sheet by class."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from sweeper.atomic import write_text
from sweeper.data.format import DEFAULT_READING, Reading
from sweeper.errors import InputError
from sweeper.explain import drawing
from sweeper.explain.frames import GivenFrame, at_most, check_readable, evenly, find_frames, png_names
from sweeper.explain.models import find_models
from sweeper.explain.pictures import Explainer, pictures

SHEET, TABLE = "contact_sheet.png", "explain.csv"


@dataclass(frozen=True)
class Row:
    """A line of ``explain.csv``.

    Attributes
    ----------
    path : str
        Absolute.
    frame : int
        Position in the file.
    true : str
        Empty where it is not known.
    predicted : str
    probability : float
        Of the predicted class.
    png : str
        Name of the picture.
    """

    path: str
    frame: int
    true: str
    predicted: str
    probability: float
    png: str


@dataclass(frozen=True)
class Explanation:
    """The explained frames.

    Attributes
    ----------
    rows : tuple of Row
        In the order of the frames.
    held_out : int
        Frames explained by a model that is known not to have been trained on them.
    """

    rows: tuple[Row, ...]
    held_out: int

    def summary(self) -> str:
        """One line for people."""
        known = [row for row in self.rows if row.true]
        parts = [f"{len(self.rows)} frames explained"]
        if known:
            right = sum(row.true == row.predicted for row in known)
            parts.append(f"{right} of {len(known)} predicted as labelled")
        if self.held_out:
            parts.append(f"{self.held_out} by a model that was not trained on them")
        return ", ".join(parts)


def explain(
    model: Path,
    frames: Sequence[Path],
    out: Path,
    *,
    mask: Path | None = None,
    about: str | None = None,
    limit: int | None = None,
    trial: int | None = None,
    allow_outside: bool = False,
    reading: Reading = DEFAULT_READING,
    on_frame: Callable[[int, int], None] | None = None,
) -> Explanation:
    """Write a Grad-CAM picture of each frame, ``contact_sheet.png`` and ``explain.csv``.

    Parameters
    ----------
    model : Path
        Model file, or run folder: then the best network of its leaderboard. Of its fold models, a frame
        is explained by one that was not trained on it where the journal and the data set can tell,
        else by the first.
    frames : sequence of Path
        Frame files, folders of frames, folders of classes or manifests; see
        :func:`sweeper.explain.frames.find_frames`.
    out : Path
        Folder; pictures of the same names are replaced.
    mask : Path, optional
        Mask file: nonzero pixels are invalid.
    about : str, optional
        Class that the heat maps are for; by default the one predicted for each frame.
    limit : int, optional
        Most frames of a class: of the true class where it is known, else of the predicted one.
    trial : int, optional
        Of a run folder: another trial than the best.
    allow_outside : bool
        Whether a manifest may name files outside its folder.
    reading : Reading
        How files are read.
    on_frame : callable, optional
        Called with the number of frames done and of all.

    Raises
    ------
    ValueError
        Bad input, in one line; unreadable frames are found before anything is computed.
    """
    models = find_models(model, trial)
    explainer = Explainer(models.files[0], about)
    given = at_most(find_frames(frames, mask, allow_outside=allow_outside, reading=reading), limit)
    _check_out(out, frames, given)
    check_readable(given, str(explainer.intensity["negative"]))
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {out}: not writable ({error.strerror})") from None
    sheet = _Sheet(given)
    rows: dict[int, Row] = {}
    names = png_names(given)
    of_predicted: Counter[str] = Counter()
    for done, (position, picture) in enumerate(pictures(given, models, explainer), start=1):
        frame = given[position]
        of_predicted[picture.predicted] += frame.true is None
        if frame.true is not None or limit is None or of_predicted[picture.predicted] <= limit:
            drawing.draw_frame(out / names[position], picture)
            rows[position] = _row(frame, picture, names[position])
            sheet.take(position, picture)
        if on_frame is not None:
            on_frame(done, len(given))
    drawing.draw_contact_sheet(out / SHEET, *sheet.content(explainer.classes, about))
    shown = [rows[position] for position in sorted(rows)]
    _write_table(out / TABLE, shown)
    told = sum((row.path, row.frame) in models.held_out for row in shown)
    return Explanation(tuple(shown), told)


def _check_out(out: Path, frames: Sequence[Path], given: Sequence[GivenFrame]) -> None:
    """Pictures are frames to the next reader of a data folder, and may not replace frames."""
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: must be a folder")
    place = out.resolve()
    for folder in frames:
        if folder.is_dir() and place.is_relative_to(folder.resolve()):
            raise InputError(f"--out {out}: must not be inside the folder of frames {folder}")
    for parent in {Path(frame.path).parent for frame in given}:
        if parent.resolve() == place:
            raise InputError(f"--out {out}: must not be the folder of the frames")


# --------------------------------------------------------------------------- writing


class _Sheet:
    """Chooses the frames of the contact sheet: evenly of each known class, the first of a predicted one."""

    def __init__(self, given: Sequence[GivenFrame]) -> None:
        of_class: dict[str, list[int]] = {}
        for position, frame in enumerate(given):
            if frame.true is not None:
                of_class.setdefault(frame.true, []).append(position)
        self._wanted = {p for rows in of_class.values() for p in evenly(rows, drawing.SHEET_FRAMES)}
        self._known = sum(frame.true is not None for frame in given)
        self._frames = len(given)
        self._taken: dict[str, dict[int, drawing.Picture]] = {}

    def take(self, position: int, picture: drawing.Picture) -> None:
        """Keep a picture if it is one for the sheet."""
        taken = self._taken.setdefault(picture.true or picture.predicted, {})
        if position in self._wanted or (picture.true is None and len(taken) < drawing.SHEET_FRAMES):
            taken[position] = picture

    def content(
        self, classes: Sequence[str], about: str | None
    ) -> tuple[list[tuple[str, list[drawing.Picture]]], str]:
        """Title and pictures of each class, those of the model first, and the line above them."""
        order = [*classes, *sorted(set(self._taken) - set(classes))]
        blocks = [
            (name, [p for _, p in sorted(self._taken[name].items())]) for name in order if name in self._taken
        ]
        if self._known == self._frames:
            line = "Frames by true class; the predicted class and its probability below"
        elif self._known == 0:
            line = "Frames by predicted class, with its probability below"
        else:
            line = "Frames by true class, or by predicted class where the true one is not known"
        return blocks, line if about is None else f"{line}; Grad-CAM for {about}"


def _row(frame: GivenFrame, picture: drawing.Picture, png: str) -> Row:
    probability = round(picture.probability, 6)
    return Row(frame.path, frame.index, frame.true or "", picture.predicted, probability, png)


def _write_table(path: Path, rows: Sequence[Row]) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([field.name for field in fields(Row)])
    table.writerows(astuple(row) for row in rows)
    write_text(path, text.getvalue().encode("utf-8", "backslashreplace").decode())
