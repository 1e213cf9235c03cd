"""Running a check, and the assertions that checks are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.api import Axis, Either, Interval, Legal, OneOf
from sweeper.errors import CheckFailedError, InputError, described

Check = Callable[[Any], None]
"""A function ``check_...(plugin)`` that raises :class:`CheckFailedError`; its name says what it checks."""


@dataclass(frozen=True)
class Outcome:
    """The result of one check.

    Attributes
    ----------
    name : str
        What was checked: ``blocks are independent``.
    reason : str
        Why it failed, in one line; empty where it passed.
    """

    name: str
    reason: str


def outcome_of(check: Check, plugin: Any) -> Outcome:
    """Run one check; whatever a plugin raises is a failure."""
    name = check.__name__.removeprefix("check_").replace("_", " ")
    try:
        check(plugin)
    except InputError as refused:
        return Outcome(name, " ".join(str(refused).split()))
    except (Exception, SystemExit) as error:
        return Outcome(name, f"it raised {described(error)}")
    return Outcome(name, "")


# --------------------------------------------------------------------------- assertions


def expect(condition: bool | np.bool_, text: str) -> None:
    """Raise CheckFailedError with `text` unless a condition holds."""
    if not condition:
        raise CheckFailedError(text)


def expect_equal(found: Any, wanted: Any, text: str) -> None:
    """Raise CheckFailedError, with both values, unless they are equal."""
    if found != wanted:
        raise CheckFailedError(f"{text}: expected {wanted!r}, got {found!r}")


def expect_same_rows(found: Sequence[NDArray[Any]], wanted: Sequence[NDArray[Any]], text: str) -> None:
    """Raise CheckFailedError unless two lists of arrays are equal bit for bit, types included."""
    expect(len(found) == len(wanted), f"{text}: {len(wanted)} rows expected, got {len(found)}")
    for position, (a, b) in enumerate(zip(found, wanted, strict=True)):
        expect(a.dtype == b.dtype and a.shape == b.shape, f"{text}: row {position} has another type or shape")
        expect(np.array_equal(a, b), f"{text}: row {position} differs")


def expect_close(found: NDArray[Any], wanted: NDArray[Any], text: str, *, rtol: float, atol: float) -> None:
    """Raise CheckFailedError, with the largest difference, unless two arrays are close."""
    expect(found.shape == wanted.shape, f"{text}: shapes {found.shape} and {wanted.shape}")
    if not np.allclose(found, wanted, rtol=rtol, atol=atol):
        raise CheckFailedError(f"{text}: they differ by up to {np.abs(found - wanted).max():.3g}")


# --------------------------------------------------------------------------- axes


def values_of(legal: Legal) -> tuple[Any, ...]:
    """Return some legal values: all of a list, both ends and the middle of an interval."""
    if isinstance(legal, OneOf):
        return legal.values
    if isinstance(legal, Interval):
        middle = (legal.low + legal.high) / 2
        return tuple(int(v) if legal.integer else v for v in (legal.low, middle, legal.high))
    if isinstance(legal, Either):
        return tuple(v for option in legal.options for v in values_of(option))
    return ()


def defaults_of(axis: Axis) -> tuple[Any, ...]:
    """Return the default of an axis as single values: several where it takes many."""
    return axis.default if axis.many and isinstance(axis.default, tuple) else (axis.default,)


def default_params(axes: Sequence[Axis]) -> dict[str, Any]:
    """Return the default of each axis."""
    return {axis.name: axis.default for axis in axes}


def expect_sound_axes(owner: str, axes: Sequence[Axis]) -> None:
    """Raise CheckFailedError unless names are unique, defaults legal, and refused values have a reason."""
    names = [axis.name for axis in axes]
    expect(len(set(names)) == len(names), f"axes must have different names, got {', '.join(names)}")
    for axis in axes:
        expect(axis.doc.strip() != "", f"axis {axis.name} needs a doc")
        expect(
            not axis.many or isinstance(axis.default, tuple),
            f"axis {axis.name} takes many values: its default must be a tuple",
        )
        expect(len(defaults_of(axis)) > 0, f"axis {axis.name} needs a default")
        for value in (*defaults_of(axis), *values_of(axis.legal)):
            if value not in axis.refused:
                _expect_legal(owner, axis, value)
        for value, reason in axis.refused.items():
            expect(reason.strip() != "", f"axis {axis.name}: refused value {value!r} needs a reason")
            expect(_is_refused(owner, axis, value), f"axis {axis.name}: {value!r} must be refused")
        unlikely = "no such value"
        expect(_is_refused(owner, axis, unlikely), f"axis {axis.name}: it must not take {unlikely!r}")


def _expect_legal(owner: str, axis: Axis, value: Any) -> None:
    try:
        axis.check(owner, value)
    except InputError as error:
        raise CheckFailedError(f"a default or a legal value is refused: {error}") from None


def _is_refused(owner: str, axis: Axis, value: Any) -> bool:
    try:
        axis.check(owner, value)
    except InputError:
        return True
    return False


def expect_declared(name: str, version: Any, source: Any) -> None:
    """Raise CheckFailedError unless version and source of a plugin are such."""
    expect(
        isinstance(version, int) and not isinstance(version, bool) and version >= 1,
        f"version must be a whole number of at least 1, got {version!r}",
    )
    expect(isinstance(source, str) and source.strip() != "", f"{name} needs a source")


@contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Seed numpy's global generator for a block, and put its state back afterwards."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
