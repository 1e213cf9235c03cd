"""``sweeper export``: a pipeline of a run as one file."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from sweeper.commands.arguments import add_plugins, add_run_folder, command, count, path
from sweeper.errors import EXIT_DONE

if TYPE_CHECKING:
    from sweeper.sorter.promises import Promise


def add(commands: Any) -> None:
    """Add the verb."""
    parser = command(
        commands,
        "export",
        _export,
        "fit a pipeline of a run on all of its training frames and write it to one file, to sort new frames",
        "sweeper export first-run best.sweeper --error-rate 0.02",
    )
    add_run_folder(parser)
    parser.add_argument("model", type=path, metavar="MODEL", help="the file; one that exists is replaced")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--rank", type=count, metavar="N", help="take this row of the leaderboard (default: the first)"
    )
    choice.add_argument("--trial", type=int, metavar="N", help="take the trial with this number")
    choice.add_argument("--ensemble", action="store_true", help="take the ensemble")
    add_promise(parser)
    add_plugins(parser)


def add_promise(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what a sorter promises."""
    parser.add_argument(
        "--error-rate",
        type=float,
        metavar="R",
        help="accept as many frames as can be so that at most the share R of all frames, such as 0.02, is "
        "accepted with a wrong class (default: the model's; without one, every frame that is no stranger is "
        "accepted)",
    )
    parser.add_argument(
        "--by-class", action="store_true", help="keep the error rate for the frames of each predicted class"
    )
    parser.add_argument(
        "--never-miss",
        metavar="CLASS,...",
        help="mark which frames to keep so that frames of these classes are not lost",
    )
    parser.add_argument(
        "--recall", type=float, metavar="R", help="share of these frames that is kept (default: 0.999)"
    )
    parser.add_argument(
        "--class-costs",
        metavar="CLASS=COST,...",
        help="give each frame the class that costs least, where a missed frame of these classes costs so "
        "much, such as good=5,strong=10, and of another 1 (default: the model's, which are the sweep's)",
    )


def promise_of(args: argparse.Namespace, otherwise: Promise) -> Promise:
    """Return what the options ask for, and for those left out what is promised otherwise."""
    from sweeper.runs.settings import parse_costs
    from sweeper.sorter.promises import Promise

    costs = otherwise.class_costs
    if args.class_costs is not None:
        costs = tuple(parse_costs(args.class_costs).items())
    never_miss = otherwise.never_miss if args.never_miss is None else _names(args.never_miss)
    return Promise(
        error_rate=otherwise.error_rate if args.error_rate is None else args.error_rate,
        by_class=args.by_class or (args.error_rate is None and otherwise.by_class),
        never_miss=never_miss,
        recall=otherwise.recall if args.recall is None else args.recall,
        class_costs=costs,
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _export(args: argparse.Namespace) -> int:
    from sweeper.sorter.export import export_model
    from sweeper.sorter.promises import Promise

    model = export_model(
        args.run_folder,
        args.model,
        rank=args.rank,
        trial=args.trial,
        ensemble=args.ensemble,
        promise=promise_of(args, Promise()),
        note=lambda text: print(text, file=sys.stderr),
    )
    size = args.model.stat().st_size
    print(f"{args.model}: {model.name}, {len(model.classes)} classes, {size / 1e6:.3g} MB, model {model.id}")
    for text in (model.thresholds.decision, *model.thresholds.notes):
        if text:
            print(text)
    print(f"next: sweeper card {args.model}")
    print(f"      sweeper sort {args.model} FRAMES")
    return EXIT_DONE
