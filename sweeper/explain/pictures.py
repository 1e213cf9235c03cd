"""From frames to pictures: read as the network sees them, with a heat map of what it went by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sweeper.data.intensity import resolve
from sweeper.data.prepared import raw_frames
from sweeper.errors import InputError
from sweeper.explain import drawing
from sweeper.explain.frames import GivenFrame
from sweeper.explain.models import Models
from sweeper.plugins import nearest

if TYPE_CHECKING:
    from sweeper.api import NetworkModule

_BATCH = 8


class Explainer:
    """A loaded model, the way frames reach it, and the class that is asked for.

    Attributes
    ----------
    file : Path
        Of the model.
    classes : tuple of str
    intensity : dict
        Settings of the frames that it was trained on, all of them.
    about : str or None
        Class that heat maps are for; None: the predicted one.
    """

    def __init__(self, file: Path, about: str | None) -> None:
        from sweeper.networks.model import load_model

        try:
            module, info = load_model(file)
        except OSError as error:
            raise InputError(f"{file}: {error.strerror or error}") from None
        self.file = file
        self.module: NetworkModule = module
        self.classes = info.classes or tuple(f"class {i}" for i in range(info.n_classes))
        self.intensity = resolve(info.intensity)
        self.size = int(info.params["size"])
        self.about = about
        if about is not None and about not in self.classes:
            raise InputError(f"--class {about!r}: no class of {file}; {nearest(about, self.classes)}")
        self._cam(np.zeros((1, self.size, self.size), dtype=np.float32))  # can it be explained at all?

    def _cam(self, x: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Heat maps (n, size, size) and probabilities (n, n_classes) of inputs (n, size, size)."""
        import torch

        from sweeper.networks.gradcam import grad_cam

        target = None if self.about is None else self.classes.index(self.about)
        try:
            heat, logits = grad_cam(self.module, torch.from_numpy(x)[:, None], target)
        except ValueError as error:
            raise InputError(f"{self.file}: {error}") from None
        scores = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
        return heat, scores / scores.sum(axis=1, keepdims=True)

    def explain(self, frames: Sequence[GivenFrame]) -> list[drawing.Picture]:
        """Return frames with heat maps of what the network saw in them."""
        from sweeper.networks.inputs import input_array

        inputs, views = [], []
        for raw in raw_frames([frame.ref for frame in frames]):
            prepared = raw.prepared(self.intensity)
            inputs.append(np.asarray(input_array(prepared, self.size), dtype=np.float32))
            views.append(raw.displayed(self.intensity, drawing.MOST_PX))
        heat, probability = self._cam(np.stack(inputs))
        return [
            self._picture(frame, view.image, view.valid, heat[i], probability[i])
            for i, (frame, view) in enumerate(zip(frames, views, strict=True))
        ]

    def _picture(
        self,
        frame: GivenFrame,
        image: NDArray[np.float32],
        valid: NDArray[np.bool_],
        heat: NDArray[np.float32],
        probability: NDArray[np.float64],
    ) -> drawing.Picture:
        import cv2

        over = cv2.resize(heat, image.shape[::-1], interpolation=cv2.INTER_LINEAR)
        best = int(probability.argmax())
        explained = None
        if self.about is not None:
            explained = (self.about, float(probability[self.classes.index(self.about)]))
        return drawing.Picture(
            name=frame.called(frame.name),
            image=image,
            valid=valid,
            heat=np.clip(over, 0, 1).astype(np.float32),
            true=frame.true,
            predicted=self.classes[best],
            probability=float(probability[best]),
            explained=explained,
        )


def pictures(
    given: Sequence[GivenFrame], models: Models, first: Explainer
) -> Iterator[tuple[int, drawing.Picture]]:
    """Yield the position and picture of each frame, one model after the other."""
    positions: dict[Path, list[int]] = {}
    for position, frame in enumerate(given):
        positions.setdefault(models.of((frame.path, frame.index)), []).append(position)
    for file, rows in positions.items():
        explainer = first if file == first.file else Explainer(file, first.about)
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            yield from zip(batch, explainer.explain([given[row] for row in batch]), strict=True)
