"""The journal: whole lines or none, whatever happens while it is written, and of one format."""

from __future__ import annotations

import importlib.metadata
import math
import os
import shutil
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper.cli import main
from sweeper.errors import InputError, JournalError
from sweeper.runs.journal import Journal, read_journal
from sweeper.runs.records import FORMAT, Evaluation, Header, Record, Trial, decode, encode
from tests.conftest import full_disk
from tests.runs.made_records import (
    made_epoch,
    made_evaluation,
    made_failure,
    made_fit,
    made_pipeline,
    made_score,
    write_journal,
)

PIPELINE = made_pipeline()
OLD_LINE = b'{"kind":"trial","trial":0,"pipeline":{"featurizer":"glcm","classifier":"rf"}}\n'
"""How a journal of Sweeper 0.1.0 begins."""


def evaluation(key: str, text: str = "") -> Evaluation:
    return made_evaluation(PIPELINE, outcome=made_failure(text), key=key)


def records(path: Path) -> list[Record]:
    return [record for _, record in read_journal(path)]


def keys(path: Path) -> list[str]:
    return [record.key for record in records(path) if isinstance(record, Evaluation)]


def test_what_is_appended_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    first, trial = made_evaluation(PIPELINE, key="a"), Trial.of(0, PIPELINE)
    fit = made_fit("lenet", {"size": 32})
    write_journal(path, [first, trial, fit, made_epoch(fit, 1)])
    again = Journal(path)
    assert again.get("a") == first
    assert again.get("b") is None
    assert again.trial(0) == trial
    assert again.trial(1) is None
    assert again.has_training(fit) and again.has_training(made_epoch(fit, 1, loss=9.0))
    assert not again.has_training(made_epoch(fit, 2))
    assert not again.has_training(made_fit("lenet", {"size": 48}))
    assert len(again) == 1


