"""``sweeper log``: a run that exists, for MLflow, TensorBoard or Weights & Biases."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sweeper.commands.arguments import command, counter, place
from sweeper.errors import EXIT_DONE, InputError


def add(commands: Any) -> None:
    """Add the verb."""
    parser = command(
        commands,
        "log",
        _log,
        "send the trials of a run to MLflow, TensorBoard or Weights & Biases; what is there stays as it is",
        "MLFLOW_TRACKING_URI=http://tracking:5000 sweeper log first-run --to mlflow",
    )
    parser.add_argument("run_folder", type=place, metavar="RUN", help="run folder")
    parser.add_argument("--to", required=True, metavar="TOOL", help="mlflow, tensorboard or wandb")


def _log(args: argparse.Namespace) -> int:
    from sweeper.runs.exports.sending import export_run
    from sweeper.runs.exports.tools import check_tool
    from sweeper.runs.folder import RunFolder
    from sweeper.runs.place import shown

    run = args.run_folder
    if not isinstance(run, Path):
        raise InputError(f"sweeper log writes into the run folder: RUN must be a folder, got {shown(run)}")
    check_tool(args.to, "--to")
    where = export_run(RunFolder(run), args.to, counter("entries"))
    print(f"{args.to}: {where}")
    return EXIT_DONE
