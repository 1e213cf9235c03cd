"""``sweeper run``: the sweep."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeper.commands.arguments import add_plugins, command, count, place
from sweeper.commands.spec_options import add_spec_options, spec_of
from sweeper.errors import EXIT_DONE, InputError

if TYPE_CHECKING:
    from sweeper.errors import BadFramesError

_BAD_SHOWN = 50


def add(commands: Any) -> None:
    """Add the verb."""
    parser = command(
        commands,
        "run",
        _run,
        "search for the best pipeline; run the same command again to resume",
        "sweeper run frames --preset balanced --out first-run",
    )
    groups = add_spec_options(parser)
    add_plugins(groups["search"])
    output = groups["output"]
    output.add_argument(
        "--out",
        type=place,
        required=True,
        metavar="RUN",
        help="run folder, or a URL such as s3://bucket/run; a sweep that it holds is resumed",
    )
    output.add_argument(
        "--top",
        type=count,
        default=10,
        metavar="N",
        help="rows of the leaderboard to show at the end (default: %(default)s)",
    )
    groups["resources"].add_argument(
        "--dashboard", action="store_true", help="start Ray's dashboard and print its address (default: off)"
    )


def _run(args: argparse.Namespace) -> int:
    from sweeper.engine.sweep import run_sweep
    from sweeper.errors import BadFramesError
    from sweeper.runs.advice import advice_of
    from sweeper.runs.checks import check_place
    from sweeper.runs.folder import RunFolder
    from sweeper.runs.leaderboard import why_all_failed
    from sweeper.runs.place import shown, typed, working
    from sweeper.runs.progress import Progress
    from sweeper.runs.tables import leaderboard_table
    from sweeper.runs.target import read_target
    from sweeper.space.study import SCALE

    spec = spec_of(args)
    check_place(spec, args.out)
    progress = Progress()
    if args.preset is not None:
        progress.note(f"preset {args.preset}: {spec.summary}")
    if SCALE in spec.space:
        progress.note(f"scale {spec.space[SCALE]}")
    try:
        with working(args.out, progress.note) as out:
            try:
                board = run_sweep(spec, out, progress, dashboard=args.dashboard)
                advice = advice_of(RunFolder(out))
                has_helping = "helping" in RunFolder(out).read_environment()
                target = read_target(RunFolder(out).target)
            except BadFramesError as error:
                raise InputError(_bad_frames(error, out)) from None
    finally:
        progress.close()
    print(leaderboard_table(board.head(args.top), spec.metric))
    print(f"\n{progress.summary()}")
    if target is not None:
        print(f"target: {target.verdict}")
        print(*(f"        {note}" for note in target.notes), sep="\n", end="\n" * bool(target.notes))
    for line in advice.lines:
        print(line)
    print(f"leaderboard: {shown(args.out)}/leaderboard.csv")
    if why := why_all_failed(board):
        raise InputError(f"{why}; change the space, its limits or the frames, and run it in another folder")
    print(f"next: sweeper leaderboard {typed(args.out)} --best-per featurizer")
    page = " --html report.html" if isinstance(args.out, str) else ""
    print(f"      sweeper report {typed(args.out)}{page}")
    if has_helping:
        print(f"      sweeper labels {typed(args.out)}, which says what more labels would buy")
    return EXIT_DONE


def _bad_frames(error: BadFramesError, out: Path) -> str:
    """Return the message about bad frames: all of a few; of many the first, and the file that lists them."""
    from sweeper.runs.folder import RunFolder, write_frame_list

    listing = RunFolder(out).bad_frames
    if len(error.problems) <= _BAD_SHOWN:
        return str(error)
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_frame_list(listing, error.problems)
    except OSError:
        return str(error)
    shown = "; ".join(f"{name} ({reason})" for name, reason in error.problems[:_BAD_SHOWN])
    return (
        f"{error.source}: every frame must be readable, {len(error.problems)} are not (--skip-bad leaves "
        f"them out), all listed in {listing}: {shown}; ..."
    )
