"""An S3 server for tests: objects in memory over HTTP, with faults that a test asks for.

It speaks what the mirror uses: PUT with If-Match and If-None-Match, GET with ranges, HEAD, DELETE,
ListObjectsV2 and multipart uploads. It stands in for a store, not for its access rules: signatures are not
checked; one key id has no permission.
"""

from __future__ import annotations

import hashlib
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

NO_PERMISSION = "AKIDFORBIDDEN"
"""Key id that is refused everything."""

_XML = '<?xml version="1.0" encoding="UTF-8"?>'


class S3Server:
    """A server on a free port of this machine; a context manager.

    Attributes
    ----------
    objects : dict
        Bucket to key to bytes. A bucket exists when it is here.
    times : dict
        When an object was written, by bucket and key, seconds since 1970.
    requests : list of (str, str)
        The requests so far: the operation (``PutObject``, ``UploadPart``, ...) and the key.
    received : collections.Counter
        Bytes of bodies that arrived, by key.
    fault : callable or None
        Called with operation and key before each request; returns ``"500"``, ``"503"``, ``"reset"`` (the
        connection is reset once the body arrived), ``"lose"`` (the request is carried out, then the
        connection is reset), ``"hang"`` (nothing is answered until the server ends), a number of seconds to
        wait first, or None.
    """

    def __init__(self, *buckets: str) -> None:
        self.objects: dict[str, dict[str, bytes]] = {bucket: {} for bucket in buckets}
        self.times: dict[tuple[str, str], float] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.requests: list[tuple[str, str]] = []
        self.received: Counter[str] = Counter()
        self.fault: Callable[[str, str], str | float | None] | None = None
        self.clock_ahead_s = 0.0
        self.lock = threading.Lock()
        self.ended = threading.Event()
        server = self

        class Handler(_Handler):
            store = server

        self._http = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def endpoint(self) -> str:
        """What AWS_ENDPOINT_URL has to be."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> S3Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._http.shutdown()
        self._http.server_close()

    def asked(self, operation: str, key: str = "") -> int:
        """Return the number of requests of an operation whose key contains `key`."""
        return sum(op == operation and key in name for op, name in self.requests)

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Keep an object."""
        with self.lock:
            self._keep(bucket, key, data)

    def put_if(self, bucket: str, key: str, data: bytes, matches: str | None, none_matches: bool) -> int:
        """Keep an object on conditions; return the HTTP status.

        Parameters
        ----------
        matches : str, optional
            The e-tag that the object must have.
        none_matches : bool
            There must be no object.
        """
        with self.lock:
            there = self.objects[bucket].get(key)
            if matches is not None and there is None:
                return 404
            if (none_matches and there is not None) or (matches is not None and matches != etag(there)):
                return 412
            self._keep(bucket, key, data)
            return 200

    def _keep(self, bucket: str, key: str, data: bytes) -> None:
        self.objects[bucket][key] = data
        self.times[bucket, key] = time.time() + self.clock_ahead_s


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    store: S3Server

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _handle(self) -> None:
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        operation = _operation(self.command, key, query)
        with self.store.lock:
            self.store.requests.append((operation, key or query.get("prefix", "")))
        fault = self.store.fault(operation, key) if self.store.fault else None
        if isinstance(fault, float):
            self.store.ended.wait(fault)
        if fault == "hang":
            self.store.ended.wait()
            raise ConnectionAbortedError
        body = self._body()
        with self.store.lock:
            self.store.received[key] += len(body)
        if fault == "reset":
            self._reset()
        elif fault in ("500", "503"):
            code = "InternalError" if fault == "500" else "SlowDown"
            self._error(int(str(fault)), code, "the server is unwell")
        elif NO_PERMISSION in self.headers.get("Authorization", ""):
            self._error(403, "AccessDenied", f"Access Denied to {NO_PERMISSION}")
        elif bucket not in self.store.objects:
            self._error(404, "NoSuchBucket", "The specified bucket does not exist")
        else:
            answer = getattr(self, _method(operation))(bucket, key, query, body)
            if fault == "lose":
                self._reset()
            else:
                self._send(*answer)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle  # noqa: N815

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            data = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()
        raise ConnectionAbortedError

    def _send(self, status: int, body: bytes, headers: dict[str, str], length: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _error(self, status: int, code: str, message: str) -> None:
        body = f"{_XML}<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
        self._send(status, b"" if self.command == "HEAD" else body, {"Content-Type": "application/xml"})

    # ------------------------------------------------------------------ operations

    def _put_object(self, bucket: str, key: str, query: Any, body: bytes) -> Any:
        none = self.headers.get("If-None-Match") == "*"
        status = self.store.put_if(bucket, key, body, self.headers.get("If-Match"), none)
        if status == 200:
            return 200, b"", {"ETag": etag(body)}
        code = "NoSuchKey" if status == 404 else "PreconditionFailed"
        return status, _document("Error", f"<Code>{code}</Code><Message>not as expected</Message>"), {}

    def _head_object(self, bucket: str, key: str, query: Any, body: bytes) -> Any:
        data = self.store.objects[bucket].get(key)
        if data is None:
            return 404, b"", {}
        return 200, b"", self._about(bucket, key), len(data)

    def _get_object(self, bucket: str, key: str, query: Any, body: bytes) -> Any:
        data = self.store.objects[bucket].get(key)
        if data is None:
            text = f"{_XML}<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>"
            return 404, text.encode(), {}
        about = self._about(bucket, key)
        if self.headers.get("If-Match") not in (None, about["ETag"]):
            return 412, b"", {}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            return 200, data, about
        if int(wanted[1]) >= len(data):
            return 416, b"", {}
        first, last = int(wanted[1]), min(int(wanted[2] or len(data) - 1), len(data) - 1)
        about["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        return 206, data[first : last + 1], about

    def _delete_object(self, bucket: str, key: str, query: Any, body: bytes) -> Any:
        with self.store.lock:
            self.store.objects[bucket].pop(key, None)
        return 204, b"", {}

    def _create_multipart_upload(self, bucket: str, key: str, query: Any, body: bytes) -> Any:
        upload = hashlib.sha256(f"{key}{time.time_ns()}".encode()).hexdigest()[:16]
        self.store.uploads[upload] = {}
        inner = f"<Bucket>{bucket}</Bucket><Key>{escape(key)}</Key><UploadId>{upload}</UploadId>"
        return 200, _document("InitiateMultipartUploadResult", inner), {}

    def _upload_part(self, bucket: str, key: str, query: Any, body: bytes) -> Any:
        self.store.uploads[query["uploadId"]][int(query["partNumber"])] = body
        return 200, b"", {"ETag": etag(body)}

    def _complete_multipart_upload(self, bucket: str, key: str, query: Any, body: bytes) -> Any:
        parts = self.store.uploads.pop(query["uploadId"])
        named = [int(n) for n in re.findall(rb"<PartNumber>(\d+)</PartNumber>", body)]
        if named != sorted(parts):
            text = f"{_XML}<Error><Code>InvalidPart</Code><Message>a part is missing</Message></Error>"
            return 400, text.encode(), {}
        data = b"".join(parts[n] for n in named)
        self.store.put(bucket, key, data)
        inner = f"<Bucket>{bucket}</Bucket><Key>{escape(key)}</Key><ETag>{etag(data)}</ETag>"
        return 200, _document("CompleteMultipartUploadResult", inner), {}

    def _abort_multipart_upload(self, bucket: str, key: str, query: Any, body: bytes) -> Any:
        self.store.uploads.pop(query["uploadId"], None)
        return 204, b"", {}

    def _list_objects_v2(self, bucket: str, key: str, query: Any, body: bytes) -> Any:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = query.get("continuation-token", query.get("start-after", ""))
        most = int(query.get("max-keys", 1000))
        contents, folders, last, more = [], [], "", False
        with self.store.lock:
            for name in sorted(n for n in self.store.objects[bucket] if n.startswith(prefix)):
                head, cut, _ = name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
                shown = prefix + head + delimiter if cut else name
                if shown <= after or shown in folders:
                    continue
                if len(contents) + len(folders) == most:
                    more = True
                    break
                last = shown
                if cut:
                    folders.append(shown)
                else:
                    contents.append((name, self.store.objects[bucket][name], self.store.times[bucket, name]))
        inner = "".join(
            f"<Contents><Key>{escape(name)}</Key><Size>{len(data)}</Size><ETag>{etag(data)}</ETag><LastModified>"
            f"{time.strftime('%Y-%m-%dT%H:%M:%S.000Z', time.gmtime(at))}</LastModified></Contents>"
            for name, data, at in contents
        )
        inner += "".join(f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>" for f in folders)
        inner += f"<KeyCount>{len(contents) + len(folders)}</KeyCount><MaxKeys>{most}</MaxKeys>"
        inner += f"<Prefix>{escape(prefix)}</Prefix><IsTruncated>{str(more).lower()}</IsTruncated>"
        if more:
            inner += f"<NextContinuationToken>{escape(last)}</NextContinuationToken>"
        return 200, _document("ListBucketResult", inner), {"Content-Type": "application/xml"}

    def _about(self, bucket: str, key: str) -> dict[str, str]:
        at, tag = self.store.times[bucket, key], etag(self.store.objects[bucket][key])
        return {"Last-Modified": formatdate(at, usegmt=True), "ETag": tag, "Accept-Ranges": "bytes"}


def _operation(method: str, key: str, query: dict[str, str]) -> str:
    if method == "POST":
        return "CreateMultipartUpload" if "uploads" in query else "CompleteMultipartUpload"
    if method == "DELETE":
        return "AbortMultipartUpload" if "uploadId" in query else "DeleteObject"
    if method == "PUT":
        return "UploadPart" if "partNumber" in query else "PutObject"
    if method == "HEAD":
        return "HeadObject"
    return "GetObject" if key else "ListObjectsV2"


def _method(operation: str) -> str:
    return re.sub(r"(?=[A-Z])", "_", operation).lower()


def etag(data: bytes | None) -> str:
    """Return the e-tag of an object's content."""
    if data is None:
        return ""
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


def _document(name: str, inner: str) -> bytes:
    return f'{_XML}<{name} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inner}</{name}>'.encode()
