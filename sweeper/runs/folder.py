"""The run folder: where everything a sweep leaves behind is, and which sweep it belongs to."""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeper.atomic import write_text
from sweeper.errors import InputError
from sweeper.runs import contents
from sweeper.runs.journal import check_format, is_open
from sweeper.runs.lock import locked
from sweeper.runs.results import Results
from sweeper.runs.spec import SweepSpec, read_spec
from sweeper.yamlfile import to_yaml

_LOCK_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class RunFolder:
    """Paths in a run folder."""

    path: Path

    @property
    def spec(self) -> Path:
        return self.path / contents.SPEC

    @property
    def environment(self) -> Path:
        return self.path / contents.ENVIRONMENT

    @property
    def journal(self) -> Path:
        return self.path / contents.JOURNAL

    @property
    def features(self) -> Path:
        return self.path / contents.FEATURES

    @property
    def networks(self) -> Path:
        """Checkpoints, and models of the best networks."""
        return self.path / contents.NETWORKS

    @property
    def best_networks(self) -> Path:
        """Return the list of the model files of the best trial of each network."""
        return self.path / contents.BEST_NETWORKS

    @property
    def similar(self) -> Path:
        """Indices of nearest frames."""
        return self.path / contents.SIMILAR

    @property
    def predictions(self) -> Path:
        """Folder of the best pipelines' predictions."""
        return self.path / contents.PREDICTIONS

    @property
    def sessions(self) -> Path:
        """A line for each time that the sweep was run: when, how long, what was computed and what reused."""
        return self.path / contents.SESSIONS

    @property
    def logs(self) -> Path:
        """Folder that ``--log`` and ``sweeper log`` write for other tools."""
        return self.path / contents.LOGS

    @property
    def name(self) -> str:
        """The folder's own name, which names the sweep to other tools."""
        return self.path.resolve().name

    @property
    def frames(self) -> Path:
        return self.path / contents.FRAMES

    @property
    def arrays(self) -> Path:
        """Data sets that were given as arrays, each in a folder of its own."""
        return self.path / contents.ARRAYS

    @property
    def leaderboard(self) -> Path:
        return self.path / contents.LEADERBOARD

    @property
    def ensemble(self) -> Path:
        """The ensemble's records, as long as they are current."""
        return self.path / contents.ENSEMBLE

    @property
    def labels(self) -> Path:
        """File of what more labels would buy, once ``sweeper labels`` was run."""
        return self.path / contents.LABELS

    @property
    def target(self) -> Path:
        """How far the frames of the target are from the training frames."""
        return self.path / contents.TARGET

    @property
    def quarantine(self) -> Path:
        return self.path / contents.QUARANTINE

    @property
    def bad_frames(self) -> Path:
        return self.path / contents.BAD_FRAMES

    def _wait_until_free(self) -> None:
        """A killed driver's workers need a few seconds to let go of the journal."""
        deadline = time.monotonic() + _LOCK_TIMEOUT_S
        while is_open(self.journal):
            if time.monotonic() > deadline:
                raise InputError(f"--out {self.path}: another sweep is running in this folder")
            time.sleep(0.1)

    def folds(self) -> int | None:
        """Number of cross-validation folds of the sweep in this folder; None before it began."""
        folds = self.read_environment().get("folds")
        return int(folds) if folds else None

    def read_environment(self) -> Mapping[str, Any]:
        """Return versions, hardware and what the data set was; empty before the frames were checked."""
        try:
            found = json.loads(self.environment.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _before_search(self) -> tuple[Path, ...]:
        """Return the files that may be left of a sweep that was refused before its search began."""
        return self.spec, self.bad_frames, self.environment, self.frames, self.quarantine, self.arrays

    @contextmanager
    def held(self, spec: SweepSpec) -> Iterator[None]:
        """Make the folder and keep other sweeps out of it.

        Raises
        ------
        InputError
            The folder is not writable, or another process holds it.
        """
        _check_writable("--out", self.path, spec)
        with locked(self.path):
            yield

    def check(self, spec: SweepSpec) -> None:
        """Check that a sweep may run in this folder; nothing is written but the folder itself.

        Raises
        ------
        InputError
            The folder is not writable, is something else's, or belongs to another sweep, or its journal is of
            another format; the message names the setting that differs.
        """
        _check_writable("--out", self.path, spec)
        self._wait_until_free()
        check_format(self.journal)
        if self.spec.exists() and self.journal.exists():
            difference = spec.difference(self.load_spec())
            if difference is not None:
                raise InputError(
                    f"--out {self.path}: holds another sweep ({difference}); choose another "
                    "folder, or pass --features to share its blocks"
                )
        elif any(not p.name.startswith(".") and p not in self._before_search() for p in self.path.iterdir()):
            raise InputError(f"--out {self.path}: is not empty and holds no sweep; choose another folder")
        if spec.features is not None:
            _check_writable("--features", Path(spec.features), spec)

    def claim(self, spec: SweepSpec) -> None:
        """Make the folder this sweep's, or go on with it; InputError as :meth:`check` raises it."""
        self.check(spec)
        self.bad_frames.unlink(missing_ok=True)
        if not self.journal.exists():
            self.environment.unlink(missing_ok=True)
        write_text(self.spec, to_yaml(spec.resolved()))

    def results(self) -> Results:
        """Read the journal; InputError when it is of another format."""
        return Results.read(self.journal)

    def load_spec(self) -> SweepSpec:
        """Return the spec of the sweep in this folder; ValueError when there is none."""
        if not self.spec.exists():
            raise InputError(f"{self.path}: no sweep here ({contents.SPEC} is missing)")
        return read_spec(self.spec)

    def check_dataset(self, digest: str) -> None:
        """ValueError when the frames, labels, groups or splits are not those of the sweep so far."""
        if self.read_environment().get("dataset_digest", digest) != digest:
            raise InputError(
                f"--out {self.path}: the data set changed since this sweep began (frames, labels, groups "
                "or splits); choose another folder, or pass --features to share its blocks"
            )

    def add_session(self, session: dict[str, Any]) -> None:
        """Note one run of the sweep; not worth an error where the disk is full."""
        with suppress(OSError), self.sessions.open("a", encoding="utf-8") as file:
            file.write(json.dumps(session) + "\n")

    def write_environment(self, environment: dict[str, Any]) -> None:
        """Keep versions, hardware and the data set's digest."""
        write_text(self.environment, json.dumps(environment, indent=2) + "\n")


def _check_writable(option: str, path: Path, spec: SweepSpec) -> None:
    """Make a folder; ValueError where files cannot be written in it, or would be taken for frames."""
    for data in (spec.data, *([spec.helping] if spec.helping else [])):
        if Path(data).is_dir() and path.resolve().is_relative_to(Path(data).resolve()):
            raise InputError(f"{option} {path}: must not be inside the data folder {data}")
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".writable.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"{option} {path}: not writable ({error.strerror})") from None


def write_frame_list(path: Path, problems: Iterable[tuple[str, str]]) -> None:
    """Write names of frames, and what is wrong with them, as CSV."""
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        csv.writer(file).writerows([("frame", "reason"), *problems])
