"""Training and feature extraction: our loop against a bare one, the rate of each backbone.

- ``train_ratio``: images a second of ``sweeper.networks.fit.train``, with its checkpoints and reports, over
  those of a bare PyTorch loop, on the same network, frames, device and threads. The bare loop has the frames
  as float32 tensors in the device's memory, and the same memory layout and precision. Both run in turn; the
  figure is the median of the pairs' ratios, and the smaller one of LeNet and ResNet-50.
- ``extract_fps_<backbone>``: frames a second of ``sweeper.networks.extract.extract``, float32.
- Table 2 of camSortXS: seconds of training an image, times the paper's number of images and 50 epochs, with
  the time of 50 checkpoints (extrapolated: not trained for that long), and seconds of extraction a frame.
  The paper's own values, from its GPUs, stand beside them.

Networks start from random weights: neither rate depends on them. With ``--quick`` frames are smaller and
fewer, so that its figures are not comparable with those of a full run.

    python benchmarks/training.py [--quick] [--json FILE] [--device cuda|cpu] [--threads N] [--compile]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch

from sweeper.api import NetworkBuild
from sweeper.networks.devices import Device, mixed_dtype
from sweeper.networks.extract import extract
from sweeper.networks.fit import Fit, TrainingData
from sweeper.networks.inputs import Inputs
from sweeper.networks.training import train
from sweeper.plugins import network

BACKBONES = ("lenet", "vgg16", "vgg19", "resnet50", "xception", "inception_resnet_v2", "deepfreak")
COMPARED = ("lenet", "resnet50")
N_CLASSES = 4
IMAGES = {"UB": 2824, "BL": 1288, "BLA": 5152}  # Table 1: training images of the three data sets
PAPER_EPOCHS = 50
PAPER = {  # Table 2: seconds of training for UB, BL, BLA; of extraction a frame
    "lenet": (1283, 587, 2758, 0.010),
    "vgg16": (1587, 744, 2822, 0.020),
    "vgg19": (1814, 846, 3272, 0.021),
    "resnet50": (2097, 984, 3872, 0.022),
    "xception": (2967, 2251, 5520, 0.034),
    "inception_resnet_v2": (3832, 2932, 10546, 0.052),
}


@dataclass(frozen=True)
class Scale:
    """Size of the benchmark.

    Attributes
    ----------
    size : int or None
        Width and height of the inputs of all networks; None: each network's own.
    batch : int or None
        Frames a step; None: each network's own.
    steps : int
        Steps of an epoch where loops are compared.
    table_steps : int
        Steps of an epoch where the time an image takes is measured.
    epochs : int
        Of one measurement of a rate.
    pairs : int
        Measurements of both loops.
    frames : int
        That features are extracted of.
    """

    size: int | None
    batch: int | None
    steps: int
    table_steps: int
    epochs: int
    pairs: int
    frames: int


SCALES = {
    ("cpu", True): Scale(size=96, batch=8, steps=10, table_steps=2, epochs=1, pairs=3, frames=16),
    ("cpu", False): Scale(size=None, batch=8, steps=12, table_steps=2, epochs=1, pairs=5, frames=32),
    ("cuda", True): Scale(size=96, batch=32, steps=40, table_steps=10, epochs=2, pairs=3, frames=512),
    ("cuda", False): Scale(size=None, batch=None, steps=88, table_steps=20, epochs=3, pairs=5, frames=2048),
}
"""With a GPU an epoch has about as many images as camSortXS's UB, 2824; a CPU would take too long."""


@dataclass(frozen=True)
class Case:
    """A network with what it is trained on."""

    name: str
    params: dict[str, Any]
    inputs: Inputs
    labels: Any
    n_train: int

    def fit(self, folder: Path, epochs: int) -> Fit:
        params = {**self.params, "epochs": epochs}
        return Fit(self.name, params, tuple(map(str, range(N_CLASSES))), 0, folder)

    @property
    def data(self) -> TrainingData:
        return TrainingData(self.inputs, self.labels, np.arange(self.n_train))


