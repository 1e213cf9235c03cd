"""``sweeper labels``: what more labelled frames would buy."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sweeper.commands.arguments import (
    add_json,
    add_plugins,
    add_run_folder,
    command,
    count,
    counter,
    print_json,
)
from sweeper.errors import EXIT_DONE, InputError


def add(commands: Any) -> None:
    """Add the verb."""
    parser = command(
        commands,
        "labels",
        _labels,
        "say what more labelled frames would buy: accuracy with none, 1, 3, 10 ... frames of each class",
        "sweeper labels first-run",
    )
    add_run_folder(parser)
    parser.add_argument(
        "--trial", type=int, metavar="N", help="take the pipeline of this trial (default: the best)"
    )
    parser.add_argument(
        "--draws",
        type=count,
        default=5,
        metavar="N",
        help="how often frames are drawn for each number and fold (default: %(default)s)",
    )
    parser.add_argument("--cpus", type=count, metavar="N", help="CPU cores that a fit may use (default: all)")
    add_json(parser)
    add_plugins(parser)


def _labels(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from sweeper.labels.curve import chosen_pipeline, label_curve
    from sweeper.labels.text import curve_text
    from sweeper.runs.checks import local_cpus
    from sweeper.runs.folder import RunFolder
    from sweeper.runs.place import reading
    from sweeper.similar.features import needed_files

    names: list[str] = []
    if not isinstance(args.run_folder, Path):
        with reading(args.run_folder) as local:
            names = needed_files(RunFolder(local), chosen_pipeline(RunFolder(local), args.trial).pipeline)
    with reading(args.run_folder, names) as local:
        folder = RunFolder(local)
        folder.load_spec()
        chosen = chosen_pipeline(folder, args.trial)
        curve = label_curve(folder, chosen, args.draws, local_cpus(args.cpus), counter("fits"))
        try:
            curve.write(folder.labels)
        except OSError as error:
            raise InputError(f"{error.filename or error}") from None
    if args.json:
        print_json(asdict(curve))
    else:
        print(curve_text(curve))
    return EXIT_DONE
