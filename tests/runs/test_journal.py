"""The journal: whole lines or none, whatever happens while it is written."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper.errors import JournalError
from sweeper.runs.journal import Journal, read_journal


def evaluation(key: str, **more: object) -> dict[str, object]:
    return {"kind": "evaluation", "key": key, **more}


def test_what_is_appended_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append(evaluation("a", score=0.5))
    journal.append({"kind": "trial", "trial": 0})
    journal.close()
    again = Journal(path)
    assert again.get("a") == evaluation("a", score=0.5)
    assert again.get("b") is None
    assert again.trial(0) == {"kind": "trial", "trial": 0}
    assert len(again) == 1


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(1, 40))
def test_a_torn_last_line_is_cut_off(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("torn") / "journal.jsonl"
    journal = Journal(path)
    for i in range(3):
        journal.append(evaluation(f"key{i}", text="x" * 30))
    journal.close()
    os.truncate(path, path.stat().st_size - cut)
    again = Journal(path)
    assert len(again) == 2
    again.append(evaluation("key2", text="again"))
    again.close()
    assert [record["key"] for record in read_journal(path)] == ["key0", "key1", "key2"]


def test_an_unreadable_line_is_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append(evaluation("a"))
    journal.close()
    path.write_bytes(path.read_bytes() + b'{"kind": "evalu\x00\xff\n' + b'{"kind":"evaluation","key":"b"}\n')
    again = Journal(path)
    assert again.unreadable_lines == 1
    assert again.get("a") and again.get("b")


def test_a_full_disk_takes_nothing_away(tmp_path: Path) -> None:
    """RLIMIT_FSIZE makes writes fail half way, as a full disk does."""
    path = tmp_path / "journal.jsonl"
    program = f"""
import resource, signal
from pathlib import Path
from sweeper.runs.journal import Journal
from sweeper.errors import JournalError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal(Path({str(path)!r}))
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
for i in range(100):
    try:
        journal.append({{"kind": "evaluation", "key": str(i), "text": "x" * 100}})
    except JournalError as error:
        print(i, error)
        break
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.append({{"kind": "evaluation", "key": "after"}})
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    failed_at, message = done.stdout.split(" ", 1)
    assert str(path) in message
    assert "nothing recorded is lost" in message
    keys = [record["key"] for record in read_journal(path)]
    assert keys == [*map(str, range(int(failed_at))), "after"]


def test_two_processes_cannot_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    with pytest.raises(ValueError, match="another sweep is running"):
        Journal(path, lock_timeout_s=0.2)
    journal.close()
    Journal(path, lock_timeout_s=0.2).close()


def test_values_that_json_lacks_are_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    with pytest.raises(ValueError, match="not JSON compliant"):
        journal.append(evaluation("a", score=float("nan")))


@pytest.mark.parametrize("length", [0, 4095, 4096, 4097, 20_000])
def test_a_line_of_any_length_is_read_again(tmp_path: Path, length: int) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    records = [evaluation(key, text=key * length) for key in "abc"]
    for record in records:
        journal.append(record)
    assert [journal.get(key) for key in "abc"] == records
    assert "b" in journal and "d" not in journal


def test_the_first_of_two_records_under_one_key_counts(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    for score in (0.1, 0.9):
        journal.append(evaluation("a", score=score))
        journal.append({"kind": "trial", "trial": 7, "score": score})

    def check(journal: Journal) -> None:
        assert journal.get("a") == evaluation("a", score=0.1)
        assert journal.trial(7) == {"kind": "trial", "trial": 7, "score": 0.1}
        assert len(journal) == 1

    check(journal)
    journal.close()
    check(Journal(path))


def test_names_of_files_that_are_no_text_are_kept(tmp_path: Path) -> None:
    """A byte that is no UTF-8 is half a surrogate pair in Python, and Python alone reads it back."""
    path = tmp_path / "journal.jsonl"
    record = evaluation("a", error="no such file: frame\udcff.tif")
    journal = Journal(path)
    journal.append(record)
    journal.close()
    assert list(read_journal(path)) == [record]
    again = Journal(path)
    assert (again.get("a"), again.unreadable_lines) == (record, 0)


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
    journal = Journal(path)
    for i in range(count):
        journal.append(evaluation(f"key{i}", numbers=list(range(1000, 1200))))
    journal.close()
    tracemalloc.start()
    again = Journal(path)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(again) == count
    assert held < 400 * count
    assert again.get("key1999") == evaluation("key1999", numbers=list(range(1000, 1200)))