def make_case(name: str, scale: Scale, folder: Path) -> Case:
    """Random frames at the network's size, as they are kept for training."""
    plugin = network(name)
    defaults = {axis.name: axis.default for axis in plugin.all_axes}
    size, batch = scale.size or defaults["size"], scale.batch or defaults["batch_size"]
    # Noise cannot be learnt: a small rate keeps the loss from diverging.
    params = {"training_set": "unbalanced", "size": size, "batch_size": batch, "learning_rate": 1e-5}
    if "weights" in defaults:
        params["weights"] = "random"
    n = max(scale.steps * batch, scale.frames)
    path = folder / f"{n}-{size}.npy"
    if not path.exists():
        noise = np.random.default_rng(0).random((n, size, size), dtype=np.float32)
        np.save(path, noise.astype(np.float16))
    return Case(name, params, Inputs((str(path),), (n,)), np.arange(n) % N_CLASSES, scale.steps * batch)


# --------------------------------------------------------------------------- the two loops


def our_rate(case: Case, device: Device, epochs: int) -> float:
    """Images a second of ``train``, from the end of the first epoch, checkpoints and all."""
    ends: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        fit = case.fit(Path(folder), epochs + 1)
        train(fit, case.data, epochs + 1, device, lambda _: ends.append(time.perf_counter()))
    return case.n_train * epochs / (ends[-1] - ends[0])


class BareLoop:
    """Train as somebody would write it who wants the network trained and nothing else."""

    def __init__(self, case: Case, device: Device) -> None:
        plugin = network(case.name)
        defaults = {axis.name: axis.default for axis in plugin.all_axes}
        params = {**defaults, **case.params}
        self.where, self.dtype = torch.device(device.kind), mixed_dtype(device)
        module: Any = plugin.build(NetworkBuild(params, N_CLASSES))
        self.module = module.to(self.where, memory_format=torch.channels_last).train()
        self.optimizer = torch.optim.SGD(
            self.module.parameters(),
            lr=params["learning_rate"],
            momentum=params["momentum"],
            weight_decay=params["weight_decay"],
        )
        self.batch_size = params["batch_size"]
        rows = np.arange(case.n_train)
        self.x = torch.from_numpy(case.inputs.batch(rows)).float().to(self.where)
        self.y = torch.from_numpy(case.labels[rows]).to(self.where)

    def epoch(self) -> None:
        for at in torch.randperm(len(self.y), device=self.where).split(self.batch_size):
            with torch.autocast(self.where.type, dtype=self.dtype, enabled=self.dtype is not None):
                logits = self.module(self.x[at])[1]
                loss = torch.nn.functional.cross_entropy(logits, self.y[at])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    def rate(self, epochs: int) -> float:
        """Images a second, after a first epoch that is not counted."""
        self.epoch()
        self._wait()
        start = time.perf_counter()
        for _ in range(epochs):
            self.epoch()
        self._wait()
        return len(self.y) * epochs / (time.perf_counter() - start)

    def _wait(self) -> None:
        if self.where.type == "cuda":
            torch.cuda.synchronize()


def compare(case: Case, device: Device, scale: Scale, figures: dict[str, float], compiled: bool) -> None:
    """Rates of both loops in turn, and of ours compiled where that is asked for."""
    bare = BareLoop(case, device)
    pairs: list[tuple[float, float, float]] = []
    for number in range(scale.pairs):
        first = bare.rate(scale.epochs) if number % 2 else 0.0  # neither is always the first
        ours = our_rate(case, device, scale.epochs)
        theirs = first or bare.rate(scale.epochs)
        faster = our_rate(case, replace(device, compile=True), scale.epochs) if compiled else 0.0
        pairs.append((ours, theirs, faster))
    rates = [statistics.median(column) for column in zip(*pairs, strict=True)]
    ratios = [ours / theirs for ours, theirs, _ in pairs]
    figures[f"train_ratio_{case.name}"] = statistics.median(ratios)
    line = (
        f"{case.name:22}{case.params['size']:6}{case.params['batch_size']:7}{rates[0]:12.1f}{rates[1]:12.1f}"
        f"{statistics.median(ratios):9.3f}   {min(ratios):.3f} to {max(ratios):.3f}"
    )
    if compiled:
        speedup = statistics.median(faster / ours for ours, _, faster in pairs)
        figures[f"compile_speedup_{case.name}"] = speedup
        line += f"   compiled: {speedup:.3f} times ours"
    print(line, flush=True)


