"""``sweeper similar``: the nearest frames of a run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeper.commands.arguments import add_plugins, add_run_folder, check_folder_of, command, count, path
from sweeper.errors import EXIT_DONE, InputError

if TYPE_CHECKING:
    from sweeper.runs.place import Place
    from sweeper.similar import Found, Search

_PICTURE = "similar.png"


def add(commands: Any) -> None:
    """Add the verb."""
    parser = command(
        commands,
        "similar",
        _similar,
        "find the frames of a run that are nearest to a given one in the features of a representation",
        "sweeper similar first-run frames/crystal/00007.tif --out nearest",
    )
    add_run_folder(parser)
    parser.add_argument(
        "frame",
        nargs="?",
        metavar="FRAME",
        help="a frame of the run, or any other file; FILE#3 is the fourth frame of a stack",
    )
    parser.add_argument(
        "--top", type=count, default=10, metavar="N", help="how many frames to find (default: %(default)s)"
    )
    parser.add_argument(
        "--rank",
        type=count,
        metavar="N",
        help="take the representation of this row of the leaderboard (default: the best)",
    )
    parser.add_argument(
        "--representation",
        metavar="TEXT",
        help="take this representation, written as on the leaderboard, or in words of it: 'lenet balanced'",
    )
    parser.add_argument(
        "--other-groups", action="store_true", help="leave out frames of the same group as FRAME"
    )
    parser.add_argument(
        "--mask",
        type=path,
        metavar="FILE",
        help="mask of a FRAME that is not one of the run's (default: the run's mask)",
    )
    parser.add_argument("--csv", type=path, metavar="FILE", help="write the table to a CSV file as well")
    parser.add_argument(
        "--out", type=path, metavar="DIR", help=f"draw the frames that were found, as DIR/{_PICTURE}"
    )
    parser.add_argument(
        "--precision",
        action="store_true",
        help="search with every frame in turn, and show for each class the share of the N nearest that are "
        "of the same class",
    )
    add_plugins(parser)


def _similar(args: argparse.Namespace) -> int:
    if args.frame is None and not args.precision:
        raise InputError("FRAME must be given, or --precision (see sweeper similar --help)")
    if args.frame is None and (args.csv or args.out):
        raise InputError(f"--{'csv' if args.csv else 'out'} is for the frames found: FRAME must be given")
    if args.out is not None and args.out.exists() and not args.out.is_dir():
        raise InputError(f"--out {args.out}: must be a folder")
    check_folder_of("--csv", args.csv)
    from sweeper.runs.place import reading

    with reading(args.run_folder, _needed(args.run_folder, args)) as folder:
        _search(folder, args)
    return EXIT_DONE


def _needed(run: Place, args: argparse.Namespace) -> list[str]:
    """Return the files of a run at a URL that are read beside its spec and journal."""
    if isinstance(run, Path):
        return []
    from sweeper.runs.folder import RunFolder
    from sweeper.runs.place import reading
    from sweeper.similar.choice import choose
    from sweeper.similar.features import needed_files

    with reading(run) as local:
        folder = RunFolder(local)
        return needed_files(folder, choose(folder, args.rank, args.representation).pipeline)


def _search(folder: Path, args: argparse.Namespace) -> None:
    from sweeper.similar import Search

    keep = isinstance(args.run_folder, Path)
    search = Search(folder, rank=args.rank, representation=args.representation, keep=keep)
    if args.out is not None and args.out.resolve().is_relative_to(search.frames_folder):
        raise InputError(f"--out {args.out}: must not be inside the folder of frames {search.frames_folder}")
    found = None
    if args.frame is not None:
        found = search.find(args.frame, args.top, other_groups=args.other_groups, mask=args.mask)
    print(f"representation: {search.about}")
    if found is not None:
        _show(found, search, args)
    if args.precision:
        from sweeper.similar.tables import precision_table

        print(f"{precision_table(search.precision(args.top))}")


def _show(found: Found, search: Search, args: argparse.Namespace) -> None:
    from sweeper.similar.tables import similar_table

    known = f", class {found.label}" if found.label is not None else ", none of the run's frames"
    print(f"frame: {found.query.name}{known}")
    print(similar_table(found))
    if args.csv:
        import pandas as pd

        table = pd.DataFrame([vars(frame) for frame in found.frames])
        try:
            table.drop(columns="row", errors="ignore").to_csv(args.csv, index=False)
        except OSError as error:
            raise InputError(f"--csv {args.csv}: {error.strerror or error}") from None
        print(f"\n{len(table)} rows in {args.csv}")
    if args.out:
        try:
            args.out.mkdir(parents=True, exist_ok=True)
            search.draw(args.out / _PICTURE, [found])
        except OSError as error:
            raise InputError(f"--out {args.out}: {error.strerror or error}") from None
        print(f"\npicture: {args.out / _PICTURE}")
