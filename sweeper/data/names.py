"""Names that people take for one: the same number or word, written in another way."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from sweeper.data.listing import some_of

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def alike_note(what: str, names: Sequence[str]) -> str | None:
    """Return a line on names that may be meant to be one, such as ``1`` and ``1.0``; None without any.

    Parameters
    ----------
    what : str
        What they name, in the plural: ``labels``.
    names : sequence of str
        Distinct.
    """
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(_meant(name), []).append(name)
    found = [group for group in alike.values() if len(group) > 1]
    if not found:
        return None
    said = [f"{' and '.join(map(_shown, group))} ({_difference(group)})" for group in found]
    return f"{what} that may be meant to be one are told apart: {some_of(said)}"


def _meant(name: str) -> str:
    """Return what is the same for names that are probably meant to be one."""
    if _NUMBER.fullmatch(name):
        return repr(float(name))
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "".join(character for character in folded if not _is_blank(character))


def _is_blank(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) in ("Cf", "Cc", "Zs")


def _shown(name: str) -> str:
    """Return a name so that two of the same look differ."""
    plain = unicodedata.normalize("NFC", name) == name and name.isprintable()
    return repr(name) if plain else ascii(name)


def _difference(group: Sequence[str]) -> str:
    if all(_NUMBER.fullmatch(name) for name in group):
        return "the same number"
    if len({unicodedata.normalize("NFC", name) for name in group}) == 1:
        return "the same letters in two Unicode forms"
    if len({name.casefold() for name in group}) == 1:
        return "they differ in case alone"
    return "they differ in white space or case alone"
