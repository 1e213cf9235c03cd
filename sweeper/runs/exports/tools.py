"""The tools that a sweep can be logged to, and whether they can be used here."""

from __future__ import annotations

import uuid
from typing import Protocol

from sweeper.atomic import write_text
from sweeper.errors import InputError
from sweeper.extras import check_libraries
from sweeper.runs.exports.entries import Entry
from sweeper.runs.folder import RunFolder

TOOLS = {
    "mlflow": ("mlflow", "sqlalchemy", "alembic"),
    "tensorboard": ("tensorboardX",),
    "wandb": ("wandb",),
}
"""Tools by the name that people give them, with the libraries that each needs (mlflow-skinny will do)."""


class Exporter(Protocol):
    """Sends entries to one tool.

    Attributes
    ----------
    place : str
        Where to look at them.
    """

    place: str

    def send(self, entry: Entry) -> None:
        """Send what the tool does not have yet of an entry; once more after an error."""


def check_tool(name: str, option: str) -> None:
    """Check what an option names, before compute is spent.

    Raises
    ------
    InputError
        There is no such tool, a library that it needs is not installed, or it has no credentials.
    """
    if name not in TOOLS:
        raise InputError(f"{option} must be one of {', '.join(TOOLS)}, got {name!r}")
    check_libraries(TOOLS[name], f"{option} {name}")
    if name == "wandb":
        from sweeper.runs.exports.wandb import has_credentials

        if not has_credentials():
            raise InputError(
                f"{option} wandb needs an API key: run `wandb login` or set WANDB_API_KEY; "
                "with WANDB_MODE=offline it needs none"
            )


def open_exporter(name: str, folder: RunFolder) -> Exporter:
    """Return the exporter of a run to a tool that :func:`check_tool` accepted."""
    if name == "mlflow":
        from sweeper.runs.exports.mlflow import MLflow

        return MLflow(folder, sweep_id(folder))
    if name == "tensorboard":
        from sweeper.runs.exports.tensorboard import TensorBoard

        return TensorBoard(folder)
    from sweeper.runs.exports.wandb import WandB

    return WandB(folder, sweep_id(folder))


def sweep_id(folder: RunFolder) -> str:
    """Return what tells this sweep's entries from others at a server; kept in the run folder."""
    path = folder.logs / "id"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, uuid.uuid4().hex[:12])
    return path.read_text().strip()
