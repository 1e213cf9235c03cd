"""Run folders at a URL, in S3 and in `file://`: what arrives, what a fault costs, who may write."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sweeper.runs.mirror import (
    Mirror,
    MirrorError,
    holder,
    is_url,
    local_folder,
    mirrored,
    pulled,
    shown,
)
from sweeper.runs.mirror import lease as lease_module
from sweeper.runs.mirror import mirror as mirror_module
from sweeper.runs.mirror import parts as parts_module
from sweeper.runs.mirror import remote as remote_module
from sweeper.runs.mirror.lease import EXPIRES_S, Lease
from sweeper.runs.mirror.remote import Remote
from tests.conftest import REPOSITORY
from tests.runs.s3_server import NO_PERMISSION, S3Server

URL = "s3://runs/group/first"
BASE = "group/first"
KEY_ID, SECRET = "AKIDSWEEPERTEST", "sEcReT/of+the/tests"
LINE = b'{"kind":"evaluation","key":"%06d"}\n'

Files = dict[str, bytes]


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[S3Server]:
    """A server with the bucket `runs`, and the environment that AWS tools would need for it."""
    with S3Server("runs") as server:
        for name, value in {
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": server.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(mirror_module, "_LONGEST_INTERVAL_S", 0.5)
        yield server


@pytest.fixture(params=["s3", "file"])
def url(request: pytest.FixtureRequest, s3: S3Server, tmp_path: Path) -> str:
    return URL if request.param == "s3" else f"file://{tmp_path}/there/group/first"


def write(folder: Path, files: Files) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_bytes(data)
        partial.replace(path)
    return folder


def read(folder: Path) -> Files:
    paths = [p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths}


def run_files(lines: int = 20) -> Files:
    rng = random.Random(3)
    return {
        "sweep.yaml": b"data: frames\n",
        "environment.json": b'{"folds": 5}\n',
        "frames.parquet": rng.randbytes(9000),
        "leaderboard.csv": b"rank\n1\n",
        "journal.jsonl": b"".join(LINE % i for i in range(lines)),
        "features/a.parquet": rng.randbytes(30_000),
        "features/b.parquet": rng.randbytes(20_000),
        "networks/0a/epoch_3.pt": rng.randbytes(40_000),
        "networks/0a/inputs/x.bin": rng.randbytes(100),
    }


def send(url: str, folder: Path) -> None:
    """What a whole sweep's mirror does, with the files already there."""
    mirror = Mirror(url, folder)
    mirror.pull()
    mirror.stop()


def wait_for(condition: Callable[[], bool], within_s: float = 60) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


# --------------------------------------------------------------------------- URLs


def test_urls_and_paths_are_told_apart() -> None:
    assert is_url("s3://b/x") and is_url("file:///x") and is_url("S3://b") and is_url("gopher://x")
    assert not any(map(is_url, ("runs/first", "/runs", "C:/x", "s3:/b/x", "./s3://b", "")))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://b/run/", "s3://b/run"),
        ("S3://key:hu/sh?#hush@b/run", "s3://b/run"),
        ("abfs://:hu/sh@b/run", "abfs://b/run"),
        ("abfss://runs@account.dfs.core.windows.net/a", "abfss://runs@account.dfs.core.windows.net/a"),
        ("gs://node:8020/runs/a@b", "gs://node:8020/runs/a@b"),
        ("s3://b/runs/a@b", "s3://b/runs/a@b"),
        ("s3://key:hush@b/run?region=x&token=hush#hush", "s3://b/run?region=x"),
        ("s3://b/run?X-Amz-Signature=hush", "s3://b/run"),
        ("s3://b/run?endpoint_override=http://u:hush@h", "s3://b/run"),
    ],
)
def test_a_url_is_shown_without_what_is_secret(url: str, said: str) -> None:
    assert shown(url) == said


