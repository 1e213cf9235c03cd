"""How progress is shown: a live table in a terminal, a block in a notebook, plain lines elsewhere."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

_LINES_INTERVAL_S = 5.0
_NOTEBOOK_INTERVAL_S = 0.5
_LIVE_HZ = 4.0


@dataclass(frozen=True)
class View:
    """The state of a sweep as it is shown.

    Attributes
    ----------
    stage : str
        What is being done.
    phrases : tuple of str
        How far it is, most important first.
    share : float or None
        Part of the stage that is done, 0 to 1; None while nobody can say.
    """

    stage: str
    phrases: tuple[str, ...]
    share: float | None

    @property
    def line(self) -> str:
        """All of it in a line."""
        return f"{self.stage}: " + ", ".join(self.phrases)


class Display(Protocol):
    """Something that shows progress."""

    def show(self, *, force: bool) -> None:
        """Show the present view; unless `force` is set only when it is time."""

    def note(self, text: str) -> None:
        """Show a line that stays."""

    def close(self) -> None:
        """End the display."""


def display_for(stream: TextIO | None, look: Callable[[], View]) -> Display:
    """Return the display that suits where the program runs.

    Parameters
    ----------
    stream : TextIO or None
        Where to show progress; None: in the notebook, or else on standard error.
    look : callable
        Gives the present view.
    """
    if stream is None and _in_notebook():
        return Notebook(look)
    stream = stream or sys.stderr
    if stream is None:  # closed when the process started
        return Nowhere()
    return Terminal(stream, look) if stream.isatty() else Lines(stream, look)


def _in_notebook() -> bool:
    """Whether a kernel of IPython runs this process; its shell in a terminal has none."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


class Nowhere:
    """No display."""

    def show(self, *, force: bool) -> None:
        """Nothing is shown."""

    def note(self, text: str) -> None:
        """Nothing is shown."""

    def close(self) -> None:
        """There is nothing to end."""


class Lines:
    """A line now and then."""

    def __init__(self, stream: TextIO, look: Callable[[], View]) -> None:
        self._stream, self._look = stream, look
        self._shown = 0.0

    def show(self, *, force: bool) -> None:
        now = time.monotonic()
        if force or now - self._shown >= _LINES_INTERVAL_S:
            self._shown = now
            self.note(self._look().line)

    def note(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """There is nothing to end."""


class Terminal:
    """A table that is drawn again by a thread: the clock goes on while Ray starts."""

    def __init__(self, stream: TextIO, look: Callable[[], View]) -> None:
        from rich.console import Console
        from rich.live import Live

        self._look = look
        self._live = Live(
            console=Console(file=stream),
            get_renderable=self._table,
            refresh_per_second=_LIVE_HZ,
            transient=True,
        )
        self._live.start()

    def show(self, *, force: bool) -> None:
        if force:
            self._live.refresh()

    def note(self, text: str) -> None:
        self._live.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._live.stop()

    def _table(self) -> Any:
        from rich.table import Table

        view = self._look()
        table = Table(title=view.stage, title_justify="left", show_header=False, min_width=60)
        for phrase in view.phrases:
            table.add_row(phrase)
        return table


class Notebook:
    """A block of a notebook that is replaced as things change: a bar, a line, and the notes below it."""

    def __init__(self, look: Callable[[], View]) -> None:
        from IPython.display import display

        self._look = look
        self._notes: list[str] = []
        self._open = True
        self._shown = time.monotonic()
        self._handle = display(self._data(), raw=True, display_id=True)

    def show(self, *, force: bool) -> None:
        now = time.monotonic()
        if force or now - self._shown >= _NOTEBOOK_INTERVAL_S:
            self._shown = now
            self._handle.update(self._data(), raw=True)

    def note(self, text: str) -> None:
        self._notes.append(text)
        self.show(force=True)

    def close(self) -> None:
        """Leave the last line and the notes, without the bar."""
        self._open = False
        self.show(force=True)

    def _data(self) -> dict[str, str]:
        """The block as text and as HTML; a bar without a value moves by itself."""
        view = self._look()
        lines = [view.line, *self._notes]
        value = "" if view.share is None else f' value="{view.share:.3f}"'
        bar = f"<progress{value}></progress> " if self._open else ""
        return {"text/plain": "\n".join(lines), "text/html": bar + "<br>".join(map(html.escape, lines))}
