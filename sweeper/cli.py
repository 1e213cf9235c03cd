"""The command line."""

from __future__ import annotations

import argparse
import dataclasses
import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeper.arguments import Parser, command, count, path, unknown_argument

if TYPE_CHECKING:
    from sweeper.dataset import BadFrames

_BAD_SHOWN = 50
EXIT_DONE, EXIT_FAULT, EXIT_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without our table's lines still gets the rest
            stream.reconfigure(errors="backslashreplace")
    try:
        args, unknown = build_parser().parse_known_args(argv)
        if unknown:
            raise ValueError(unknown_argument(unknown[0], args.parser))
        status: int = args.run(args)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("sweeper: interrupted; the same command goes on", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # `sweeper leaderboard RUN | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE
    except ValueError as error:
        if _from_ray(error):
            return _fault(error)
        print(f"sweeper: {' '.join(str(error).split())}", file=sys.stderr)
        return EXIT_INPUT
    except Exception as error:
        return _fault(error)


def _from_ray(error: Exception) -> bool:
    """Whether an error came out of a task: Ray makes it look like the class it wraps."""
    return type(error).__module__.startswith("ray.")


def _fault(error: Exception) -> int:
    from sweeper.journal import JournalError

    if isinstance(error, JournalError | OSError) or type(error).__name__ == "SweepStopped":
        print(f"sweeper: {error}; mend that and run the same command again", file=sys.stderr)
    else:
        traceback.print_exception(error)
        print("sweeper: this is a fault in Sweeper; the same command goes on", file=sys.stderr)
    return EXIT_FAULT


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = Parser(
        prog="sweeper",
        description="Finds the best way to classify X-ray detector frames.",
        epilog="Start with: sweeper simulate diffraction frames --per-class 40 && "
        "sweeper run frames --space quick --out first-run",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_simulate(commands)
    _add_plan(commands)
    _add_run(commands)
    _add_status(commands)
    _add_leaderboard(commands)
    _add_curves(commands)
    _add_explain(commands)
    _add_list(commands)
    return parser


# --------------------------------------------------------------------------- simulate


def _add_simulate(commands: Any) -> None:
    example = "sweeper simulate diffraction frames --per-class 60 --size 256 --seed 1"
    simulate = commands.add_parser(
        "simulate",
        help="make labelled frames from physics",
        description="Make labelled frames from physics.",
        epilog=f"Example: {example}",
    )
    kinds = simulate.add_subparsers(metavar="KIND", required=True)
    parser = command(
        kinds,
        "diffraction",
        _simulate_diffraction,
        "serial-crystallography stills in five classes, as 16-bit TIFF",
        example,
    )
    parser.add_argument("directory", type=path, metavar="DIR", help="folder to make")
    parser.add_argument("--per-class", type=int, default=60, metavar="N", help="frames a class (60)")
    parser.add_argument(
        "--size", type=int, default=256, metavar="PX", help="width and height in pixels (256)"
    )
    parser.add_argument("--seed", type=int, default=0, help="same seed, same frames (0)")


def _simulate_diffraction(args: argparse.Namespace) -> int:
    from sweeper.simulate.diffraction import write_diffraction

    try:
        manifest = write_diffraction(
            args.directory, args.per_class, args.size, args.seed, on_frame=_counter()
        )
    except OSError as error:
        if args.directory.is_dir():  # a full disk: the same command goes on
            raise
        raise ValueError(f"{args.directory}: not writable ({error.strerror})") from None
    print(f"{5 * args.per_class} frames of {args.size} x {args.size} in {args.directory}")
    print(f"drawn parameters: {manifest}")
    return EXIT_DONE


def _counter() -> Callable[[int, int], None] | None:
    """Shows how many frames are done, in a terminal."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, total: int) -> None:
        print(f"\r{done} of {total} frames", end="\n" if done == total else "", file=sys.stderr, flush=True)

    return show


# --------------------------------------------------------------------------- plan and run


def _add_plan(commands: Any) -> None:
    parser = command(
        commands,
        "plan",
        _plan,
        "size of the grid, blocks and estimated cost of a sweep, without running it",
        "sweeper plan frames --space diffranet",
    )
    _add_sweep_options(parser)


def _plan(args: argparse.Namespace) -> int:
    from sweeper.plan import plan

    print(plan(_spec(args)))
    return EXIT_DONE


def _add_run(commands: Any) -> None:
    parser = command(
        commands,
        "run",
        _run,
        "search for the best pipeline; run the same command again to go on",
        "sweeper run frames --space quick --trials 60 --out first-run",
    )
    _add_sweep_options(parser)
    parser.add_argument("--out", type=path, required=True, metavar="RUN", help="run folder")
    parser.add_argument(
        "--top", type=count, default=10, metavar="N", help="rows of the leaderboard to show (10)"
    )
    parser.add_argument(
        "--dashboard", action="store_true", help="start Ray's dashboard and print its address"
    )


def _run(args: argparse.Namespace) -> int:
    from sweeper.dataset import BadFrames
    from sweeper.engine.progress import Progress
    from sweeper.engine.sweep import run_sweep
    from sweeper.tables import leaderboard_table

    spec = _spec(args)
    progress = Progress()
    try:
        board = run_sweep(spec, args.out, progress, dashboard=args.dashboard)
    except BadFrames as error:
        raise ValueError(_bad_frames(error, args.out)) from None
    finally:
        progress.close()
    print(leaderboard_table(board.head(args.top), spec.metric))
    print(f"\n{progress.summary()}")
    print(f"leaderboard: {args.out / 'leaderboard.csv'}")
    print(f"next: sweeper leaderboard {args.out} --best-per featurizer")
    return EXIT_DONE


def _bad_frames(error: BadFrames, out: Path) -> str:
    """All of a few bad frames; of many the first, and a file in the run folder that lists them all."""
    from sweeper.runfolder import RunFolder, write_frame_list

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
)


def _add_sweep_options(parser: argparse.ArgumentParser) -> None:
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
    for flag, options in _SPEC_OPTIONS:
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
    for flag, text in (
        ("--skip-bad", "leave unreadable frames out instead of refusing to start"),
        ("--allow-outside", "let a manifest point outside its own folder"),
        ("--train-compile", "train networks with torch.compile"),
    ):
        parser.add_argument(flag, action="store_true", default=None, help=text)


def _spec(args: argparse.Namespace) -> Any:
    """The spec that the arguments ask for: from a YAML file, or from DATA and --space."""
    from sweeper.spacefile import with_settings
    from sweeper.spec import SweepSpec, load_spec, parse_duration

    names = {f.name for f in dataclasses.fields(SweepSpec)} - {"data", "space"}
    given = {name: value for name, value in vars(args).items() if name in names and value is not None}
    if args.time_budget is not None:
        given["time_budget_s"] = parse_duration(args.time_budget)
    if args.trial_time_limit is not None:
        given["trial_time_limit_s"] = parse_duration(args.trial_time_limit, "--trial-time-limit")
    if args.data.endswith((".yaml", ".yml")):
        spec = load_spec(Path(args.data))
        spec = dataclasses.replace(spec, **({"space": args.space} if args.space else {}), **given)
    elif args.space is None:
        raise ValueError("--space is required (sweeper list spaces shows what there is)")
    else:
        spec = SweepSpec(data=args.data, space=args.space, **given)
    return dataclasses.replace(spec, space=with_settings(spec.space, args.set)) if args.set else spec


# --------------------------------------------------------------------------- reading a run folder


def _add_status(commands: Any) -> None:
    parser = command(
        commands, "status", _status, "how far a sweep is, and whether it runs", "sweeper status first-run"
    )
    parser.add_argument("run_folder", type=path, metavar="RUN", help="run folder")


def _status(args: argparse.Namespace) -> int:
    from sweeper.status import status

    print(status(args.run_folder))
    return EXIT_DONE


def _add_leaderboard(commands: Any) -> None:
    parser = command(
        commands,
        "leaderboard",
        _leaderboard,
        "the pipelines of a sweep, best first",
        "sweeper leaderboard first-run --best-per featurizer --csv best.csv",
    )
    parser.add_argument("run_folder", type=path, metavar="RUN", help="run folder")
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
    from sweeper.journal import read_journal
    from sweeper.leaderboard import build_leaderboard, select, write_csv
    from sweeper.runfolder import RunFolder
    from sweeper.tables import leaderboard_table

    folder = RunFolder(args.run_folder)
    spec = folder.load_spec()
    board = build_leaderboard(read_journal(folder.journal), metric=spec.metric, folds=folder.folds())
    board = select(board, top=args.top, best_per=args.best_per, pareto=args.pareto, metric=spec.metric)
    print(leaderboard_table(board, spec.metric))
    if args.csv:
        try:
            write_csv(board, args.csv)
        except OSError as error:
            raise ValueError(f"--csv {args.csv}: {error.strerror}") from None
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
    parser.add_argument("run_folder", type=path, metavar="RUN", help="run folder")
    parser.add_argument("--png", type=path, metavar="FILE", help="draw them")
    parser.add_argument("--csv", type=path, metavar="FILE", help="write them, a row an epoch, to a CSV file")
    parser.add_argument("--trial", type=int, metavar="N", help="only the network of this trial")


def _curves(args: argparse.Namespace) -> int:
    from sweeper.curves import curves_table, draw_curves, learning_curves
    from sweeper.journal import read_journal
    from sweeper.runfolder import RunFolder

    folder = RunFolder(args.run_folder)
    folder.load_spec()
    curves = learning_curves(read_journal(folder.journal), args.trial)
    if curves.empty:
        raise ValueError(f"{args.run_folder}: no network here: none was trained for an epoch in this sweep")
    for option, file, write in (
        ("--png", args.png, lambda: draw_curves(curves, args.png)),
        ("--csv", args.csv, lambda: curves.to_csv(args.csv, index=False)),
    ):
        if file is not None:
            try:
                write()
            except OSError as error:
                raise ValueError(f"{option} {file}: {error.strerror or error}") from None
            print(f"{len(curves)} epochs of {curves.fit.nunique()} fits in {file}")
    if args.png is None and args.csv is None:
        print(curves_table(curves))
    return EXIT_DONE


# --------------------------------------------------------------------------- explain


def _add_explain(commands: Any) -> None:
    parser = command(
        commands,
        "explain",
        _explain,
        "where in frames a network saw its class: Grad-CAM pictures and a contact sheet",
        "sweeper explain first-run frames --limit 6 --out explained",
    )
    parser.add_argument(
        "model", type=path, metavar="MODEL", help="model file, or run folder: its best network"
    )
    parser.add_argument(
        "frames",
        type=path,
        nargs="+",
        metavar="FRAMES",
        help="frame files, folders of frames, folders of classes, manifests",
    )
    parser.add_argument("--out", type=path, required=True, metavar="DIR", help="folder for the pictures")
    parser.add_argument("--mask", type=path, metavar="FILE", help="mask file: nonzero pixels are invalid")
    parser.add_argument(
        "--class",
        dest="about",
        metavar="NAME",
        help="evidence for this class (default: the predicted one)",
    )
    parser.add_argument("--limit", type=count, metavar="N", help="most frames of a class (all)")
    parser.add_argument("--trial", type=int, metavar="N", help="of a run folder: not its best trial")
    parser.add_argument(
        "--allow-outside", action="store_true", help="let a manifest point outside its own folder"
    )


def _explain(args: argparse.Namespace) -> int:
    from sweeper.explain import SHEET, TABLE, explain

    explained = explain(
        args.model,
        args.frames,
        args.out,
        mask=args.mask,
        about=args.about,
        limit=args.limit,
        trial=args.trial,
        allow_outside=args.allow_outside,
        on_frame=_counter(),
    )
    print(explained.summary())
    print(f"contact sheet: {args.out / SHEET}")
    print(f"table: {args.out / TABLE}")
    return EXIT_DONE


# --------------------------------------------------------------------------- list


def _add_list(commands: Any) -> None:
    parser = command(
        commands,
        "list",
        _list,
        "what can be searched: names, parameters and legal values",
        "sweeper list featurizers",
    )
    parser.add_argument("what", choices=("featurizers", "reducers", "classifiers", "intensity", "spaces"))


def _list(args: argparse.Namespace) -> int:
    from sweeper.tables import listing

    print(listing(args.what))
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