def test_the_places_that_are_read_are_those_of_the_lines(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    write_journal(path, [evaluation(key, key * 100) for key in "abc"])
    whole = path.read_bytes()
    for place, record in read_journal(path):
        assert decode(whole[place:].splitlines()[0]) == record


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(1, 40))
def test_a_torn_last_line_is_cut_off(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("torn") / "journal.jsonl"
    write_journal(path, [evaluation(f"key{i}", "x" * 30) for i in range(3)])
    os.truncate(path, path.stat().st_size - cut)
    again = Journal(path)
    assert len(again) == 2
    again.append(evaluation("key2", "again"))
    again.close()
    assert keys(path) == ["key0", "key1", "key2"]


def test_an_unreadable_line_is_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    write_journal(path, [evaluation("a")])
    path.write_bytes(path.read_bytes() + b'{"kind": "evalu\x00\xff\n' + encode(evaluation("b")))
    again = Journal(path)
    assert again.unreadable_lines == 1
    assert again.get("a") and again.get("b")
    assert keys(path) == ["a", "b"]


def test_a_full_disk_takes_nothing_away(tmp_path: Path) -> None:
    """A write fails half way."""
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    written: list[str] = []
    with full_disk(2000), pytest.raises(JournalError, match="nothing recorded is lost") as failed:
        while len(written) < 100:
            journal.append(evaluation(f"{len(written)}", "x" * 100))
            written.append(f"{len(written)}")
    assert str(failed.value).startswith(f"{path}: File too large")
    assert written
    assert path.stat().st_size < 2000
    journal.append(evaluation("after"))
    assert keys(path) == [*written, "after"]


def test_two_processes_cannot_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    with pytest.raises(InputError, match="another sweep is running"):
        Journal(path, lock_timeout_s=0.2)
    journal.close()
    Journal(path, lock_timeout_s=0.2).close()


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_lacks_never_reach_the_file(tmp_path: Path, number: float) -> None:
    """A metric that is NaN would be read as one that is not defined, any other number not at all."""
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    fit = made_fit("lenet", {"size": 32})
    before = path.read_bytes()
    for record in (
        made_evaluation(PIPELINE, outcome=number),
        made_evaluation(PIPELINE, outcome=made_score(fit_s=number)),
        made_evaluation(PIPELINE, featurize_ms_per_frame=number),
        made_fit("lenet", {"learning_rate": number}, key="a"),
        made_epoch(fit, 1, loss=number),
        made_epoch(fit, 1, held_out_loss=number),
    ):
        with pytest.raises(AssertionError, match="cannot be read back"):
            journal.append(record)
    with pytest.raises(ValueError, match="not JSON compliant"):
        Trial.of(0, made_pipeline(classifier_params={"C": number}))
    assert path.read_bytes() == before
    journal.append(evaluation("a"))
    assert keys(path) == ["a"]


@pytest.mark.parametrize("length", [0, 4095, 4096, 4097, 20_000])
def test_a_line_of_any_length_is_read_again(tmp_path: Path, length: int) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    written = [evaluation(key, key * length) for key in "abc"]
    for record in written:
        journal.append(record)
    assert [journal.get(key) for key in "abc"] == written
    assert "b" in journal and "d" not in journal


def test_the_first_of_two_records_under_one_key_counts(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    pipelines = [made_pipeline(classifier) for classifier in ("rf", "svm")]
    first, second = (made_evaluation(of, outcome=0.1 + i, key="a") for i, of in enumerate(pipelines))
    write_journal(path, [first, Trial.of(7, pipelines[0]), second, Trial.of(7, pipelines[1])])
    again = Journal(path)
    assert again.get("a") == first
    assert again.trial(7) == Trial.of(7, pipelines[0])
    assert len(again) == 1


def test_a_journal_that_is_changed_while_it_is_open_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append(evaluation("a"))
    journal.append(evaluation("b"))
    whole = path.read_bytes()
    os.truncate(path, len(whole) - 2)
    with pytest.raises(JournalError, match="was cut while it was open"):
        journal.get("b")
    path.write_bytes(whole.replace(b"evaluation", b"evalu\x00tion"))
    with pytest.raises(JournalError, match="was changed while it was open"):
        journal.get("a")


def test_an_open_journal_keeps_places_and_not_records(tmp_path: Path) -> None:
    path, count = tmp_path / "journal.jsonl", 2000
    confusion = [list(range(1000, 1200))]
    of_all = [
        made_evaluation(PIPELINE, outcome=made_score(confusion=confusion), key=f"key{i}")
        for i in range(count)
    ]
    write_journal(path, of_all)
    tracemalloc.start()
    again = Journal(path)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(again) == count
    assert held < 400 * count
    assert again.get("key1999") == of_all[-1]


# --------------------------------------------------------------------------- the format


def test_a_journal_begins_with_its_format(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    for _ in range(2):  # the second time it is there
        Journal(path).close()
        assert path.read_bytes() == encode(Header(FORMAT, importlib.metadata.version("sweeper")))
    assert records(path) == []


@pytest.mark.parametrize("left", [0, 1, 20])
def test_a_first_line_that_was_never_finished_is_written_again(tmp_path: Path, left: int) -> None:
    path = tmp_path / "journal.jsonl"
    Journal(path).close()
    whole = path.read_bytes()
    path.write_bytes(whole[:left])
    assert records(path) == []
    Journal(path).close()
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("first", "by"),
    [
        (OLD_LINE, "Sweeper 0.1.0 or its first line is damaged"),
        (b'{"kind":"journal","format":1\x00\n', "Sweeper 0.1.0 or its first line is damaged"),
        (encode(Header(FORMAT + 1, "9.8.7")), "Sweeper 9.8.7"),
    ],
)
def test_a_journal_of_another_format_is_refused_and_left_as_it_is(
    tmp_path: Path, first: bytes, by: str
) -> None:
    path = tmp_path / "journal.jsonl"
    text = first + encode(evaluation("a")) + b'{"kind":"evalu'
    path.write_bytes(text)
    message = f"{path}: must be a journal of format {FORMAT}, this one was written by {by};"
    for use in (Journal, lambda path: list(read_journal(path))):
        with pytest.raises(InputError) as refused:
            use(path)
        assert str(refused.value).startswith(message)
    assert path.read_bytes() == text
    with pytest.raises(InputError):  # nobody holds the lock
        Journal(path, lock_timeout_s=0)


@pytest.mark.parametrize("command", ["run", "status", "leaderboard", "curves", "report", "similar"])
def test_a_run_folder_of_an_old_version_is_refused_on_the_command_line(
    command: str, tmp_path: Path, textures: Path, tiny_space: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same command again would resume it: that must not write into it either."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "sweep.yaml").write_text(f"data: {textures}\nspace: {tiny_space}\ntrials: 2\n")
    (run / "journal.jsonl").write_bytes(OLD_LINE)
    before = shutil.copytree(run, tmp_path / "before")
    arguments = {"run": [run / "sweep.yaml", "--out", run], "similar": [run, "--precision"]}
    assert main([command, *map(str, arguments.get(command, [run]))]) == 2
    said = capsys.readouterr()
    (line,) = said.err.strip().splitlines()
    assert said.out == ""
    assert line.startswith(f"sweeper: {run / 'journal.jsonl'}: must be a journal of format {FORMAT}")
    assert {p.name: p.read_bytes() for p in run.iterdir()} == {
        p.name: p.read_bytes() for p in before.iterdir()
    }
