"""Where a network runs, and what is done about a device that is too small."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from sweeper.errors import InputError, OutOfMemoryError


@dataclass(frozen=True)
class Device:
    """The device on which one process trains or reads a network.

    Attributes
    ----------
    kind : {"cpu", "cuda"}
    index : int
        Of the GPU, among those that the process sees.
    threads : int
        Native threads on a CPU.
    loaders : int
        Processes that read inputs; 0: the process itself.
    compile : bool
        Whether ``torch.compile`` is used to train.
    """

    kind: Literal["cpu", "cuda"] = "cpu"
    index: int = 0
    threads: int = 1
    loaders: int = 0
    compile: bool = False


def torch_device(device: Device) -> Any:
    """The ``torch.device``, current from now on; on a CPU, torch is told its number of threads.

    Raises
    ------
    ValueError
        A GPU that is not there.
    """
    import torch

    if device.kind == "cpu":
        torch.set_num_threads(device.threads)
        return torch.device("cpu")
    if device.index >= torch.cuda.device_count():
        raise InputError(f"device cuda:{device.index}: this process sees {torch.cuda.device_count()} GPUs")
    torch.cuda.set_device(device.index)
    return torch.device("cuda", device.index)


def mixed_dtype(device: Device) -> Any:
    """The 16-bit type of mixed precision: bfloat16 where the GPU computes in it; None on a CPU."""
    import torch

    if device.kind == "cpu":
        return None
    native = torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if native else torch.float16


@contextmanager
def reproducible(device: Device) -> Iterator[None]:
    """The same numbers each time on the same device, and the caller's random numbers left as they were."""
    import torch

    cudnn, on_gpu = torch.backends.cudnn, device.kind == "cuda"
    # Read when the process first multiplies matrices on a GPU.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
        cudnn.deterministic,
        cudnn.benchmark,
    )
    with (
        torch.random.fork_rng(devices=[device.index] if on_gpu else []),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation")
        try:
            if on_gpu:
                torch.use_deterministic_algorithms(True, warn_only=True)
                torch.utils.deterministic.fill_uninitialized_memory = False
                cudnn.deterministic, cudnn.benchmark = True, False
            yield
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])
            torch.utils.deterministic.fill_uninitialized_memory = before[2]
            cudnn.deterministic, cudnn.benchmark = before[3:]


_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc", "ALLOC_FAILED")


@contextmanager
def memory_advice(device: Device, what: str, batch_size: int, size: int) -> Iterator[None]:
    """Turn a failed allocation into advice.

    Raises
    ------
    OutOfMemoryError
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        known = isinstance(error, MemoryError) or any(sign in str(error) for sign in _OUT_OF_MEMORY)
        if not known or isinstance(error, OutOfMemoryError):
            raise
        raise OutOfMemoryError(
            f"{what}: out of {'GPU' if device.kind == 'cuda' else 'main'} memory with batch_size "
            f"{batch_size} and size {size}: lower one of them"
        ) from error
