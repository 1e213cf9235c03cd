"""Networks on ONNX Runtime, which reads them several times faster than PyTorch does on a CPU.

The graph is made here, of the module that a plugin built and of weights that were checked: a model file holds
none. Without the library, or where a network cannot be converted, PyTorch reads it.
"""

from __future__ import annotations

import io
import warnings
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.api import NetworkModule
from sweeper.extras import first_missing, remedy

LIBRARIES = ("onnxruntime", "onnx")
"""Libraries that a network is read by; the second makes the graph."""

TOLERANCE = 1e-4
"""Largest difference from PyTorch, of the largest value, that counts as rounding: it is below 1e-5."""

_TRIED = 2  # inputs by which a graph is compared with its module
_INPUT = "frames"
_OPSET = 17

Read = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Features (n, width) and logits (n, n_classes)."""


class SlowNetworkWarning(UserWarning):
    """A network is read by PyTorch, since it cannot be read by ONNX Runtime."""


class Reader:
    """Reads a network on single frames, by ONNX Runtime where that can be.

    The network is converted when the first frame is read, in seconds, and compared with its module.

    Parameters
    ----------
    module : NetworkModule
        In evaluation mode, on the CPU.
    size : int
        Width and height of its input.
    called : str
        What messages call the network.
    """

    def __init__(self, module: NetworkModule, size: int, called: str) -> None:
        self._module: Any = module
        self._size, self._called = size, called
        self._sessions: dict[int, Any] = {}  # by the number of threads

    def __call__(self, x: NDArray[np.float32]) -> Read:
        """Return features (1, width) and logits (1, n_classes) of an input (1, 1, size, size)."""
        if self._graph is None:
            return read_eagerly(self._module, x)
        return self._run(x, self._graph)

    @property
    def library(self) -> str:
        """Return the library that reads the network, and its version."""
        import torch

        if self._graph is None:
            return f"PyTorch {torch.__version__}"
        import onnxruntime

        return f"ONNX Runtime {onnxruntime.__version__}"

    @cached_property
    def _graph(self) -> bytes | None:
        """Return the network as ONNX; None, with a warning, where PyTorch has to read it."""
        graph, problem = self._convert()
        if problem:
            text = f"{self._called} is read by PyTorch, several times slower than it could be: {problem}"
            warnings.warn(text, SlowNetworkWarning, stacklevel=2)
        return graph

    def _convert(self) -> tuple[bytes | None, str]:
        """Return the network as ONNX; or None, and why it is not read so."""
        missing = first_missing(LIBRARIES)
        if missing is not None:
            return None, f"ONNX Runtime {remedy(missing)}"
        try:
            graph = _converted(self._module, self._size)
            x = np.random.default_rng(0).random((_TRIED, 1, 1, self._size, self._size), dtype=np.float32)
            far = max(difference(self._run(one, graph), read_eagerly(self._module, one)) for one in x)
        except Exception as error:  # a converter meets whatever plugins build, and raises whatever it likes
            return None, f"it cannot be converted ({type(error).__name__})"
        if not far <= TOLERANCE:
            return None, f"ONNX Runtime differs from it by {far:.1g} of the largest value"
        return graph, ""

    def _run(self, x: NDArray[np.float32], graph: bytes) -> Read:
        import onnxruntime
        import torch

        threads = torch.get_num_threads()
        if threads not in self._sessions:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
            options.log_severity_level = 3  # errors
            self._sessions[threads] = onnxruntime.InferenceSession(
                graph, options, providers=["CPUExecutionProvider"]
            )
        features, logits = self._sessions[threads].run(None, {_INPUT: x})
        return features, logits


def read_eagerly(module: NetworkModule, x: NDArray[np.float32]) -> Read:
    """Return the features and logits that PyTorch reads, (n, width) and (n, n_classes)."""
    import torch

    run: Any = module
    with torch.inference_mode():
        features, logits = run(torch.from_numpy(x))
    return features.numpy(), logits.numpy()


def difference(some: Read, others: Read) -> float:
    """Return how far features and logits are from others, as a share of the largest of these."""
    found = 0.0
    for a, b in zip(some, others, strict=True):
        largest = float(np.abs(b).max()) or 1.0
        far = float(np.abs(a - b).max()) / largest
        found = max(found, far if np.isfinite(far) else float("inf"))
    return found


def _converted(module: Any, size: int) -> bytes:
    """Return a network as ONNX, for one frame at a time."""
    import torch

    buffer = io.BytesIO()
    with (
        warnings.catch_warnings()
    ):  # of what a later PyTorch will do without, and of shapes that are constant here
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (torch.zeros(1, 1, size, size),),
            buffer,
            dynamo=False,
            input_names=[_INPUT],
            opset_version=_OPSET,
        )
    return buffer.getvalue()
