"""Grad-CAM of the best network for some frames of each class (camSortXS Figure 3)."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from sweeper.report import predictions
from sweeper.report.content import Block, Sheet, Text
from sweeper.report.run import Run
from sweeper.runs.frame_list import read_frame_list

FRAMES = 2
"""Of each class."""
_TITLE = "Figure 3. Grad-CAM of the best network"


def blocks(run: Run) -> list[Block]:
    """The figure, or why it is not there; nothing for a run without a network that was kept."""
    if not run.folder.best_networks.is_file():
        return []
    try:
        sheet = contact_sheet(run)
    except (ValueError, OSError) as error:
        return [Text(f"{_TITLE} could not be drawn: {error}", "note")]
    if sheet is None:
        return []
    caption = (
        f"{_TITLE}: frames of each class, and below each where the network saw evidence for the class it "
        "predicted. `sweeper explain` draws any frame."
    )
    about = "Frames of each class, and where in them the network saw its evidence"
    return [Sheet("camsortxs-figure-3", sheet, caption, about)]


def contact_sheet(run: Run) -> bytes | None:
    """Frames of each class with their heat maps, as PNG; None where no frame's class is known."""
    from sweeper.explain import drawing
    from sweeper.explain.frames import GivenFrame
    from sweeper.explain.models import find_models
    from sweeper.explain.pictures import Explainer, pictures

    chosen = _chosen(run)
    if not chosen:
        return None
    models = find_models(run.folder.path, None)
    explainer = Explainer(models.files[0], None)
    given = [
        GivenFrame(
            path, index, Path(path).name, False, run.classes[label], run.spec.mask, reading=run.spec.reading
        )
        for path, index, label in chosen
    ]
    drawn: dict[str, list[drawing.Picture]] = {}
    for _, picture in sorted(pictures(given, models, explainer), key=lambda pair: pair[0]):
        drawn.setdefault(picture.true or "", []).append(picture)
    with tempfile.TemporaryDirectory(prefix="sweeper-report-") as folder:
        path = Path(folder) / "sheet.png"
        about = "Frames by true class; the predicted class and its probability below"
        drawing.draw_contact_sheet(
            path, [(name, drawn[name]) for name in run.classes if name in drawn], about
        )
        return path.read_bytes()


def _chosen(run: Run) -> list[tuple[str, int, int]]:
    """File, position in it and class of some frames of each class."""
    listed = read_frame_list(run.folder, run.n_frames)
    best = next(
        (s for t in run.done["trial"].head(10) if (s := predictions.read_scores(run, int(t))) is not None),
        None,
    )
    if listed is None or best is None:
        return []
    chosen = []
    for label in range(len(run.classes)):
        rows = np.flatnonzero(best.label == label)
        for row in rows[np.linspace(0, len(rows) - 1, min(FRAMES, len(rows))).astype(int)]:
            frame = int(best.frame[row])
            if frame < len(listed.path):
                chosen.append((listed.path[frame], listed.index[frame], label))
    return chosen
