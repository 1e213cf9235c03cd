"""``sweeper status``, ``leaderboard`` and ``curves``: what a run folder says."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sweeper.commands.arguments import command, count, path, place
from sweeper.commands.jobs import DEFAULT_ADDRESS
from sweeper.errors import EXIT_DONE, InputError

_JOB = "raysubmit_"
"""How Ray's ids of jobs begin."""


def add(commands: Any) -> None:
    """Add the three verbs."""
    _add_status(commands)
    _add_leaderboard(commands)
    _add_curves(commands)


def _add_status(commands: Any) -> None:
    parser = command(
        commands, "status", _status, "how far a sweep is, and whether it runs", "sweeper status first-run"
    )
    parser.add_argument("run_folder", type=place, metavar="RUN", help="run folder or URL, or the id of a job")
    parser.add_argument(
        "--address",
        metavar="URL",
        help=f"dashboard of the cluster that a job was sent to ({DEFAULT_ADDRESS})",
    )


def _status(args: argparse.Namespace) -> int:
    is_job = str(args.run_folder).startswith(_JOB) and not Path(args.run_folder).exists()
    if is_job or args.address is not None:
        from sweeper.engine.jobs import job_status

        print(job_status(str(args.run_folder), args.address or DEFAULT_ADDRESS))
        return EXIT_DONE
    from sweeper.runs.place import reading, shown
    from sweeper.runs.status import status

    with reading(args.run_folder) as folder:
        print(status(folder, shown(args.run_folder), _holder(args.run_folder)))
    return EXIT_DONE


def _holder(run: Path | str) -> str | None:
    """Who runs the sweep at a URL; None for a folder, whose journal tells, empty for nobody."""
    if isinstance(run, Path):
        return None
    from sweeper.runs.mirror import holder

    return holder(run) or ""


def _add_leaderboard(commands: Any) -> None:
    parser = command(
        commands,
        "leaderboard",
        _leaderboard,
        "the pipelines of a sweep, best first",
        "sweeper leaderboard first-run --best-per featurizer --csv best.csv",
    )
    parser.add_argument("run_folder", type=place, metavar="RUN", help="run folder or URL")
    parser.add_argument("--csv", type=path, metavar="FILE", help="write the rows, all columns, to a CSV file")
    parser.add_argument("--top", type=count, metavar="N", help="only the N best")
    parser.add_argument(
        "--best-per",
        choices=("featurizer", "classifier", "representation"),
        metavar="WHAT",
        help="only the best of each featurizer, classifier or representation",
    )
    parser.add_argument(
        "--pareto", action="store_true", help="only pipelines that none beats in both score and latency"
    )


def _leaderboard(args: argparse.Namespace) -> int:
    from sweeper.runs.contents import ENSEMBLE
    from sweeper.runs.ensemble import run_leaderboard
    from sweeper.runs.folder import RunFolder
    from sweeper.runs.leaderboard import select, write_csv
    from sweeper.runs.place import reading
    from sweeper.runs.tables import leaderboard_table

    with reading(args.run_folder, [ENSEMBLE]) as local:
        folder = RunFolder(local)
        spec = folder.load_spec()
        board = run_leaderboard(folder, metric=spec.metric, folds=folder.folds())
    board = select(board, top=args.top, best_per=args.best_per, pareto=args.pareto, metric=spec.metric)
    print(leaderboard_table(board, spec.metric))
    if args.csv:
        try:
            write_csv(board, args.csv)
        except OSError as error:
            raise InputError(f"--csv {args.csv}: {error.strerror}") from None
        print(f"\n{len(board)} rows in {args.csv}")
    return EXIT_DONE


def _add_curves(commands: Any) -> None:
    parser = command(
        commands,
        "curves",
        _curves,
        "learning curves of the networks of a sweep: loss, accuracy and learning rate each epoch",
        "sweeper curves first-run --png curves.png",
    )
    parser.add_argument("run_folder", type=place, metavar="RUN", help="run folder or URL")
    parser.add_argument("--png", type=path, metavar="FILE", help="draw them")
    parser.add_argument("--csv", type=path, metavar="FILE", help="write them, a row an epoch, to a CSV file")
    parser.add_argument("--trial", type=int, metavar="N", help="only the network of this trial")


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
