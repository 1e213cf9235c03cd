"""TensorBoard: event files in one folder an entry, written anew by each export."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tensorboardX.proto.api_pb2 import Status as HParamsStatus
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData
from tensorboardX.record_writer import RecordWriter
from tensorboardX.summary import hparams, scalar, text

from sweeper.runs.exports.entries import Entry, News, Sent, Status
from sweeper.runs.folder import RunFolder


class TensorBoard:
    """Writes entries as event files into RUN/logs/tensorboard; what is there is removed first.

    Parameters
    ----------
    folder : RunFolder
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder.logs / "tensorboard"
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        self._sent: dict[str, Sent] = {}
        self.place = f"{self._folder}; look at it with: tensorboard --logdir {self._folder}"

    def send(self, entry: Entry) -> None:
        """Write what is not written yet of an entry into a further file of its folder."""
        folder, sent = self._folder / entry.name.replace(" ", "-"), self._sent.get(entry.key)
        news = entry.since(sent)
        if sent is not None and not news:
            return
        try:
            folder.mkdir(exist_ok=True)
            _write(folder, [*([] if sent else [(0, _description(entry))]), *_summaries(entry, news)])
        except BaseException:
            self._sent.pop(entry.key, None)  # a file may hold a part: all of the entry is written again
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._sent[entry.key] = news.sent


def _description(entry: Entry) -> Any:
    """Return the parameters as TensorBoard's table of hyperparameters reads them.

    The list of all parameters is left out: TensorBoard then makes it from all entries, not from the first.
    """
    _, start, _ = hparams(entry.parameters, {})
    return start


def _summaries(entry: Entry, news: News) -> Iterator[tuple[int, Any]]:
    for rung in news.rungs:
        yield from ((rung.step, scalar(name, value)) for name, value in rung.values.items())
    step = entry.rungs[-1].step if entry.rungs else 0
    if news.test_accuracy is not None:
        yield step, scalar("test_accuracy", news.test_accuracy)
    if news.ended:
        yield step, text("status", entry.status.value)
        if entry.error:
            yield step, text("error", entry.error)
        yield step, _end(failed=entry.status == Status.FAILED)


def _end(*, failed: bool) -> Any:
    """Return how an entry ended as TensorBoard's table of hyperparameters reads it."""
    _, _, end = hparams({}, {})
    if failed:
        plugin = end.value[0].metadata.plugin_data
        data = HParamsPluginData.FromString(plugin.content)
        data.session_end_info.status = HParamsStatus.Value("STATUS_FAILURE")
        plugin.content = data.SerializeToString()
    return end


def _write(folder: Path, summaries: list[tuple[int, Any]]) -> None:
    """Write one event file; TensorBoard reads those of a folder in the order of their names."""
    now = time.time()
    number = sum(1 for _ in folder.iterdir())
    writer = RecordWriter(str(folder / f"events.out.tfevents.{int(now):010}.{number:03}"))
    try:
        writer.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
        for step, summary in summaries:
            writer.write(Event(wall_time=now, step=step, summary=summary).SerializeToString())
    finally:
        writer.close()
