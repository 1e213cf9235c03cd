"""``sweeper explain``: what a network saw in frames."""

from __future__ import annotations

import argparse
from typing import Any

from sweeper.commands.arguments import add_plugins, command, count, counter, path
from sweeper.errors import EXIT_DONE


def add(commands: Any) -> None:
    """Add the verb."""
    parser = command(
        commands,
        "explain",
        _explain,
        "show where in frames a network saw its class: Grad-CAM pictures and a contact sheet",
        "sweeper explain first-run frames --limit 6 --out explained",
    )
    parser.add_argument(
        "model", type=path, metavar="MODEL", help="model file, or a run folder, whose best network is taken"
    )
    parser.add_argument(
        "frames",
        type=path,
        nargs="+",
        metavar="FRAMES",
        help="frame files, folders of frames, folders of classes or manifests",
    )
    parser.add_argument("--out", type=path, required=True, metavar="DIR", help="folder for the pictures")
    parser.add_argument(
        "--mask",
        type=path,
        metavar="FILE",
        help="mask of the detector: pixels that are not zero in it are invalid (default: none)",
    )
    parser.add_argument(
        "--dataset", metavar="PATH", help="path of the dataset in HDF5 files that holds the frames"
    )
    parser.add_argument(
        "--scan-grid",
        action="store_true",
        help="let all axes of an HDF5 dataset but the last two count frames, not panels",
    )
    parser.add_argument(
        "--ignore-file-mask",
        action="store_true",
        help="take pixels for valid that a file's own mask or limits call invalid",
    )
    parser.add_argument(
        "--class",
        dest="about",
        metavar="NAME",
        help="show the evidence for this class (default: the predicted one)",
    )
    parser.add_argument("--limit", type=count, metavar="N", help="most frames of each class (default: all)")
    parser.add_argument(
        "--trial",
        type=int,
        metavar="N",
        help="of a run folder, take the network of this trial (default: the best)",
    )
    parser.add_argument(
        "--allow-outside", action="store_true", help="let a manifest name files outside its own folder"
    )
    add_plugins(parser)


def _explain(args: argparse.Namespace) -> int:
    from sweeper.data.format import Reading
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
        reading=Reading(args.dataset, args.scan_grid, not args.ignore_file_mask),
        on_frame=counter(),
    )
    print(explained.summary())
    print(f"contact sheet: {args.out / SHEET}")
    print(f"table: {args.out / TABLE}")
    return EXIT_DONE
