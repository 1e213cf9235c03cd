"""Tasks for networks: write inputs, train a network on one device or several, read blocks.

The functions are plain; ``engine.networks`` submits them with the resources of the spec.
"""

from __future__ import annotations

import json
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray
from ray.exceptions import RayTaskError

from sweeper import plugins
from sweeper.api import Params, PreparedFrame
from sweeper.atomic import write_text
from sweeper.data.prepared import FrameRef
from sweeper.engine import nodes
from sweeper.engine.causes import cause_of
from sweeper.engine.cluster import OF_TRAINING
from sweeper.engine.resources import Resources
from sweeper.engine.tasks.frames import Reader, prepared_frames
from sweeper.errors import DivergedError, FitError, JournalError, StoppedError
from sweeper.features import blocks as block_files
from sweeper.features.names import block_name
from sweeper.networks.fit import Fit, TrainingData
from sweeper.networks.inputs import Inputs, write_inputs
from sweeper.networks.model import model_path
from sweeper.pipeline import plain_params
from sweeper.runs.records import Epoch, NetworkFit


def prepare_inputs(
    frames: Sequence[FrameRef], intensity: Params, size: int, path: Path, reader: Reader | None = None
) -> float:
    """Write one shard of inputs; gives milliseconds a frame, which are kept beside the file."""
    note = path.with_suffix(".json")
    if note.exists() and _whole(path, (len(frames), size, size)):
        return float(json.loads(note.read_text())["prepare_ms"])
    times: list[float] = []

    def timed() -> Iterator[PreparedFrame]:
        started = time.perf_counter()
        for frame in prepared_frames(frames, intensity, reader):
            yield frame  # comes back once the frame was resized and written
            times.append(1e3 * (time.perf_counter() - started))
            started = time.perf_counter()

    nodes.check_folder(path.parent)
    write_inputs(path, timed(), len(frames), size)
    prepare_ms = statistics.median(times)
    write_text(note, json.dumps({"prepare_ms": prepare_ms}))
    return prepare_ms


def _whole(path: Path, shape: tuple[int, ...]) -> bool:
    """Whether a file of inputs is there, of this shape and not cut short."""
    try:
        return bool(np.load(path, mmap_mode="r", allow_pickle=False).shape == shape)
    except (OSError, ValueError, EOFError):
        return False


# --------------------------------------------------------------------------- training


def _to_journal(fit: Fit, ledger: Any) -> Callable[[dict[str, Any]], None]:
    """Return what puts an epoch into the journal."""

    def on_epoch(epoch: dict[str, Any]) -> None:
        ray.get(ledger.append_training.remote(Epoch(fit=fit.key, **epoch)))

    return on_epoch


def _complete_journal(model: Path, to_journal: Callable[[dict[str, Any]], None]) -> None:
    """Put epochs there that had their checkpoint, and not yet their line, when a process was killed."""
    from sweeper.networks.model import read_info

    for epoch in read_info(model).history:
        to_journal(dict(epoch))


def _remove_damaged(model: Path) -> None:
    """Remove a model file that cannot be read, so that it is made again."""
    from sweeper.networks.model import read_info

    try:
        read_info(model)
    except FileNotFoundError:
        return
    except ValueError:
        model.unlink(missing_ok=True)


def announce(fit: Fit, n_train: int, resources: Resources) -> NetworkFit:
    """Return the journal's record of a fit, which its epochs refer to."""
    return NetworkFit(
        key=fit.key,
        featurizer=fit.network,
        featurizer_params=plain_params(fit.params),
        intensity=plain_params(fit.intensity),
        fold=fit.fold,
        n_train=n_train,
        workers=resources.workers,
        device="cuda" if resources.gpus > 0 else "cpu",
    )


def train_here(fit: Fit, data: TrainingData, epochs: int, resources: Resources, ledger: Any) -> None:
    """Train to a number of epochs in this process, from the checkpoint where there is one."""
    from sweeper.networks.training import train

    to_journal = _to_journal(fit, ledger)
    _remove_damaged(model_path(fit.folder, epochs))
    path = train(fit, data, epochs, resources.device(), to_journal)
    _complete_journal(path, to_journal)