# --------------------------------------------------------------------------- the backbones


def extraction_rate(case: Case, device: Device, frames: int) -> float:
    """Frames a second, the best of three, after a first run that is not counted."""
    plugin = network(case.name)
    defaults = {axis.name: axis.default for axis in plugin.all_axes}
    module = plugin.build(NetworkBuild({**defaults, **case.params}, N_CLASSES))
    rows, times = np.arange(frames), []
    extract(module, case.inputs, rows, device)
    for _ in range(3):
        start = time.perf_counter()
        extract(module, case.inputs, rows, device)
        times.append(time.perf_counter() - start)
    return frames / min(times)


def training_times(case: Case, device: Device) -> tuple[float, float]:
    """Seconds of training an image, and of a checkpoint, from the second epoch."""
    ends: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        fit = case.fit(Path(folder), 2)
        train(fit, case.data, 2, device, lambda epoch: ends.append((time.perf_counter(), epoch["seconds"])))
    seconds = ends[1][1]
    return seconds / case.n_train, ends[1][0] - ends[0][0] - seconds


def backbone_table(device: Device, scale: Scale, folder: Path, figures: dict[str, float]) -> None:
    """Extraction rates, and Table 2."""
    print("\nbackbones; in brackets what camSortXS's Table 2 has; training times are extrapolated")
    columns = "".join(f"{f'train {s}, s':>19}" for s in IMAGES)
    print(f"{'':22}{'px':>6}{'frames/s':>10}{'s/frame':>19}{'s/image':>10}{columns}")
    for name in BACKBONES:
        case = make_case(name, replace(scale, steps=scale.table_steps), folder)
        fps = extraction_rate(case, device, scale.frames)
        per_image, checkpoint = training_times(case, device)
        figures[f"extract_fps_{name}"] = fps
        figures[f"train_s_per_image_{name}"] = per_image
        paper = PAPER.get(name)
        line = f"{name:22}{case.params['size']:6}{fps:10.1f}"
        line += f"{_beside(f'{1 / fps:.4f}', paper, 3)}{per_image:10.4f}"
        for i, (data, images) in enumerate(IMAGES.items()):
            seconds = PAPER_EPOCHS * (per_image * images + checkpoint)
            figures[f"train_s_{data}_{name}_extrapolated"] = seconds
            line += _beside(f"{seconds:.0f}", paper, i)
        print(line, flush=True)


def _beside(ours: str, paper: Sequence[float] | None, position: int) -> str:
    return f"{ours + ('' if paper is None else f' ({paper[position]})'):>19}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the tables, write the figures."""
    parser = argparse.ArgumentParser(description="Training and feature extraction of networks.")
    parser.add_argument("--quick", action="store_true", help="smaller and fewer frames, fewer pairs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda where there is a GPU")
    parser.add_argument(
        "--threads", type=int, metavar="N", help="native threads on a CPU; default: all cores"
    )
    parser.add_argument("--compile", action="store_true", help="compare with torch.compile as well")
    options = parser.parse_args(arguments)
    kind = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    cores = len(os.sched_getaffinity(0))
    threads = options.threads or cores
    device = Device(kind, threads=threads, loaders=max(1, min(8, cores - 1)) if kind == "cuda" else 0)
    torch.set_num_threads(threads)
    scale = SCALES[kind, options.quick]
    figures: dict[str, float] = {}

    what = torch.cuda.get_device_name() if kind == "cuda" else f"CPU, {threads} threads"
    print(f"{what}, torch {torch.__version__}; {'quick: small frames' if options.quick else 'full'}")
    print(f"\ntraining, images/s, medians of {scale.pairs} pairs")
    print(f"{'':22}{'px':>6}{'batch':>7}{'ours':>12}{'bare':>12}{'ratio':>9}   range")
    with tempfile.TemporaryDirectory() as folder:
        for name in COMPARED:
            compare(make_case(name, scale, Path(folder)), device, scale, figures, options.compile)
        figures["train_ratio"] = min(figures[f"train_ratio_{name}"] for name in COMPARED)
        backbone_table(device, scale, Path(folder), figures)
    print(f"\ntrain_ratio {figures['train_ratio']:.3f}")
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
