"""``sweeper simulate``: labelled frames from physics."""

from __future__ import annotations

import argparse
from typing import Any

from sweeper.arguments import EXIT_DONE, command, counter, path


def add(commands: Any) -> None:
    """Add the verb."""
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
        manifest = write_diffraction(args.directory, args.per_class, args.size, args.seed, on_frame=counter())
    except OSError as error:
        if args.directory.is_dir():  # a full disk: the same command goes on
            raise
        raise ValueError(f"{args.directory}: not writable ({error.strerror})") from None
    print(f"{5 * args.per_class} frames of {args.size} x {args.size} in {args.directory}")
    print(f"drawn parameters: {manifest}")
    return EXIT_DONE
