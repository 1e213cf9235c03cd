"""The processes that train one network together; without torch.distributed there is one."""

from __future__ import annotations

from typing import Any, TypeVar

T = TypeVar("T")


def _together() -> bool:
    import torch.distributed as dist

    return bool(dist.is_available() and dist.is_initialized())


def world() -> tuple[int, int]:
    """Rank of this process, and how many there are."""
    import torch.distributed as dist

    return (dist.get_rank(), dist.get_world_size()) if _together() else (0, 1)


def from_first(value: T) -> T:
    """Return the value of the first process; that of the others is ignored."""
    import torch.distributed as dist

    if not _together():
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def total(tensor: Any) -> Any:
    """Sum over all processes, in place; the same bits everywhere."""
    import torch.distributed as dist

    if _together():
        dist.all_reduce(tensor)
        dist.broadcast(tensor, src=0)
    return tensor


def share_buffers(module: Any) -> None:
    """Give every process the first one's buffers, such as the statistics of batch norm."""
    import torch.distributed as dist

    if _together():
        for buffer in module.buffers():
            dist.broadcast(buffer, src=0)


def wait() -> None:
    """Return when all processes are here."""
    import torch.distributed as dist

    if _together():
        dist.barrier()
