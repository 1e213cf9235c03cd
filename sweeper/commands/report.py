"""``sweeper report``: a run as one page."""

from __future__ import annotations

import argparse
from typing import Any

from sweeper.commands.arguments import add_plugins, add_run_folder, command, path
from sweeper.errors import EXIT_DONE


def add(commands: Any) -> None:
    """Add the verb."""
    parser = command(
        commands,
        "report",
        _report,
        "write a run as one HTML page that needs no network: leaderboard, tables of the papers, figures, and "
        "frames to look at",
        "sweeper report first-run --figures figures",
    )
    add_run_folder(parser)
    parser.add_argument(
        "--html", type=path, metavar="FILE", help="where the page goes (default: RUN/report.html)"
    )
    parser.add_argument(
        "--figures", type=path, metavar="DIR", help="write the figures as PNG and PDF to this folder as well"
    )
    add_plugins(parser)


def _report(args: argparse.Namespace) -> int:
    from sweeper.report import report_of

    html, files = report_of(args.run_folder, args.html, args.figures)
    print(f"report: {html} ({html.stat().st_size / 1e6:.1f} MB)")
    if args.figures is not None:
        print(f"figures: {len(files) // 2} in {args.figures}, each as PNG and PDF")
    return EXIT_DONE
