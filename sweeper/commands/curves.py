"""``sweeper curves``: how the networks of a sweep learnt."""

from __future__ import annotations

import argparse
from typing import Any

from sweeper.commands.arguments import add_run_folder, command, path
from sweeper.errors import EXIT_DONE, InputError


def add(commands: Any) -> None:
    """Add the verb."""
    parser = command(
        commands,
        "curves",
        _curves,
        "show the learning curves of a sweep's networks: loss, accuracy and learning rate of each epoch",
        "sweeper curves first-run --png curves.png",
    )
    add_run_folder(parser)
    parser.add_argument("--png", type=path, metavar="FILE", help="draw the curves")
    parser.add_argument(
        "--csv", type=path, metavar="FILE", help="write the curves to a CSV file, one row an epoch"
    )
    parser.add_argument(
        "--trial", type=int, metavar="N", help="only the network of this trial (default: all networks)"
    )


def _curves(args: argparse.Namespace) -> int:
    from sweeper.runs.curves import curves_table, draw_curves, learning_curves
    from sweeper.runs.folder import RunFolder
    from sweeper.runs.place import reading, shown

    with reading(args.run_folder) as local:
        folder = RunFolder(local)
        folder.load_spec()
        curves = learning_curves(folder.results(), args.trial)
    if curves.empty:
        raise InputError(
            f"{shown(args.run_folder)}: no network here: none was trained for an epoch in this sweep"
        )
    for option, file, write in (
        ("--png", args.png, lambda: draw_curves(curves, args.png)),
        ("--csv", args.csv, lambda: curves.to_csv(args.csv, index=False)),
    ):
        if file is not None:
            try:
                write()
            except OSError as error:
                raise InputError(f"{option} {file}: {error.strerror or error}") from None
            print(f"{len(curves)} epochs of {curves.fit.nunique()} fits in {file}")
    if args.png is None and args.csv is None:
        print(curves_table(curves))
    return EXIT_DONE
