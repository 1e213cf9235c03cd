"""The tools that a sweep can be logged to, and whether they can be used here."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol

from sweeper.atomic import write_text
from sweeper.errors import InputError
from sweeper.runs.exports.entries import Entry
from sweeper.runs.folder import RunFolder


@dataclass(frozen=True)
class Tool:
    """A tool to log to.

    Attributes
    ----------
    packages : tuple of str
        What has to be installed (mlflow-skinny will do).
    extra : str
        The extra that installs it; empty where Sweeper itself does.
    """

    packages: tuple[str, ...]
    extra: str


TOOLS = {
    "mlflow": Tool(("mlflow", "sqlalchemy", "alembic"), "mlflow"),
    "tensorboard": Tool(("tensorboardX",), ""),
    "wandb": Tool(("wandb",), "wandb"),
}
"""Tools by the name that people give them."""


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
        There is no such tool, its packages are not installed, or it has no credentials.
    """
    if name not in TOOLS:
        raise InputError(f"{option} must be one of {', '.join(TOOLS)}, got {name!r}")
    tool = TOOLS[name]
    if missing := [package for package in tool.packages if not _is_installed(package)]:
        remedy = f" (pip install 'sweeper[{tool.extra}]')" if tool.extra else ""
        raise InputError(
            f"{option} {name} needs packages that are not installed: {', '.join(missing)}{remedy}"
        )
    if name == "wandb":
        from sweeper.runs.exports.wandb import has_credentials

        if not has_credentials():
            raise InputError(
                f"{option} wandb needs an API key: run `wandb login` or set WANDB_API_KEY; "
                "with WANDB_MODE=offline it needs none"
            )


def _is_installed(package: str) -> bool:
    """Return whether a package can be imported; a folder of its name, such as `wandb`, is none."""
    spec = find_spec(package)
    return spec is not None and spec.origin is not None


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
