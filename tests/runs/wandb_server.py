"""A server of Weights & Biases that keeps what runs send: enough to start, resume and end one."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_PROJECT = {"id": "project", "name": "first", "entity": {"id": "entity", "name": "someone"}}


@dataclass
class KeptRun:
    """What was sent of a run: rows of its history as they came, its summary, and how it ended."""

    name: str = ""
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit: int | None = None
    starts: int = 0

    def resumable(self) -> dict[str, Any]:
        """What a client that resumes the run is told."""
        counts = {f"{kind}LineCount": 0 for kind in ("log", "events")}
        tail = json.dumps([json.dumps(row) for row in self.history[-1:]])
        return {
            "id": "id", "name": "name", "displayName": self.name, "tags": [], "config": "{}", **counts,
            "wandbConfig": '{"t": 1}', "summaryMetrics": json.dumps(self.summary), "eventsTail": "[]",
            "historyLineCount": len(self.history), "historyTail": tail,
        }  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    runs: dict[str, KeptRun]

    def log_message(self, *arguments: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path == "/graphql":
            said = json.loads(body)
            self._answer({"data": self._data(said["query"], said["variables"])})
        else:
            if self.path.endswith("/file_stream"):
                self._keep(self.runs[self.path.split("/")[-2]], json.loads(body))
            self._answer({"exitcode": None, "limits": {}})

    def do_PUT(self) -> None:
        self.do_POST()

    def _data(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        if "RunResumeStatus" in query:
            run = self.runs.get(variables["name"])
            return {"model": {**_PROJECT, "bucket": run.resumable() if run else None}}
        if "UpsertBucket" in query:
            run = self.runs.setdefault(variables["name"], KeptRun())
            if variables["displayName"]:
                run.name, run.starts = variables["displayName"], run.starts + 1
            bucket = {**run.resumable(), "name": variables["name"], "project": _PROJECT}
            return {"upsertBucket": {"bucket": bucket, "inserted": True}}
        if "CreateRunFiles" in query:
            place = f"http://{self.headers['host']}/upload"
            files = [{"name": name, "uploadUrl": place} for name in variables["files"]]
            return {"createRunFiles": {"runID": "id", "uploadHeaders": [], "files": files}}
        return {}

    def _keep(self, run: KeptRun, sent: dict[str, Any]) -> None:
        for name, part in (sent.get("files") or {}).items():
            rows = [json.loads(row) for row in part["content"]]
            if name == "wandb-history.jsonl":
                run.history[part["offset"] :] = rows
            elif name == "wandb-summary.json":
                run.summary = rows[-1]
        if sent.get("complete"):
            run.exit = sent["exitcode"]

    def _answer(self, data: dict[str, Any]) -> None:
        body = json.dumps(data).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def wandb_server() -> Iterator[tuple[str, dict[str, KeptRun]]]:
    """Serve on this machine; yields the address, and what is kept by the id of a run."""
    runs: dict[str, KeptRun] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"runs": runs}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", runs
    finally:
        server.shutdown()
        server.server_close()
