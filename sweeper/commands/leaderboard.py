"""``sweeper leaderboard``: the pipelines of a sweep, best first."""

from __future__ import annotations

import argparse
from typing import Any

from sweeper.commands.arguments import (
    add_json,
    add_plugins,
    add_run_folder,
    check_folder_of,
    command,
    count,
    path,
    print_json,
)
from sweeper.errors import EXIT_DONE, InputError


def add(commands: Any) -> None:
    """Add the verb."""
    parser = command(
        commands,
        "leaderboard",
        _leaderboard,
        "show the pipelines of a sweep, best first",
        "sweeper leaderboard first-run --best-per featurizer --csv best.csv",
    )
    add_run_folder(parser)
    parser.add_argument("--top", type=count, metavar="N", help="only the N best (default: all)")
    parser.add_argument(
        "--best-per",
        choices=("featurizer", "classifier", "representation"),
        metavar="WHAT",
        help="only the best of each featurizer, classifier or representation",
    )
    parser.add_argument(
        "--pareto",
        action="store_true",
        help="only pipelines that no other beats in both score and latency",
    )
    parser.add_argument(
        "--csv", type=path, metavar="FILE", help="write the rows with all their columns to a CSV file as well"
    )
    add_json(parser)
    add_plugins(parser)


def _leaderboard(args: argparse.Namespace) -> int:
    check_folder_of("--csv", args.csv)
    from sweeper.runs.ensemble import read_leaderboard
    from sweeper.runs.leaderboard import write_csv
    from sweeper.runs.tables import leaderboard_rows, leaderboard_table

    chosen = {"top": args.top, "best_per": args.best_per, "pareto": args.pareto}
    board, metric = read_leaderboard(args.run_folder, **chosen)
    if args.json:
        print_json(leaderboard_rows(board))
    else:
        print(leaderboard_table(board, metric))
    if args.csv:
        try:
            write_csv(board, args.csv)
        except OSError as error:
            raise InputError(f"--csv {args.csv}: {error.strerror}") from None
        if not args.json:
            print(f"\n{len(board)} rows in {args.csv}")
    return EXIT_DONE
