"""``sweeper simulate``: labelled frames from physics."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeper.commands.arguments import command, count, counter, path
from sweeper.errors import EXIT_DONE, InputError
from sweeper.simulate import simulators
from sweeper.simulate.simulators import KINDS

if TYPE_CHECKING:
    from sweeper.simulate.sets import Shard, Simulation

_FEWEST_CPUS = 2  # that make processes of their own worth it
_LINE_S = 30.0


def add(commands: Any) -> None:
    """Add the verb."""
    simulate = commands.add_parser(
        "simulate",
        help="make labelled frames from physics",
        description="Make labelled frames from physics.",
        epilog=f"Example: {KINDS['diffraction'].example}",
    )
    kinds = simulate.add_subparsers(metavar="KIND", required=True)
    for name, kind in KINDS.items():
        parser = command(kinds, name, partial(_simulate, name), kind.help, kind.example)
        _add_options(parser)
        for flag, settings in kind.options:
            parser.add_argument(flag, **settings)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=path, metavar="DIR", help="folder that the frames are written to")
    parser.add_argument(
        "--per-class",
        default="60",
        metavar="N",
        help="frames of each class, or of each that is named: weak=40,good=20 (default: %(default)s)",
    )
    parser.add_argument(
        "--size",
        type=int,
        default=256,
        metavar="PX",
        help="width and height in pixels (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="SEED",
        help="seed of all that is random: the same seed gives the same frames (default: %(default)s)",
    )
    parser.add_argument(
        "--format",
        default="tiff",
        metavar="FORMAT",
        help="tiff, one file a frame, or hdf5, many frames a file (default: %(default)s)",
    )
    parser.add_argument(
        "--split",
        metavar="A/B/C",
        help="shares of train, val and test, such as DiffraNet's 40/9.6/50.4 (default: no split)",
    )
    parser.add_argument(
        "--cpus", type=count, metavar="N", help="CPU cores to use for a large set (default: all)"
    )
    parser.add_argument(
        "--address",
        metavar="ADDR",
        help="Ray cluster to join (default: start Ray on this machine where that pays)",
    )


def _simulate(kind: str, args: argparse.Namespace) -> int:
    from sweeper.simulate import sets
    from sweeper.simulate.writing import write_set

    own = [flag.removeprefix("--").replace("-", "_") for flag, _ in KINDS[kind].options]
    wanted = sets.simulation(
        kind,
        sets.parse_counts(args.per_class),
        args.size,
        args.seed,
        format_=args.format,
        shares=None if args.split is None else sets.parse_shares(args.split),
        **{name: getattr(args, name) for name in own},
    )
    settings: dict[str, Any] = {} if args.address is None else {"worth_s": 0.0}
    try:
        manifest = write_set(args.directory, wanted, counter() or _lines(), _elsewhere(args), **settings)
    except OSError as error:
        if args.directory.is_dir():  # a full disk, say: the same command resumes
            raise
        raise InputError(f"{args.directory}: not writable ({error.strerror})") from None
    square = wanted.options.get("shape", "square") == "square"
    size = f"{args.size} x {args.size}" if square else f"{args.size} px along the longer edge"
    print(f"{wanted.frames} frames of {size} in {args.directory}")
    print(f"drawn parameters: {manifest}")
    if simulators.load(kind).group_of is not None:
        print(f"with groups, which stay on one side of every fold: sweeper run {manifest}")
    return EXIT_DONE


def _lines() -> Callable[[int, int], None]:
    """Return what says in a line now and then, where there is no terminal, how many frames are done."""
    last = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal last
        if done < total and time.monotonic() - last > _LINE_S:
            last = time.monotonic()
            print(f"{done} of {total} frames", file=sys.stderr, flush=True)

    return show


def _elsewhere(
    args: argparse.Namespace,
) -> Callable[[Path, Simulation, Sequence[Shard], Callable[[Shard], None]], None] | None:
    """Return what writes the rest of a large set on many cores; None where there is one core."""
    cpus = args.cpus or len(os.sched_getaffinity(0))
    if args.address is None and cpus < _FEWEST_CPUS:
        return None

    def write(
        directory: Path, wanted: Simulation, shards: Sequence[Shard], on_shard: Callable[[Shard], None]
    ) -> None:
        from sweeper.engine.simulation import write_shards

        write_shards(directory, wanted, shards, on_shard, cpus=args.cpus, address=args.address)

    return write
