"""``sweeper plan`` and ``sweeper run``: what a sweep would cost, and the sweep."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeper.commands.arguments import command, count, place
from sweeper.errors import EXIT_DONE, InputError

if TYPE_CHECKING:
    from sweeper.errors import BadFramesError

_BAD_SHOWN = 50


def add(commands: Any) -> None:
    """Add both verbs."""
    _add_plan(commands)
    _add_run(commands)


def _add_plan(commands: Any) -> None:
    parser = command(
        commands,
        "plan",
        _plan,
        "size of the grid, blocks and estimated cost of a sweep, without running it",
        "sweeper plan frames --space diffranet",
    )
    add_sweep_options(parser)


def _plan(args: argparse.Namespace) -> int:
    from sweeper.planning.plan import plan

    print(plan(spec_of(args)))
    return EXIT_DONE


def _add_run(commands: Any) -> None:
    parser = command(
        commands,
        "run",
        _run,
        "search for the best pipeline; run the same command again to go on",
        "sweeper run frames --space quick --trials 60 --out first-run",
    )
    add_sweep_options(parser)
    parser.add_argument(
        "--out", type=place, required=True, metavar="RUN", help="run folder, or a URL such as s3://bucket/run"
    )
    parser.add_argument(
        "--top", type=count, default=10, metavar="N", help="rows of the leaderboard to show (10)"
    )
    parser.add_argument(
        "--dashboard", action="store_true", help="start Ray's dashboard and print its address"
    )


def _run(args: argparse.Namespace) -> int:
    from sweeper.engine.sweep import run_sweep
    from sweeper.errors import BadFramesError
    from sweeper.runs.place import shown, working
    from sweeper.runs.progress import Progress
    from sweeper.runs.tables import leaderboard_table
    from sweeper.space.study import SCALE

    spec = spec_of(args)
    if spec.log and isinstance(args.out, str):
        raise InputError(f"--log writes into the run folder: --out must be a folder, got {shown(args.out)}")
    progress = Progress()
    if isinstance(spec.space, dict) and SCALE in spec.space:
        progress.note(f"scale {spec.space[SCALE]}")
    try:
        with working(args.out, progress.note) as out:
            try:
                board = run_sweep(spec, out, progress, dashboard=args.dashboard)
            except BadFramesError as error:
                raise InputError(_bad_frames(error, out)) from None
    finally:
        progress.close()
    print(leaderboard_table(board.head(args.top), spec.metric))
    print(f"\n{progress.summary()}")
    print(f"leaderboard: {shown(args.out)}/leaderboard.csv")
    print(f"next: sweeper leaderboard {shown(args.out)} --best-per featurizer")
    page = " --html report.html" if isinstance(args.out, str) else ""
    print(f"      sweeper report {shown(args.out)}{page}")
    return EXIT_DONE


def _bad_frames(error: BadFramesError, out: Path) -> str:
    """All of a few bad frames; of many the first, and a file in the run folder that lists them all."""
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


_METRICS = "accuracy (default), kappa, mcc, f1_macro, recall_macro, precision_weighted or auc_ovr"
_SPEC_OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--search", {"metavar": "SEARCH", "help": "bohb (default), hyperband, asha, random or grid"}),
    ("--trials", {"type": int, "metavar": "N", "help": "most trials (60; with --time-budget: no limit)"}),
    ("--metric", {"metavar": "M", "help": f"what ranks: {_METRICS}"}),
    ("--folds", {"type": int, "metavar": "K", "help": "folds of cross-validation (5)"}),
    ("--repeats", {"type": int, "metavar": "R", "help": "repeats of cross-validation, 1 to 10 (1)"}),
    ("--seed", {"type": int, "help": "same seed, same leaderboard (0)"}),
    ("--cpus", {"type": int, "metavar": "N", "help": "cores to use (all)"}),
    ("--object-store-gb", {"type": float, "metavar": "GB", "help": "memory for blocks; the rest is spilled"}),
    ("--address", {"metavar": "ADDR", "help": "Ray cluster to join; default: start Ray here"}),
    ("--mask", {"metavar": "FILE", "help": "mask file: nonzero pixels are invalid"}),
    ("--features", {"metavar": "DIR", "help": "folder of blocks to share between sweeps (RUN/features)"}),
    ("--reduction-factor", {"type": int, "metavar": "ETA", "help": "HyperBand's eta (3)"}),
    ("--rungs", {"type": int, "metavar": "N", "help": "budgets from 1/eta^(N-1) to 1 (3)"}),
    ("--trial-memory-limit-gb", {"type": float, "metavar": "GB", "help": "most memory of one fit"}),
    (
        "--representation-share",
        {"type": float, "metavar": "S", "help": "share of the frames that trains representations alone"},
    ),
    ("--weights", {"metavar": "DIR", "help": "folder of pretrained weights (default: timm's hub)"}),
    ("--train-workers", {"type": int, "metavar": "N", "help": "processes that train one network (1)"}),
    ("--train-cpus", {"type": float, "metavar": "N", "help": "cores of each"}),
    ("--train-gpus", {"type": float, "metavar": "N", "help": "GPUs of each, also a fraction (1 if any)"}),
    ("--test-top", {"type": int, "metavar": "N", "help": "best pipelines scored on the test split (10)"}),
    ("--reruns", {"type": int, "metavar": "N", "help": "times the best three are run with other seeds (0)"}),
)


_OF_RAY = ("--address", "--cpus", "--object-store-gb")


def add_sweep_options(parser: argparse.ArgumentParser, *, joins: bool = True) -> None:
    """Options that make a spec; without `joins` those of the Ray to use are left out."""
    parser.add_argument(
        "data", metavar="DATA", help="folder of classes, CSV or Parquet manifest, or SPEC.yaml"
    )
    parser.add_argument(
        "--space", metavar="SPACE", help="search space: a name (sweeper list spaces) or a path"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PLUGIN.AXIS=VALUE",
        help="another choice for a parameter of the space, as its YAML writes it: deepfreak.size=96",
    )
    parser.add_argument(
        "--scale", metavar="NAME", help="a cut of the space that the space names, such as small"
    )
    for flag, options in _SPEC_OPTIONS:
        if joins or flag not in _OF_RAY:
            parser.add_argument(flag, default=None, **options)
    parser.add_argument(
        "--time-budget", default=None, metavar="T", help="end after this long: 90s, 10m, 1.5h"
    )
    parser.add_argument(
        "--trial-time-limit",
        default=None,
        metavar="T",
        help="most time of one fit (10m)",
    )
    parser.add_argument(
        "--log",
        action="append",
        metavar="TOOL",
        help="log every trial to mlflow, tensorboard or wandb; may be given several times",
    )
    for flag, text in (
        ("--skip-bad", "leave unreadable frames out instead of refusing to start"),
        ("--allow-outside", "let a manifest point outside its own folder"),
        ("--train-compile", "train networks with torch.compile"),
    ):
        parser.add_argument(flag, action="store_true", default=None, help=text)


def spec_of(args: argparse.Namespace) -> Any:
    """The spec that the arguments ask for: from a YAML file, or from DATA and --space."""
    from sweeper.runs.spec import SweepSpec, load_spec, make_spec, parse_duration

    names = {f.name for f in dataclasses.fields(SweepSpec)} - {"data", "space"}
    given = {name: value for name, value in vars(args).items() if name in names and value is not None}
    if args.time_budget is not None:
        given["time_budget_s"] = parse_duration(args.time_budget)
    if args.trial_time_limit is not None:
        given["trial_time_limit_s"] = parse_duration(args.trial_time_limit, "--trial-time-limit")
    if args.data.endswith((".yaml", ".yml")):
        if args.space is not None:
            given["space"] = args.space
        return load_spec(Path(args.data), scale=args.scale, settings=args.set, **given)
    if args.space is None:
        raise InputError("--space is required (sweeper list spaces shows what there is)")
    return make_spec(args.data, args.space, scale=args.scale, settings=args.set, **given)
