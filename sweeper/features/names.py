"""Names of columns and blocks: they parse back to parameters.

``glcm.contrast[distance=2,angle_deg=45]`` is column ``contrast`` of the block of ``glcm`` at distance 2
and angle 45°; ``lbp[points=8,radius=2]`` is a block. Values are written as whole numbers, numbers with
point or exponent, ``true``, ``false``, ``none``, plain words, and JSON strings for all other text.
"""

from __future__ import annotations

import json
import math
import re
from numbers import Integral, Real
from typing import Any

from sweeper.api import Params

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_FEATURIZER = rf"{_NAME}(?::[A-Za-z0-9_.-]+?)?"  # family:variant; the last dot is that of the column
_HEAD = re.compile(rf"({_FEATURIZER})(?:\.({_NAME}))?(?:\[(.+)\])?", re.DOTALL)
_PAIR = re.compile(rf'({_NAME})=("(?:[^"\\]|\\.)*"|[^",\[\]\s]+)(,|$)', re.ASCII)
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_KEYWORDS: dict[str, bool | None] = {"true": True, "false": False, "none": None}


def column_name(featurizer: str, column: str, params: Params) -> str:
    """Name of one column of one block, such as ``glcm.contrast[distance=2,angle_deg=45]``.

    Parameters
    ----------
    featurizer, column : str
        Letters, digits and underscores, not starting with a digit; a featurizer also with a colon and the
        variant of a family, which may have dots and dashes.
    params : mapping
        Axis name to single value (int, finite float, str, bool or None), in the featurizer's axis order,
        which is kept. No bracket when there are none.

    Raises
    ------
    ValueError
        A name or a value that cannot be written.
    """
    return f"{_checked_featurizer(featurizer)}.{_checked(column, 'column')}{_bracket(params)}"


def block_name(featurizer: str, params: Params) -> str:
    """Name of one block, such as ``lbp[points=8,radius=2]``; `params` as in :func:`column_name`."""
    return f"{_checked_featurizer(featurizer)}{_bracket(params)}"


def parse_column(name: str) -> tuple[str, str, dict[str, Any]]:
    """Inverse of :func:`column_name`: featurizer, column and parameters, in their order.

    Raises
    ------
    ValueError
        `name` is not what :func:`column_name` writes.
    """
    head = _HEAD.fullmatch(name)
    if head is None or head[2] is None:
        raise _not_a_column(name, "must look like featurizer.column[axis=value]")
    params: dict[str, Any] = {}
    rest, more = head[3] or "", bool(head[3])
    while more:
        pair = _PAIR.match(rest)
        if pair is None:
            raise _not_a_column(name, f"expected axis=value at {rest!r}")
        if pair[1] in params:
            raise _not_a_column(name, f"{pair[1]} appears twice")
        params[pair[1]] = _parse_value(pair[2], name)
        rest, more = rest[pair.end() :], pair[3] == ","
    if column_name(head[1], head[2], params) != name:
        raise _not_a_column(name, f"is written {column_name(head[1], head[2], params)}")
    return head[1], head[2], params


def _not_a_column(name: str, why: str) -> ValueError:
    return ValueError(f"column name {name!r}: {why}")


def _checked(name: str, what: str) -> str:
    if not re.fullmatch(_NAME, name):
        raise ValueError(
            f"{what} name must be letters, digits and underscores, not starting with a digit, got {name!r}"
        )
    return name


def _checked_featurizer(name: str) -> str:
    if not re.fullmatch(_FEATURIZER, name):
        raise ValueError(
            "featurizer name must be letters, digits and underscores, not starting with a digit, or "
            f"family:variant, got {name!r}"
        )
    return name


def _bracket(params: Params) -> str:
    pairs = [f"{_checked(axis, 'axis')}={_written(axis, value)}" for axis, value in params.items()]
    return f"[{','.join(pairs)}]" if pairs else ""


def _written(axis: str, value: object) -> str:
    """One value as text."""
    for keyword, meaning in _KEYWORDS.items():
        if value is meaning:
            return keyword
    if isinstance(value, str):
        plain = _WORD.fullmatch(value) and value not in _KEYWORDS
        return value if plain else json.dumps(value)
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, Real) and math.isfinite(value):
        return repr(float(value))
    raise ValueError(f"{axis} must be a finite number, text, true, false or none, got {value!r}")


def _parse_value(text: str, name: str) -> bool | int | float | str | None:
    """Value of one text."""
    if text in _KEYWORDS:
        return _KEYWORDS[text]
    if text.startswith('"'):
        try:
            return str(json.loads(text))
        except json.JSONDecodeError as error:
            raise _not_a_column(name, f"{text} is not a JSON string") from error
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    if _WORD.fullmatch(text):
        return text
    raise _not_a_column(name, f"{text!r} is no value")
