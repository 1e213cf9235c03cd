"""How fast an exported model sorts, from files on disk to rows in a CSV, beside a plain script.

- ``fps_tiff_512``: frames a second of `sweeper sort` with a process for each core, 512 × 512 uint16 TIFF, the
  best of 20 pipelines of ``quick``; from the difference of two runs, so that starting does not count.
- ``fps_cbf_2m``: the same for byte-offset CBF of 1679 × 1475.
- ``p99_ms``: of a single frame in one process, from its file to its verdict.
- ``sort_ratio``: frames a second of one process of ours over those of the plain script, which reads with
  tifffile, scales with numpy, has scikit-image compute the same features and scikit-learn classify.
- ``network_ratio_<name>``: CPU time that PyTorch takes to read a network on a frame over that of the library
  which the sorter has for it, on one thread, both in turn; the median of the pairs.

    python benchmarks/sorting.py [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import _plain
import numpy as np
from numpy.typing import NDArray

import sweeper
from sweeper import plugins
from sweeper.api import PreparedFrame
from sweeper.process import ALLOCATION
from sweeper.simulate.diffraction import write_diffraction
from sweeper.sorter.model import Model

SIZE_PX, CBF_SHAPE, TREES, BATCH = 512, (1679, 1475), 300, 64
NETWORKS = ("lenet", "resnet50")


def run_cli(*arguments: object) -> None:
    """Run a command; RuntimeError with what it said where it fails."""
    command = [sys.executable, "-m", "sweeper", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        raise RuntimeError(done.stderr)


def make_model(frames: Path, scratch: Path) -> Path:
    """Sweep, and export the best single pipeline."""
    options = (
        "--space",
        "quick",
        "--set",
        "combine.most=1",
        "--search",
        "random",
        "--trials",
        20,
        "--seed",
        1,
    )
    run_cli("run", frames, *options, "--out", scratch / "run")
    board = sweeper.open_run(scratch / "run").leaderboard()
    run_cli(
        "export", scratch / "run", scratch / "best.sweeper", "--trial", board.trial[board.trial >= 0].iloc[0]
    )
    return scratch / "best.sweeper"


def copied(sources: Sequence[Path], folder: Path, count: int) -> Path:
    """Fill a folder with so many files, going round the sources."""
    folder.mkdir()
    for i in range(count):
        source = sources[i % len(sources)]
        shutil.copy(source, folder / f"{i:05}{source.suffix}")
    return folder


def write_cbf(folder: Path, count: int) -> list[Path]:
    """Write frames as a Pilatus does."""
    import fabio

    folder.mkdir()
    rng = np.random.default_rng(0)
    paths = []
    for i in range(count):
        counts = rng.poisson(8, CBF_SHAPE).astype(np.int32)
        paths.append(folder / f"{i}.cbf")
        fabio.cbfimage.cbfimage(data=counts).write(str(paths[-1]))
    return paths


def frames_per_second(model: Path, sources: Sequence[Path], scratch: Path, most: int) -> float:
    """Return the rate of `sweeper sort`, from what more frames take."""
    took = {}
    for count in (most // 5, most):
        folder = copied(sources, scratch / f"sorted-{sources[0].suffix[1:]}-{count}", count)
        begin = time.perf_counter()
        run_cli("sort", model, folder, "--csv", f"{folder}.csv", "--processes", os.cpu_count())
        took[count] = time.perf_counter() - begin
        shutil.rmtree(folder)
    return (most - most // 5) / (took[most] - took[most // 5])


# --------------------------------------------------------------------------- one process, stage by stage


def each(clock: _plain.Clock, frames: int) -> dict[str, float]:
    """Return milliseconds a frame by what they went into."""
    return {name: 1e3 * seconds / frames for name, seconds in clock.spent.items()}


def our_stages(model: Model, paths: Sequence[Path]) -> dict[str, float]:
    """Return milliseconds a frame of the model, of which every part is one pipeline of one featurizer."""
    from sweeper.sorter.strangers import count_statistics

    [part], clock = model.parts, _plain.Clock()
    for begin in range(0, len(paths), BATCH):
        batch = paths[begin : begin + BATCH]
        looks = []
        for path in batch:
            [(_, raw)] = model.raw_frames(path)
            clock.lap("read")
            frame = raw.prepared(part.pipeline.intensity)
            clock.lap("prepare")
            features = part.kinds[0].compute([frame])[0]
            clock.lap("features")
            statistics = count_statistics(frame)
            clock.lap("signs")
            looks.append(sweeper.sorter.model.Look(raw.counts.shape, statistics, (features,)))
        model.probabilities(looks)
        clock.lap("classify")
        model.signs_of(looks)
        clock.lap("signs")
    return each(clock, len(paths))


def plain_stages(model: Model, paths: Sequence[Path]) -> dict[str, float]:
    """Return milliseconds a frame of tifffile, numpy, scikit-image and scikit-learn."""
    import tifffile
    from sklearn.ensemble import ExtraTreesClassifier

    [single] = model.parts[0].pipeline.singles
    params = dict(single.featurizer_params)
    compute: Callable[[PreparedFrame, dict[str, Any]], NDArray[Any]] = {
        "glcm": _plain.glcm,
        "lbp": _plain.lbp,
        "histogram": lambda frame, params: (
            np.bincount(frame.quantised.ravel(), minlength=256) / frame.image.size
        ),
    }[single.featurizer]
    forest: ExtraTreesClassifier | None = None
    clock = _plain.Clock()
    for begin in range(0, len(paths), BATCH):
        rows = []
        for path in paths[begin : begin + BATCH]:
            counts = tifffile.imread(path)
            clock.lap("read")
            image = np.log1p(counts.astype(np.float32))
            low, high = np.percentile(image, (0.1, 99.9))
            image = np.clip((image - low) / max(high - low, 1e-9), 0, 1).astype(np.float32)
            frame = PreparedFrame(counts.astype(np.float32), image, np.ones(image.shape, bool), 256)
            clock.lap("prepare")
            rows.append(compute(frame, params))
            clock.lap("features")
        x = np.array(rows)
        if forest is None:
            labels = np.arange(len(x)) % len(model.classes)
            forest = ExtraTreesClassifier(TREES, random_state=0).fit(x, labels)
            clock.lap("fit")
        forest.predict_proba(x)
        clock.lap("classify")
    clock.spent.pop("fit")
    return each(clock, len(paths))


def p99_ms(model: Model, paths: Sequence[Path]) -> float:
    """Return the time of a single frame that 99 of 100 stay below."""
    took = []
    for path in paths:
        begin = time.perf_counter()
        model.accept(path)
        took.append(1e3 * (time.perf_counter() - begin))
    return float(np.percentile(took, 99))


# --------------------------------------------------------------------------- networks


def network_times(name: str, pairs: int) -> tuple[str, list[float], list[float]]:
    """Return what reads a network in the sorter, and CPU milliseconds a frame, its own and PyTorch's."""
    import torch

    from sweeper.networks.model import untrained
    from sweeper.networks.runtime import Reader, read_eagerly

    network = plugins.network(name)
    params = {axis.name: axis.default for axis in network.axes}
    module, size = untrained(network, params, 4, 0, None), int(params["size"])
    reader, x = Reader(module, size, name), np.zeros((1, 1, size, size), dtype=np.float32)
    ways = {"ours": reader, "eager": lambda x: read_eagerly(module, x)}
    took: dict[str, list[float]] = {way: [] for way in ways}
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for i in range(pairs + 1):
            for way, read in ways.items():
                x[:] = np.random.default_rng(i).random(x.shape, dtype=np.float32)
                begin = time.process_time()
                read(x)
                took[way].append(1e3 * (time.process_time() - begin))
    finally:
        torch.set_num_threads(before)
    return reader.library, took["ours"][1:], took["eager"][1:]  # the first converts


