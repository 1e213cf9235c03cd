"""``sweeper sort``: a model at work."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeper.commands.arguments import add_plugins, check_folder_of, command, count, path
from sweeper.commands.export import add_promise, promise_of
from sweeper.errors import EXIT_DONE, EXIT_UNREADABLE, InputError

if TYPE_CHECKING:
    from sweeper.sorter.outline import Outline
    from sweeper.sorter.work import Workers

_TABLE = "sorted.csv"


def add(commands: Any) -> None:
    """Add the verb."""
    parser = command(
        commands,
        "sort",
        _sort,
        "classify frames with a model, and say of each whether its class can be relied on",
        "sweeper sort best.sweeper frames --csv sorted.csv --link-to by-class",
    )
    parser.add_argument("model", type=path, metavar="MODEL", help="file that sweeper export wrote")
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="frame files, stacks, folders, patterns such as 'scan*/*.tif', or CSV or Parquet manifests with "
        "a column path",
    )
    parser.add_argument(
        "--csv",
        type=path,
        default=Path(_TABLE),
        metavar="FILE",
        help="the table, a row a frame, written as frames are sorted; the same command again goes on after "
        "what stands in it (default: %(default)s)",
    )
    parser.add_argument(
        "--parquet", type=path, metavar="FILE", help="write the table as Parquet too, at the end"
    )
    parser.add_argument(
        "--nexus",
        type=path,
        metavar="FILE",
        help="write the table as a NeXus file (NXprocess) too, at the end",
    )
    parser.add_argument("--json", action="store_true", help="print each row as a line of JSON as well")
    parser.add_argument(
        "--link-to", type=path, metavar="DIR", help="link each file in a folder of its class below DIR"
    )
    parser.add_argument("--move", action="store_true", help="with --link-to, move files instead of linking")
    parser.add_argument(
        "--watch", action="store_true", help="go on with what arrives in the folders, until interrupted"
    )
    parser.add_argument(
        "--processes", type=count, default=1, metavar="N", help="processes that sort (default: %(default)s)"
    )
    parser.add_argument(
        "--address", metavar="ADDR", help="sort on a Ray cluster that sees the files, instead of here"
    )
    parser.add_argument(
        "--mask", type=path, metavar="FILE", help="mask of the detector (default: the model's)"
    )
    add_promise(parser)
    add_plugins(parser)


def _sort(args: argparse.Namespace) -> int:
    from sweeper.sorter.files import check_paths, find_units
    from sweeper.sorter.modelfile import load_model, load_outline
    from sweeper.sorter.places import Places
    from sweeper.sorter.sort import Sorter
    from sweeper.sorter.table import Table
    from sweeper.sorter.watch import Watch

    _check(args)
    check_paths(args.paths)
    sorts_here = args.address is None and args.processes == 1
    model: Outline = (load_model if sorts_here else load_outline)(args.model)
    model = model.promising(promise_of(args, model.promise))
    mask = None if args.mask is None else _mask(args.mask)
    units = find_units([] if args.watch else args.paths, mask, model.reading)
    places = None if args.link_to is None else Places(args.link_to, move=args.move)
    table = Table(args.csv, model)
    try:
        watch = Watch([Path(p) for p in args.paths], mask, model.reading, table.done) if args.watch else None
        with _workers(args, model) as workers:
            sorter = Sorter(model, table, workers, places, json=args.json)
            if watch is not None:
                sorter.watch(watch)
            report = sorter.sort(units)
    finally:
        table.close()
        _write_others(args, model)
    return EXIT_UNREADABLE if report.unreadable else EXIT_DONE


def _check(args: argparse.Namespace) -> None:
    for option in ("csv", "parquet", "nexus"):
        check_folder_of(f"--{option}", getattr(args, option))
    if args.move and args.link_to is None:
        raise InputError("--move needs --link-to DIR, where files are moved")
    if args.address is not None and args.watch:
        raise InputError("--address sorts what is there: --watch runs on one machine")


def _mask(file: Path) -> str:
    from sweeper.data.masks import load_mask

    load_mask(file)
    return str(file.absolute())


@contextmanager
def _workers(args: argparse.Namespace, model: Outline) -> Iterator[Workers]:
    """Give what sorts: this process, several, or a cluster."""
    from sweeper.sorter.model import Model
    from sweeper.sorter.work import Here, Processes

    if args.address is not None:
        from sweeper.engine.sorting import Cluster

        samples = [str(Path(text).absolute()) for text in args.paths if Path(text).exists()]
        with Cluster(args.address, args.model, model.promise, samples) as cluster:
            yield cluster
    elif isinstance(model, Model):
        with Here(model) as here:
            yield here
    else:
        with Processes(args.model, model.promise, args.processes) as processes:
            yield processes


def _write_others(args: argparse.Namespace, model: Outline) -> None:
    from sweeper.sorter.table import write_nexus, write_parquet

    if args.parquet is not None:
        write_parquet(args.csv, args.parquet)
    if args.nexus is not None:
        write_nexus(args.csv, args.nexus, model)