def test_every_url_has_a_folder_of_its_own(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    one = local_folder(URL)
    assert one.parent == tmp_path / "cache" / "sweeper" / "runs"
    assert local_folder(f"{URL}/") == one
    assert local_folder(f"{URL}2") != one
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://elsewhere:9000")
    assert local_folder(URL) != one
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert local_folder(URL).is_relative_to(Path("~/.cache/sweeper/runs").expanduser())


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "gopher://x/y",
            r"gopher://x/y: must be a folder or a URL of a store \(file, s3, gs, .*az",
        ),
        ("s3:///run", "must name a bucket"),
        ("s3://missing/run", r"s3://missing/run: no such bucket"),
        (
            "s3://runs/x?colour=red",
            "after the \\? only region, scheme, endpoint_override may follow, got colour",
        ),
        ("file://relative/run", "must be file:///absolute/path, got the host relative"),
        ("file:///tmp/run?region=x", "after the \\? nothing may follow, got region"),
        ("gs://b/x?region=x", "after the \\? only scheme, endpoint_override may follow, got region"),
        ("az://container/run", r"az://container/run: cannot be opened \(.*Account must be specified"),
        ("s3://b/x?endpoint_override=ftp://h", "must begin with http:// or https://, got ftp://h"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_in_a_line(
    url: str, message: str, s3: S3Server, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Mirror(url, tmp_path / "run").pull()
    assert "\n" not in str(caught.value)


def test_no_permission_is_said_without_the_key(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", NO_PERMISSION)  # the server's own message repeats the key's id
    for use in (lambda: Mirror(URL, tmp_path / "run").pull(), lambda: pulled(URL).__enter__()):
        with pytest.raises(
            ValueError, match=rf"{URL}: no permission \(.*Access Denied to \*\*\*\)"
        ) as caught:
            use()
        assert NO_PERMISSION not in str(caught.value)


def test_an_endpoint_that_is_not_there_or_says_nothing_is_named_soon(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert remote_module.ANSWER_S + remote_module.REQUEST_TIMEOUT_S <= 20
    monkeypatch.setattr(remote_module, "ANSWER_S", 2.0)
    monkeypatch.setattr(remote_module, "REQUEST_TIMEOUT_S", 1.0)
    s3.fault = lambda operation, key: "hang"
    began = time.monotonic()
    with pytest.raises(ValueError, match=r"127\.0\.0\.1:\d+ does not answer \(timed out\)"):
        Mirror(URL, tmp_path / "run").pull()
    assert 2 <= time.monotonic() - began < 5
    assert s3.asked("ListObjectsV2") >= 2
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(ValueError, match=r"127\.0\.0\.1:1 does not answer \(Connection refused\)"):
        Mirror(URL, tmp_path / "run").pull()


def test_an_endpoint_can_stand_in_the_url(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    host = s3.endpoint.removeprefix("http://")
    for options in (f"endpoint_override={host}&scheme=http", f"endpoint_override={s3.endpoint}&region=x"):
        url = f"{URL}?{options}"
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")  # the URL goes first
        assert shown(url) == url
        send(url, write(tmp_path / "run", run_files()))
        assert f"{BASE}/sweep.yaml" in s3.objects["runs"]
        s3.objects["runs"].clear()


# --------------------------------------------------------------------------- secrets


def test_credentials_in_a_url_are_refused_and_not_repeated(s3: S3Server, tmp_path: Path) -> None:
    for url in (
        "s3://AKID:hush@runs/x",
        "s3://hush@runs/x",
        "s3://AKID:hu/hush@runs/x",
        "s3://runs/x?secret_key=hush",
        "abfs://user:hush@host/x",
        "s3://runs/x?session_token=hush&region=y",
    ):
        with pytest.raises(ValueError, match=r"must not hold credentials|may follow") as caught:
            Mirror(url, tmp_path / "run")
        assert "hush" not in str(caught.value)
    assert s3.requests == []


def test_no_secret_is_in_any_file_or_message(s3: S3Server, tmp_path: Path) -> None:
    notes: list[str] = []
    mirror = Mirror(URL, write(tmp_path / "run", run_files()), notes.append)
    notes.append(mirror.pull())
    s3.fault = lambda operation, key: "500"
    with pytest.raises(MirrorError) as caught:
        mirror.stop(within_s=1)
    s3.fault = None
    send(URL, tmp_path / "run")
    mirror = Mirror(URL, tmp_path / "run")
    mirror.pull()  # its lease is there now
    written = [*s3.objects["runs"].values(), *(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())]
    said = "\n".join([*notes, str(caught.value)]).encode()
    assert len(notes) >= 2
    assert "group/first/lease.json" in s3.objects["runs"]
    for secret in (KEY_ID.encode(), SECRET.encode()):
        assert not any(secret in data for data in (*written, said))


@pytest.fixture
def no_keys(s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A user without keys in the environment, on a machine of no cloud; gives the folder ~/.aws."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr(remote_module, "ANSWER_S", 0.3)
    folder = tmp_path / "home" / ".aws"
    folder.mkdir(parents=True)
    return folder


def test_without_credentials_a_line_says_where_they_come_from(no_keys: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=rf"{URL}: no credentials; they come from the environment \(AWS_ACCESS_KEY_ID and"
    ):
        Mirror(URL, tmp_path / "run").pull()


def test_credentials_of_a_profile_are_used(
    no_keys: Path, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (no_keys / "credentials").write_text(
        f"[default]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n"
        f"[guest]\naws_access_key_id = {NO_PERMISSION}\naws_secret_access_key = {SECRET}\n"
    )
    send(URL, write(tmp_path / "run", run_files()))
    assert f"{BASE}/sweep.yaml" in s3.objects["runs"]
    monkeypatch.setenv("AWS_PROFILE", "guest")
    with pytest.raises(ValueError, match="no permission"):
        Mirror(URL, tmp_path / "run").pull()
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ValueError, match=rf"{URL}: no credentials in ~/\.aws \(.*nobody"):
        Mirror(URL, tmp_path / "run").pull()
    monkeypatch.setitem(sys.modules, "obstore.auth.boto3", None)
    with pytest.raises(ValueError, match=r"needs the extra aws: pip install 'sweeper\[aws\]'"):
        Mirror(URL, tmp_path / "run").pull()


# --------------------------------------------------------------------------- what arrives


def test_a_run_folder_goes_there_and_comes_back(url: str, s3: S3Server, tmp_path: Path) -> None:
    files = run_files()
    here = write(tmp_path / "run", {**files, "features/.c.parquet.partial": b"x", "networks/.tmp/x": b"x"})
    (here / "networks" / "link").symlink_to("/etc/hostname")
    send(url, here)
    other = tmp_path / "other" / "machine"
    said = Mirror(url, other).pull()
    assert read(other) == files
    assert re.fullmatch(rf"8 files, 0\.1 MB from {url}", said)


def test_what_is_here_is_not_fetched_again(s3: S3Server, tmp_path: Path) -> None:
    send(URL, write(tmp_path / "run", run_files()))
    Mirror(URL, tmp_path / "other").pull()
    s3.requests.clear()
    Mirror(URL, tmp_path / "other").pull()
    read_again = {key for operation, key in s3.requests if operation == "GetObject"}
    assert read_again == {f"{BASE}/{name}" for name in ("journal.jsonl", "lease.json")}


def test_nothing_is_sent_twice(s3: S3Server, tmp_path: Path) -> None:
    folder = write(tmp_path / "run", run_files())
    mirror = Mirror(URL, folder)
    mirror.pull()
    mirror.start(0.02)
    for i in range(20, 60):
        with (folder / "journal.jsonl").open("ab") as file:
            file.write(LINE % i)
        time.sleep(0.03)
    write(folder, {"leaderboard.csv": b"rank\n2\n"})
    time.sleep(0.5)
    parts = {key: n for key, n in s3.received.items() if "/journal/" in key and n}
    assert len(parts) > 3
    assert sum(parts.values()) == 60 * len(LINE % 0)
    mirror.stop()
    for name in run_files():
        if name not in ("leaderboard.csv", "journal.jsonl"):
            assert s3.asked("PutObject", f"{BASE}/{name}") == 1
    assert s3.asked("PutObject", "leaderboard.csv") == 2
    assert s3.asked("PutObject", "lease.json") == 2
    again = len(s3.requests)
    send(URL, folder)  # the next session finds everything there
    sent = [key for op, key in s3.requests[again:] if op == "PutObject" and not key.endswith("/")]
    assert sent == [f"{BASE}/lease.json"] * 2


def test_the_journal_is_one_file_after_a_clean_end(url: str, s3: S3Server, tmp_path: Path) -> None:
    folder = write(tmp_path / "run", {"sweep.yaml": b"x\n"})
    expected = b""
    for session in range(3):
        mirror = Mirror(url, folder)
        mirror.pull()
        mirror.start(0.02)
        for i in range(4):
            expected += LINE % (10 * session + i)
            (folder / "journal.jsonl").write_bytes(expected + b'{"kind":"torn')
            time.sleep(0.1)
        mirror.stop()
        there = Remote(url)
        assert there.list("journal") == {}
        assert there.read_small("journal.jsonl")[0] == expected  # type: ignore[index]


def test_many_parts_become_one_file_in_between(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts_module, "_MOST_PARTS", 3)
    journal = parts_module.JournalParts(Remote(URL))
    path = tmp_path / "journal.jsonl"
    for i in range(10):
        with path.open("ab") as file:
            file.write(LINE % i)
        journal.push(path)
        assert sum("/journal/0" in key for key in s3.objects["runs"]) <= 3
    fetched = parts_module.JournalParts(Remote(URL))
    assert fetched.fetch(tmp_path / "there") == path.stat().st_size
    assert (tmp_path / "there").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("objects", "lines"),
    [
        (
            {"journal.jsonl": (0, 3), "journal/0": (0, 2), "journal/2": (2, 5)},
            5,
        ),  # not all parts were removed
        ({"journal/0": (0, 2), "journal/3": (3, 5)}, 2),  # a gap
        ({"journal/0": (0, 2), "journal/1": (1, 4)}, 4),  # one that was sent again, longer
        ({"journal/1": (1, 4)}, 0),
        ({"journal.jsonl": (0, 2.5), "journal/2": (2, 4)}, 4),  # a torn line
        ({"journal.jsonl": (0, 2.5)}, 2),
        ({}, 0),
    ],
)
def test_only_whole_lines_without_a_gap_are_read(
    objects: dict[str, tuple[float, float]], lines: int, s3: S3Server, tmp_path: Path
) -> None:
    text = b"".join(LINE % i for i in range(6))
    size = len(LINE % 0)
    for name, (first, last) in objects.items():
        start = int(first * size)
        if name.startswith("journal/"):
            name = f"journal/{start:015}.jsonl"
        s3.put("runs", f"{BASE}/{name}", text[start : int(last * size)])
    journal = parts_module.JournalParts(Remote(URL))
    assert journal.fetch(tmp_path / "there") == lines * size
    assert (tmp_path / "there").read_bytes() == text[: lines * size]


def test_a_reader_looks_again_when_the_parts_became_one_file_meanwhile(s3: S3Server, tmp_path: Path) -> None:
    lines = [LINE % i for i in range(4)]
    s3.put("runs", f"{BASE}/sweep.yaml", b"x")
    for i, line in enumerate(lines):
        s3.put("runs", f"{BASE}/journal/{i * len(line):015}.jsonl", line)
    s3.put("runs", f"{BASE}/networks/0a/x.pt", b"x")

    def compact(operation: str, key: str) -> None:
        if operation == "GetObject" and "/journal/" in key:
            s3.put("runs", f"{BASE}/journal.jsonl", b"".join(lines))
            for name in [name for name in s3.objects["runs"] if "/journal/" in name]:
                del s3.objects["runs"][name]
        elif operation == "GetObject" and "/networks/" in key:
            del s3.objects["runs"][key]

    s3.fault = compact
    with pulled(URL, ["networks"]) as folder:
        assert read(folder) == {"sweep.yaml": b"x", "journal.jsonl": b"".join(lines)}


def test_a_file_that_changes_while_it_is_read_is_read_again(s3: S3Server, tmp_path: Path) -> None:
    old, new = (bytes([byte]) * 6_000_000 + b"\n" for byte in b"ab")
    s3.put("runs", f"{BASE}/journal.jsonl", old)
    left = iter([None, new])

    def change(operation: str, key: str) -> None:
        if operation == "GetObject" and (data := next(left, None)) is not None:
            s3.put("runs", key, data)  # between the first piece and the second

    s3.fault = change
    assert parts_module.JournalParts(Remote(URL)).fetch(tmp_path / "there") == len(new)
    assert (tmp_path / "there").read_bytes() == new


def test_files_of_networks_that_go_here_go_there(url: str, s3: S3Server, tmp_path: Path) -> None:
    folder = write(tmp_path / "run", run_files())
    send(url, folder)
    mirror = Mirror(url, folder)
    mirror.pull()
    (folder / "networks" / "0a" / "epoch_3.pt").unlink()
    (folder / "features" / "a.parquet").unlink()
    mirror.stop()
    other = Mirror(url, tmp_path / "other")
    other.pull()
    other.stop()
    expected = set(run_files()) - {"networks/0a/epoch_3.pt"}
    assert set(read(tmp_path / "other")) == expected


def test_a_folder_that_vanished_empties_nothing(s3: S3Server, tmp_path: Path) -> None:
    folder = write(tmp_path / "run", run_files())
    send(URL, folder)
    mirror = Mirror(URL, folder)
    mirror.pull()
    folder.rename(tmp_path / "elsewhere")
    mirror.stop()
    assert {f"{BASE}/{name}" for name in run_files()} <= set(s3.objects["runs"])


def test_a_journal_that_is_further_here_stays_and_one_that_parted_goes(s3: S3Server, tmp_path: Path) -> None:
    send(URL, write(tmp_path / "run", run_files(20)))
    further = run_files(25) | {"leaderboard.csv": b"newer"}
    write(tmp_path / "run", further)
    mirror = Mirror(URL, tmp_path / "run")
    mirror.pull()
    assert read(tmp_path / "run") == further
    s3.received.clear()
    mirror.stop()
    assert s3.received[f"{BASE}/journal/{20 * len(LINE % 0):015}.jsonl"] == 5 * len(LINE % 0)
    parted = b"".join(LINE % (i + 900) for i in range(30))
    write(tmp_path / "other", {"journal.jsonl": parted, "leaderboard.csv": b"older"})
    Mirror(URL, tmp_path / "other").pull()
    assert read(tmp_path / "other") == further
    assert (tmp_path / "other" / ".journal.jsonl.replaced").read_bytes() == parted


def test_a_sweep_without_an_evaluation_yet_can_go_on_elsewhere(s3: S3Server, tmp_path: Path) -> None:
    from sweeper.runs.folder import RunFolder
    from sweeper.runs.spec import make_spec

    (tmp_path / "frames").mkdir()
    spec = make_spec(tmp_path / "frames", "quick")
    RunFolder(tmp_path / "run").claim(spec)
    (tmp_path / "run" / "journal.jsonl").touch()
    send(URL, write(tmp_path / "run", {"features/a.parquet": b"block"}))
    Mirror(URL, tmp_path / "other").pull()
    RunFolder(tmp_path / "other").claim(spec)
    assert (tmp_path / "other" / "features" / "a.parquet").read_bytes() == b"block"


def test_hidden_files_stay_there(s3: S3Server, tmp_path: Path) -> None:
    send(URL, write(tmp_path / "run", run_files()))
    for name in ("networks/.ssh/evil", ".evil", "features/.evil.parquet", "predictions/.evil.parquet"):
        s3.put("runs", f"{BASE}/{name}", b"evil")
    other = tmp_path / "deep" / "er" / "other"
    Mirror(URL, other).pull()
    assert read(other) == run_files()
    assert not list(tmp_path.rglob("*evil*"))


def test_a_name_that_is_no_path_is_refused_in_a_line(s3: S3Server, tmp_path: Path) -> None:
    s3.put("runs", f"{BASE}/networks/../../evil", b"evil")
    with pytest.raises(ValueError, match=rf"{URL}: .*invalid path.*/networks/\.\./\.\./evil") as caught:
        Mirror(URL, tmp_path / "deep" / "run").pull()
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("*evil*"))


def test_marks_of_folders_are_no_files(s3: S3Server, tmp_path: Path) -> None:
    # as consoles and other tools write them
    for name in ("", "features/", "journal/", "networks/", "networks/0a/", "networks/0b/"):
        s3.put("runs", f"{BASE}/{name}", b"")
    send(URL, write(tmp_path / "run", run_files()))
    Mirror(URL, tmp_path / "other").pull()
    assert read(tmp_path / "other") == run_files()


def test_something_elses_place_is_refused_and_left_alone(s3: S3Server, tmp_path: Path) -> None:
    s3.put("runs", f"{BASE}/thesis.tex", b"...")
    with pytest.raises(ValueError, match="is not empty and holds no sweep"):
        Mirror(URL, tmp_path / "run").pull()
    assert list(s3.objects["runs"]) == [f"{BASE}/thesis.tex"]


def test_memory_stays_bounded_with_a_large_file(s3: S3Server, tmp_path: Path) -> None:
    folder = write(tmp_path / "run", {"sweep.yaml": b"x", "features/a.parquet": b""})
    with (folder / "features" / "a.parquet").open("wb") as file:
        for seed in range(100):
            file.write(random.Random(seed).randbytes(2**20))
    script = f"""
import resource
from pathlib import Path
from sweeper.runs.mirror import Mirror
def grown(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
small = Mirror("s3://runs/small", Path({str(tmp_path / "small")!r})); small.pull(); small.stop()
before = grown()
one = Mirror({URL!r}, Path({str(folder)!r})); one.pull(); one.stop(); sent = grown() - before
two = Mirror({URL!r}, Path({str(tmp_path / "other")!r})); two.pull(); two.stop()
print(sent, grown() - before)
"""
    done = run_script(script)
    out, error = done.communicate(timeout=240)
    assert done.returncode == 0, error
    assert (tmp_path / "other/features/a.parquet").read_bytes() == (
        folder / "features/a.parquet"
    ).read_bytes()
    sent, fetched = map(float, out.split())
    assert sent < 60 and fetched < 60, out


# --------------------------------------------------------------------------- kill -9


def run_script(script: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )


WRITER = """
import os, time
from pathlib import Path
from sweeper.runs.mirror import Mirror
folder = Path({folder!r})
mirror = Mirror({url!r}, folder)
mirror.pull()
mirror.start(0.02)
(folder / "sweep.yaml").write_text("data: frames\\n")
(folder / "features").mkdir(exist_ok=True)
with (folder / "journal.jsonl").open("ab") as file:
    for i in range(100_000):
        file.write({line!r} % i)
        file.flush()
        if i % 10 == 0:
            (folder / "features" / ".x").write_bytes(os.urandom(50_000))
            (folder / "features" / ".x").rename(folder / "features" / f"{{i:06}}.parquet")
        print(i, flush=True)
        time.sleep(0.004)
"""


@pytest.mark.parametrize("after", [1, 30, 150])
def test_after_kill_9_another_machine_goes_on_with_a_prefix_of_whole_lines(
    after: int, url: str, s3: S3Server, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    process = run_script(WRITER.format(folder=str(folder), url=url, line=LINE))
    assert process.stdout is not None
    for _ in range(after):
        assert process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    local = (folder / "journal.jsonl").read_bytes()
    elsewhere = tmp_path / "other"
    mirror = Mirror(url, elsewhere)
    mirror.pull()  # at once: the holder ran on this machine, and is seen to be dead
    there = read(elsewhere)
    journal = there.pop("journal.jsonl", b"")
    assert local.startswith(journal)
    assert not journal or journal.endswith(b"\n")
    assert after < 100 or journal
    for name, data in there.items():
        assert (folder / name).read_bytes() == data
    with (elsewhere / "journal.jsonl").open("ab") as file:
        file.write(LINE % 999_999)
    mirror.stop()
    Mirror(url, tmp_path / "third").pull()
    assert (tmp_path / "third" / "journal.jsonl").read_bytes() == journal + LINE % 999_999


def test_a_killed_driver_s_machine_sends_what_it_had_not_sent(s3: S3Server, tmp_path: Path) -> None:
    s3.fault = lambda operation, key: "500" if operation == "PutObject" and "/features/" in key else None
    folder = tmp_path / "run"
    process = run_script(WRITER.format(folder=str(folder), url=URL, line=LINE))
    assert process.stdout is not None
    for _ in range(100):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    s3.fault = None
    before = read(folder)
    send(URL, folder)
    Mirror(URL, tmp_path / "other").pull()
    assert read(tmp_path / "other") == before


# --------------------------------------------------------------------------- leases


def put_lease(s3: S3Server, age_s: float, **said: Any) -> None:
    known = {"host": "node17", "pid": 4711, "place": "another machine", "time": "2001-01-01T00:00:00+00:00"}
    s3.put("runs", f"{BASE}/lease.json", json.dumps({**known, **said}).encode())
    s3.times["runs", f"{BASE}/lease.json"] -= age_s


def test_a_second_driver_is_told_who_holds_the_url(s3: S3Server, tmp_path: Path) -> None:
    process = run_script(WRITER.format(folder=str(tmp_path / "run"), url=URL, line=LINE))
    assert process.stdout is not None and process.stdout.readline()
    try:
        with pytest.raises(
            ValueError, match=rf"{URL}: another sweep .* process {process.pid}, last heard of"
        ):
            Mirror(URL, tmp_path / "other").pull()
        assert f"process {process.pid}" in str(holder(URL))
        lease = json.loads(s3.objects["runs"][f"{BASE}/lease.json"])
        assert lease["pid"] == process.pid
    finally:
        process.kill()
        process.communicate(timeout=60)
    assert holder(URL) is None
    Mirror(URL, tmp_path / "other").pull()


@pytest.mark.parametrize("clock_ahead_s", [0.0, 7200.0, -7200.0])
def test_a_lease_counts_for_a_minute_by_the_store_s_clock(
    clock_ahead_s: float, s3: S3Server, tmp_path: Path
) -> None:
    s3.clock_ahead_s = clock_ahead_s
    put_lease(s3, EXPIRES_S - 20)
    with pytest.raises(ValueError, match=r"another sweep is running there \(host node17, process 4711, last"):
        Mirror(URL, tmp_path / "run").pull()
    assert [key for key in s3.objects["runs"] if not key.endswith("/")] == [f"{BASE}/lease.json"]
    put_lease(s3, EXPIRES_S + 20)
    Mirror(URL, tmp_path / "run").pull()
    assert json.loads(s3.objects["runs"][f"{BASE}/lease.json"])["pid"] == os.getpid()


def test_a_clean_end_and_a_refused_start_leave_no_lease_of_one_s_own(s3: S3Server, tmp_path: Path) -> None:
    send(URL, write(tmp_path / "run", run_files()))
    assert s3.objects["runs"][f"{BASE}/lease.json"] == b"{}"
    assert holder(URL) is None
    put_lease(s3, 0)
    before = {k: v for k, v in s3.objects["runs"].items() if not k.endswith("/")}
    mirror = Mirror(URL, write(tmp_path / "other", {"leaderboard.csv": b"mine"}))
    with pytest.raises(ValueError, match="another sweep"):
        mirror.pull()
    mirror.stop()
    assert {k: v for k, v in s3.objects["runs"].items() if not k.endswith("/")} == before


def test_who_lost_the_lease_writes_no_more(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeper.runs.mirror.lease.REFRESH_S", 0.1)
    folder = write(tmp_path / "run", run_files())
    mirror = Mirror(URL, folder)
    mirror.pull()
    mirror.start(0.05)
    wait_for(lambda: f"{BASE}/networks/0a/inputs/x.bin" in s3.objects["runs"])
    put_lease(s3, 0)
    wait_for(lambda: mirror._taken_by is not None)
    before = dict(s3.objects["runs"])
    write(folder, run_files(40))
    with pytest.raises(
        MirrorError, match=rf"host node17, process 4711 took this sweep over; everything is in {folder}"
    ):
        mirror.stop()
    assert s3.objects["runs"] == before


def contend(url: str, contenders: int) -> tuple[list[Lease], list[str]]:
    """Reach for a URL's lease in one moment; return the leases that were taken, and why others were not."""
    leases = [Lease(Remote(url)) for _ in range(contenders)]
    start = threading.Barrier(contenders)

    def take(lease: Lease) -> str:
        start.wait()
        try:
            lease.take()
        except ValueError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(contenders) as pool:
        answers = list(pool.map(take, leases))
    taken = [lease for lease, answer in zip(leases, answers, strict=True) if not answer]
    return taken, [answer for answer in answers if answer]


@pytest.mark.parametrize("there", ["nothing", "let go", "garbage", "expired", "of the dead"])
def test_of_many_drivers_in_one_moment_one_holds_the_lease(there: str, url: str, s3: S3Server) -> None:
    remote = Remote(url)
    if there != "nothing":
        dead = {"host": "node17", "pid": 2**22 + 1, "place": lease_module._place(), "id": "x"}
        gone = {**dead, "place": "another machine"}
        content = {"let go": b"{}", "garbage": b"\xff"}.get(there) or json.dumps(
            gone if there == "expired" else dead
        ).encode()
        remote.write("lease.json", content)
    if there == "expired":
        age(url, s3, 2 * EXPIRES_S)
    arrived = itertools.count()
    # each write arrives after the writer before it has looked whether it holds the lease
    s3.fault = lambda operation, key: (
        0.1 * next(arrived) if operation == "PutObject" and key.endswith("lease.json") else None
    )
    taken, refused = contend(url, 8)
    s3.fault = None
    assert len(taken) == 1
    assert len(refused) == 7
    assert all("another sweep is running there" in answer for answer in refused)
    content, _ = remote.read_small("lease.json")  # type: ignore[misc]
    assert json.loads(content)["id"] == taken[0].id
    taken[0].release()
    again, _ = contend(url, 8)
    assert len(again) == 1


def age(url: str, s3: S3Server, seconds: float) -> None:
    """Make a lease older than it is."""
    if url.startswith("s3:"):
        s3.times["runs", f"{BASE}/lease.json"] -= seconds
    else:
        path = Path(url.removeprefix("file://"), "lease.json")
        os.utime(path, (time.time() - seconds,) * 2)


def test_of_many_processes_in_one_moment_one_holds_the_lease(url: str, s3: S3Server, tmp_path: Path) -> None:
    script = f"""
import sys, time
from sweeper.runs.mirror.lease import Lease
from sweeper.runs.mirror.remote import Remote
lease = Lease(Remote({url!r}))
print("ready", flush=True)
sys.stdin.readline()
try:
    lease.take()
    print("taken", flush=True)
except ValueError as error:
    print(error, flush=True)
sys.stdin.readline()
"""
    processes = [run_script(script) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.stdout.readline() for process in processes if process.stdout]
    for process in processes:
        process.communicate("\n", timeout=60)
    assert answers.count("taken\n") == 1, answers
    assert sum("another sweep is running there" in answer for answer in answers) == 3


@pytest.mark.parametrize("fault", ["lose", "reset", "500"])
def test_a_lost_answer_does_not_lose_the_lease(
    fault: str, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "REFRESH_S", 0.0)
    lease = Lease(Remote(URL))
    for step in (lease.take, lease.refresh, lease.refresh):
        left = iter([fault])
        s3.fault = lambda operation, key, left=left: next(left, None) if operation == "PutObject" else None
        assert step() is None
        assert next(left, None) is None, "the fault happened"
        assert json.loads(s3.objects["runs"][f"{BASE}/lease.json"])["id"] == lease.id
    s3.fault = None
    lease.release()
    assert s3.objects["runs"][f"{BASE}/lease.json"] == b"{}"


@pytest.mark.parametrize("step", ["refresh", "release"])
def test_a_lease_that_was_taken_over_is_left_alone(
    step: str, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "REFRESH_S", 0.0)
    lease = Lease(Remote(URL))
    lease.take()

    def take_over(operation: str, key: str) -> None:
        if operation == "PutObject":  # between its look at the lease and its write
            put_lease(s3, 0)

    s3.fault = take_over
    taken_by = getattr(lease, step)()
    s3.fault = None
    assert json.loads(s3.objects["runs"][f"{BASE}/lease.json"])["host"] == "node17"
    assert taken_by == ("host node17, process 4711" if step == "refresh" else None)
    lease.release()
    assert json.loads(s3.objects["runs"][f"{BASE}/lease.json"])["host"] == "node17"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"host": 3}', b'{"host":"x","pid":"y"}', b"\xff"])
def test_a_lease_that_nobody_wrote_holds_nobody_up(content: bytes, s3: S3Server, tmp_path: Path) -> None:
    s3.put("runs", f"{BASE}/lease.json", content)
    Mirror(URL, tmp_path / "run").pull()


# --------------------------------------------------------------------------- faults


def first(n: int, fault: str, *operations: str) -> Callable[[str, str], str | None]:
    """The first requests of some operations, but for the lease, go wrong."""
    left = [n]

    def decide(operation: str, key: str) -> str | None:
        if operation not in operations or "lease" in key or left[0] == 0:
            return None
        left[0] -= 1
        return fault

    return decide


@pytest.mark.parametrize(
    ("fault", "operations", "most_requests"),
    [
        pytest.param(
            first(25, "500", "PutObject", "ListObjectsV2"), ("PutObject",), 10 + 25, marks=pytest.mark.long
        ),
        (first(5, "503", "PutObject"), ("PutObject",), 10 + 5),
        (first(5, "reset", "PutObject"), ("PutObject",), 10 + 5),
        (first(5, "lose", "PutObject"), ("PutObject",), 10 + 5),
        pytest.param(first(1, "hang", "PutObject"), ("PutObject",), 10 + 1, marks=pytest.mark.long),
        (first(2, "reset", "UploadPart"), ("UploadPart",), 5 + 2),
        (first(2, "lose", "UploadPart"), ("UploadPart",), 5 + 2),
        (first(8, "500", "UploadPart", "CompleteMultipartUpload"), ("UploadPart",), 5 + 8),
    ],
    ids=["500", "503", "reset", "lost answer", "hang", "part reset", "part's answer lost", "parts 500"],
)
def test_everything_arrives_in_the_end(
    fault: Callable[[str, str], str | None],
    operations: tuple[str, ...],
    most_requests: int,
    s3: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote_module, "DATA_TIMEOUT_S", 2.0)
    files = run_files()
    if "UploadPart" in operations:
        files["features/a.parquet"] = random.Random(1).randbytes(25_000_000)
    folder = write(tmp_path / "run", files)
    notes: list[str] = []
    mirror = Mirror(URL, folder, notes.append)
    mirror.pull()
    s3.fault = fault
    mirror.start(0.05)
    time.sleep(0.3)
    mirror.stop()
    s3.fault = None
    other = Mirror(URL, tmp_path / "other")
    other.pull()
    assert read(tmp_path / "other") == files
    # without faults: eight files, a part of the journal, the journal whole; or five parts of the long file
    sent = [key for op, key in s3.requests if op in operations and not key.endswith(("/", "lease.json"))]
    assert len(sent) <= most_requests


def test_reading_is_patient_too(s3: S3Server, tmp_path: Path) -> None:
    send(URL, write(tmp_path / "run", run_files()))
    s3.fault = first(6, "500", "GetObject", "HeadObject", "ListObjectsV2")
    Mirror(URL, tmp_path / "other").pull()
    assert read(tmp_path / "other") == run_files()


def test_the_journal_does_not_wait_for_a_long_file(s3: S3Server, tmp_path: Path) -> None:
    slow = {"UploadPart": 0.4}
    s3.fault = lambda operation, key: slow.get(operation)
    folder = write(tmp_path / "run", {"sweep.yaml": b"x\n", "features/a.parquet": bytes(60_000_000)})
    mirror = Mirror(URL, folder)
    mirror.pull()
    mirror.start(0.1)
    wait_for(lambda: s3.asked("UploadPart") > 0)
    (folder / "journal.jsonl").write_bytes(LINE % 1)
    wait_for(lambda: f"{BASE}/journal/{0:015}.jsonl" in s3.objects["runs"])
    assert f"{BASE}/features/a.parquet" not in s3.objects["runs"]
    mirror.stop()


@pytest.mark.long
def test_what_cannot_be_sent_is_said_and_sent_by_the_next(s3: S3Server, tmp_path: Path) -> None:
    folder = write(tmp_path / "run", run_files())
    notes: list[str] = []
    mirror = Mirror(URL, folder, notes.append)
    mirror.pull()
    s3.fault = lambda operation, key: "500"
    mirror.start(0.05)
    wait_for(lambda: len(notes) > 0)
    began = time.monotonic()
    with pytest.raises(MirrorError) as caught:
        mirror.stop(within_s=1.5)
    assert time.monotonic() - began < 25
    said = str(caught.value)
    assert said.startswith(f"{URL}: not everything was sent (8 files of 0.1 MB, 0.7 kB of the journal): ")
    assert f"everything is in {folder}; run the same command again to send it" in said
    assert len(notes) == 1, "an outage is noted once"
    s3.fault = None
    send(URL, folder)
    Mirror(URL, tmp_path / "other").pull()
    assert read(tmp_path / "other") == run_files()


def test_a_file_that_is_cut_short_by_the_end_is_not_left_there(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "run", {"sweep.yaml": b"x\n", "features/a.parquet": bytes(60_000_000)})
    mirror = Mirror(URL, folder)
    mirror.pull()
    s3.fault = lambda operation, key: 0.7 if operation == "UploadPart" else None
    mirror.start(0.01)
    wait_for(lambda: s3.asked("UploadPart") > 0)
    with pytest.raises(MirrorError, match=r"1 files of 60\.0 MB"):
        mirror.stop(within_s=0.1)
    assert f"{BASE}/features/a.parquet" not in s3.objects["runs"]


# --------------------------------------------------------------------------- in use


def test_a_sweep_s_own_error_goes_first(s3: S3Server) -> None:
    notes: list[str] = []
    with pytest.raises(KeyError), mirrored(URL, notes.append, interval_s=0.05) as folder:
        assert folder == local_folder(URL)
        write(folder, run_files())
        raise KeyError("x")
    assert {f"{BASE}/{name}" for name in run_files()} <= set(s3.objects["runs"])
    assert s3.objects["runs"][f"{BASE}/lease.json"] == b"{}"
    assert notes == [f"0 files, 0.0 MB from {URL}"]


def test_readers_get_what_they_need_and_no_more(url: str, s3: S3Server, tmp_path: Path) -> None:
    mirror = Mirror(url, write(tmp_path / "run", run_files()))
    mirror.pull()
    mirror.start(0.02)
    journal = tmp_path / "run" / "journal.jsonl"
    with journal.open("ab") as file:
        file.write(LINE % 77)
    remote = Remote(url)
    wait_for(lambda: len(remote.list("networks", recursive=True)) == 2)
    wait_for(lambda: mirror._journal.sent == journal.stat().st_size)
    with pulled(url) as folder:  # while it is written
        assert set(read(folder)) == {"sweep.yaml", "environment.json", "journal.jsonl"}
        assert (folder / "journal.jsonl").read_bytes() == journal.read_bytes()
    mirror.stop()
    with pulled(url, ["leaderboard.csv", "networks/0a", "nothing"]) as folder:
        assert set(read(folder)) - {"journal.jsonl"} == {
            "sweep.yaml", "environment.json", "leaderboard.csv", "networks/0a/epoch_3.pt",
            "networks/0a/inputs/x.bin",
        }  # fmt: skip
        kept = folder
    assert not kept.exists()
    with pytest.raises(ValueError, match=rf"{url}/none: no sweep here \(sweep\.yaml is missing\)"):
        pulled(f"{url}/none").__enter__()