def train_with_ray(fit: Fit, data: TrainingData, epochs: int, resources: Resources, ledger: Any) -> None:
    """The same with Ray Train: workers on devices of their own, restarted when one is lost."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    gpu = resources.gpus > 0
    storage = fit.folder.resolve() / "ray_train"
    trainer = TorchTrainer(
        _train_worker,
        train_loop_config={"arguments": (fit, data, epochs, resources, ledger)},
        torch_config=TorchConfig(backend="nccl" if gpu else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=resources.workers,
            use_gpu=gpu,
            resources_per_worker={
                "CPU": resources.cpus,
                **({"GPU": resources.gpus} if gpu else {}),
                **OF_TRAINING,
            },
        ),
        run_config=RunConfig(
            name=f"to-epoch-{epochs}",
            storage_path=str(storage),
            failure_config=FailureConfig(max_failures=_LOST_WORKERS),
        ),
    )
    ray.get(ledger.fail.remote(fit.key, None))
    trainer.fit()
    shutil.rmtree(storage, ignore_errors=True)  # Ray Train's own records; checkpoints are the fit's
    failed: Exception | None = ray.get(ledger.failure.remote(fit.key))
    if failed is not None:
        raise failed


_LOST_WORKERS = 5
"""Workers that may be lost while one network is trained; each time it goes on from its checkpoint."""


def _train_worker(config: dict[str, Any]) -> None:
    """One of the processes that train a network together."""
    import ray.train.torch

    from sweeper.networks.training import train

    nodes.check()
    fit, data, epochs, resources, ledger = config["arguments"]
    if ray.get(ledger.failure.remote(fit.key)):  # it failed before the workers were started anew
        return
    # Workers of one machine see the GPUs of all of them.
    device = resources.device(ray.train.torch.get_device().index or 0)
    first = ray.train.get_context().get_world_rank() == 0
    to_journal = _to_journal(fit, ledger)
    if first:
        _remove_damaged(model_path(fit.folder, epochs))

    def on_epoch(epoch: dict[str, Any]) -> None:
        if first:
            to_journal(epoch)
        ray.train.report(epoch)

    try:
        path = train(fit, data, epochs, device, on_epoch)
        if first:
            _complete_journal(path, to_journal)
    except (FitError, ValueError, OSError, RayTaskError) as error:
        if isinstance(error, ConnectionError | TimeoutError):  # another worker was lost
            raise
        ray.get(ledger.fail.remote(fit.key, _told(error)))
        if resources.workers > 1:  # the others may wait for this one: Ray Train ends them all
            raise


def _told(error: Exception) -> Exception:
    """Return why a fit failed as one of our errors: a disk ends the sweep, all else the pipeline."""
    cause = cause_of(error)
    if isinstance(cause, StoppedError | FitError):
        return cause
    if isinstance(cause, OSError):
        return JournalError(f"{cause.strerror or cause}; nothing recorded is lost")
    return FitError(str(cause))


# --------------------------------------------------------------------------- blocks


def extract_block(
    fit: Fit,
    epochs: int,
    inputs: Inputs,
    rows: NDArray[np.int64],
    prepare_ms: float,
    resources: Resources,
) -> list[Any]:
    """Features and logits of some rows: a block's info and its bytes."""
    from sweeper.networks.extract import extract
    from sweeper.networks.model import load_model, untrained

    network = plugins.network(fit.network)
    module: Any
    if epochs:
        module, saved = load_model(model_path(fit.folder, epochs))
        fit_s = sum(epoch["seconds"] for epoch in saved.history)
    else:
        module, fit_s = untrained(network, fit.params, fit.n_classes, fit.seed, fit.weights), 0.0
    device = resources.device()
    started = time.perf_counter()
    try:
        features, logits = extract(module, inputs, rows, device)
    except DivergedError as error:
        raise DivergedError(f"{error}, after {epochs} epochs") from None
    compute_ms = 1e3 * (time.perf_counter() - started) / max(1, len(rows))
    info = block_files.BlockInfo(
        (block_name(network.name, fit.params),), len(rows), prepare_ms, compute_ms, fit_s
    )
    table = block_files.network_table(network, fit.params, rows, features, logits)
    return [info, block_files.to_parquet(table, info)]


_ALONE: dict[str, Any] = {"scheduling_strategy": "DEFAULT", "max_retries": 0}
inputs_task = ray.remote(num_cpus=1, scheduling_strategy="DEFAULT", max_retries=3)(
    nodes.checked(prepare_inputs)
)
# A process that trains one architecture after another keeps what torch set up for each: it ends now and then.
train_task = ray.remote(max_calls=20, **_ALONE)(nodes.checked(train_here))
ray_train_task = ray.remote(num_cpus=0, **_ALONE)(train_with_ray)
extract_task = ray.remote(num_returns=2, max_calls=50, **_ALONE)(nodes.checked(extract_block))