def network_ratios(pairs: int) -> dict[str, float]:
    """Print how long networks take to read, and return the figures."""
    figures = {}
    print(f"\n{'ms a frame, one thread':32}{'sorter':>8}{'PyTorch':>8}")
    for name in NETWORKS:
        library, ours, eager = network_times(name, pairs)
        print(f"  {f'{name}, {library}':30}{np.median(ours):8.1f}{np.median(eager):8.1f}")
        figures[f"network_ratio_{name}"] = float(np.median(np.array(eager) / np.array(ours)))
    return figures


def show(ours: dict[str, float], plain: dict[str, float], name: str) -> None:
    """Print where the time of a frame goes."""
    print(f"\n{f'ms a frame, one core, {name}':32}{'ours':>8}{'plain':>8}")
    for stage in dict.fromkeys((*ours, *plain)):
        print(f"  {stage:30}{ours.get(stage, 0):8.2f}{plain.get(stage, 0):8.2f}")
    print(f"  {'all':30}{sum(ours.values()):8.2f}{sum(plain.values()):8.2f}\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, write the figures."""
    parser = argparse.ArgumentParser(description="An exported model at work.")
    parser.add_argument("--quick", action="store_true", help="a fifth of the frames")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    options = parser.parse_args(arguments)
    count = 200 if options.quick else 1000
    with tempfile.TemporaryDirectory(prefix="sweeper-benchmark-") as name:
        scratch = Path(name)
        write_diffraction(scratch / "frames", 20, SIZE_PX, 1)
        path = make_model(scratch / "frames", scratch)
        model = sweeper.load_model(path)
        tiffs = sorted((scratch / "frames").rglob("*.tif"))
        with model.one_thread():
            model.accept(tiffs[:BATCH])  # compiles and imports
            latency = p99_ms(model, tiffs)
            ours, plain = our_stages(model, tiffs), plain_stages(model, tiffs)
        figures = {
            "fps_tiff_512": frames_per_second(path, tiffs, scratch, count),
            "fps_cbf_2m": frames_per_second(path, write_cbf(scratch / "cbf", 10), scratch, count // 2),
            "p99_ms": latency,
            "sort_ratio": sum(plain.values()) / sum(ours.values()),
        }
    show(ours, plain, model.name)
    figures |= network_ratios(7 if options.quick else 21)
    for figure, value in figures.items():
        print(f"{figure:30}{value:8.3g}")
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    if not ALLOCATION.keys() & os.environ.keys():  # as the command line has it from its start
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ALLOCATION})
    main()
