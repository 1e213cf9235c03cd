"""A folder for each class, with links to the frames that were sorted into it, or the frames themselves."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from sweeper.data.formats import split_location
from sweeper.errors import InputError
from sweeper.sorter.files import is_stack
from sweeper.sorter.outline import STRANGER, UNREADABLE, UNSURE

_ODD = re.compile(r"[^\w.+=@, -]")


class Places:
    """Folders of classes.

    A frame that is not accepted goes to ``unsure``, ``stranger`` or ``unreadable``. A stack is linked in the
    folder of each class that some frame of it has, and never moved.

    Parameters
    ----------
    folder : Path
        Made where it is not there.
    move : bool
        Move files, instead of linking to them.

    Raises
    ------
    InputError
        The folder cannot be made.
    """

    def __init__(self, folder: Path, *, move: bool = False) -> None:
        self._folder, self._move = folder, move
        self._put: set[tuple[str, str]] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder}: cannot be made ({error.strerror})") from None

    def put(self, files: Iterable[tuple[str, Mapping[str, object]]]) -> None:
        """Put files, each with a row of the table, where they belong; those that are there already stay.

        Raises
        ------
        OSError
            A link cannot be made, or a file not moved; the message names it.
        """
        for path, row in files:
            place = _place(row)
            if (path, place) not in self._put:
                self._put.add((path, place))
                self._one(split_location(path)[0], self._folder / place)

    def _one(self, path: Path, folder: Path) -> None:
        moves = self._move and not is_stack(path)
        if not os.path.lexists(path):  # moved by a process that was killed before it could say so, or gone
            return
        folder.mkdir(exist_ok=True)
        for number in range(1, 10_000):
            name = path.name if number == 1 else f"{path.stem}-{number}{path.suffix}"
            target = folder / name
            if target.is_symlink() and not moves and target.readlink() == path:
                return
            if os.path.lexists(target):  # another folder's file of the same name
                continue
            if moves:
                shutil.move(path, target)
            else:
                target.symlink_to(path)
            return


def _place(row: Mapping[str, object]) -> str:
    reason = str(row["reason"]).partition(":")[0]
    if reason in (STRANGER, UNREADABLE, UNSURE):
        return reason
    return _ODD.sub("_", str(row["class"])) or "_"
