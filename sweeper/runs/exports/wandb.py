"""Weights & Biases: one run an entry, under an id that stays the same."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from typing import Any

import msgspec
import wandb

from sweeper.pipeline import digest
from sweeper.runs.exports.entries import Entry, Sent, Status
from sweeper.runs.folder import RunFolder

_INIT_TIMEOUT_S = 20.0


class _Line(msgspec.Struct, frozen=True):
    """A line of the file that says what was sent; of two under one key the last counts."""

    key: str
    sent: Sent


def has_credentials() -> bool:
    """Return whether runs can be sent from here without asking a person for a key."""
    return bool(wandb.setup().settings.mode != "online" or wandb.login(prompt=False, verify=False))


class WandB:
    """Sends entries to Weights & Biases, or keeps them in RUN/logs/wandb for ``wandb sync``.

    Parameters
    ----------
    folder : RunFolder
        Its name names the project, unless ``WANDB_PROJECT`` does.
    sweep : str
        Id of the sweep, with which the ids of its runs begin.
    """

    def __init__(self, folder: RunFolder, sweep: str) -> None:
        settings = wandb.setup().settings
        self._project = os.environ.get("WANDB_PROJECT") or re.sub(r"[/\\#?%:]", "-", folder.name)[:128]
        self._logs, self._sweep = folder.logs, sweep
        self._folder = folder.logs / "wandb"
        self._folder.mkdir(parents=True, exist_ok=True)
        target = digest([settings.mode, settings.base_url, settings.entity, self._project])
        self._record = self._folder / f"sent-{target}.jsonl"
        self._sent = self._read()
        self.place = f"project {self._project} at {settings.base_url}"
        if settings.mode == "offline":
            self.place = f"{self._folder}; send it with: wandb sync {self._folder}/offline-run-*"

    def _read(self) -> dict[str, Sent]:
        sent = {}
        for text in self._record.read_bytes().splitlines() if self._record.exists() else ():
            with suppress(msgspec.DecodeError):  # the process was killed while it wrote
                line = msgspec.json.decode(text, type=_Line)
                sent[line.key] = line.sent
        return sent

    def send(self, entry: Entry) -> None:
        """Send what Weights & Biases does not have yet of an entry.

        Offline the whole entry is written again, in place of what was kept of it before.
        """
        sent = self._sent.get(entry.key)
        news = entry.since(sent)
        if sent is not None and not news:
            return
        id_ = f"{self._sweep}-{entry.key}"
        for old in self._folder.glob(f"*run-*-{id_}"):
            shutil.rmtree(old)
        run = wandb.init(
            project=self._project,
            dir=str(self._logs),  # in which it makes a folder `wandb`
            id=id_,
            name=entry.name,
            config=entry.parameters,
            allow_val_change=True,
            resume="allow",
            reinit="create_new",
            settings=_quiet(),
        )
        try:
            for rung in entry.rungs:
                if rung.step >= run.starting_step:
                    run.log(rung.values, step=rung.step)
            run.summary.update(_summary(entry))
        finally:
            run.finish(exit_code=1 if entry.status == Status.FAILED else 0)
        self._sent[entry.key] = news.sent
        with self._record.open("ab") as file:
            file.write(msgspec.json.encode(_Line(entry.key, news.sent)) + b"\n")


def _quiet() -> wandb.Settings:
    """Return settings of a run that says nothing, asks nothing and looks at nothing but what is logged."""
    return wandb.Settings(
        silent=True,
        console="off",
        disable_git=True,
        save_code=False,
        x_disable_stats=True,
        x_disable_meta=True,
        init_timeout=_INIT_TIMEOUT_S,
    )


def _summary(entry: Entry) -> dict[str, Any]:
    """Return what a table of runs shows."""
    summary: dict[str, Any] = {
        **(entry.rungs[-1].values if entry.rungs else {}),
        "status": entry.status.value,
    }
    if entry.error:
        summary["error"] = entry.error
    if entry.test_accuracy is not None:
        summary["test_accuracy"] = entry.test_accuracy
    return summary
