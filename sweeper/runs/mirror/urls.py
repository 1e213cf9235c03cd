"""URLs of run folders: which are understood, how they are shown, which file system they open."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from sweeper.errors import InputError

_SCHEMES = ("file", "s3", "gs", "gcs", "hdfs", "viewfs", "abfs", "abfss")
_OPTIONS = ("region", "scheme", "endpoint_override")
"""What may follow the ``?`` of an S3 URL; none of it is secret."""
_OPTIONS_ELSEWHERE = (
    "scheme", "endpoint_override", "project_id", "retry_limit_seconds", "replication", "buffer_size",
    "default_block_size", "blob_storage_authority", "dfs_storage_authority", "enable_tls",
)  # fmt: skip
_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID")

REQUEST_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 5.0
_ATTEMPTS = 3
_GS_RETRIES_S = 20


def is_url(text: str) -> bool:
    """Whether a run folder is named by a URL and not by a path."""
    return re.match(r"[a-z][a-z0-9+.-]*://", text, re.IGNORECASE) is not None


def shown(url: str) -> str:
    """A URL as it may be printed or written: no user or password, no option but region and endpoint."""
    scheme, _, rest = url.partition("://")
    if _holds_password(scheme, rest):
        rest = rest.rpartition("@")[2]  # a password may hold any character
    place, _, query = rest.partition("#")[0].partition("?")
    authority, slash, path = place.partition("/")
    kept = [(name, value) for name, value in parse_qsl(query) if name in _OPTIONS and "@" not in value]
    tail = f"?{urlencode(kept, safe=':/')}" if kept else ""
    return f"{scheme.lower()}://{authority.rpartition('@')[2]}{slash}{path.rstrip('/')}{tail}"


def _holds_password(scheme: str, rest: str) -> bool:
    """Whether a password stands before the host: what follows the colon there is no port."""
    _, colon, port = rest.partition("/")[0].partition("@")[0].partition(":")
    return bool(colon) and "@" in rest and (scheme.lower() == "s3" or not port.isdecimal())


def hidden(text: str) -> str:
    """A text without the credentials of the environment."""
    for name in _SECRETS:
        if len(secret := os.environ.get(name, "")) > 3:
            text = text.replace(secret, "***")
    return text


def endpoint() -> str | None:
    """S3 endpoint that the environment names, as AWS tools read it; None for Amazon's own."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None


def local_folder(url: str) -> Path:
    """Folder on this machine that a sweep with this URL works in.

    Stores at different endpoints are different stores: their folders are different.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    named = f"{shown(url)}\n{endpoint() or ''}"
    digest = hashlib.blake2b(named.encode(), digest_size=10).hexdigest()
    return Path(cache, "sweeper", "runs", digest)


def open_url(url: str) -> tuple[Any, str]:
    """File system of a URL, and the path in it; asks nothing of the network but an S3 bucket's region.

    Raises
    ------
    ValueError
        Not a URL that pyarrow opens, or one with credentials or unknown options in it.
    """
    import pyarrow as pa
    from pyarrow import fs

    scheme, parts = url.partition("://")[0].lower(), urlsplit(url)
    if scheme not in _SCHEMES:
        raise InputError(
            f"{shown(url)}: must be a folder or a URL that pyarrow opens ({', '.join(_SCHEMES)}), got {scheme}://"
        )
    s3 = scheme == "s3"
    if _holds_password(scheme, url.partition("://")[2]) or parts.password or (s3 and "@" in parts.netloc):
        raise InputError(
            f"{shown(url)}: must not hold credentials; they come from the environment "
            "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, ...)"
        )
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    allowed = _OPTIONS if s3 else _OPTIONS_ELSEWHERE
    if unknown := [name for name in options if name not in allowed]:
        raise InputError(
            f"{shown(url)}: after the ? only {', '.join(allowed)} may follow, got {hidden(unknown[0])}"
        )
    try:
        if s3:
            return _open_s3(url, options)
        if scheme in ("gs", "gcs") and "retry_limit_seconds" not in options:
            url = f"{url}{'&' if options else '?'}retry_limit_seconds={_GS_RETRIES_S}"
        system, path = fs.FileSystem.from_uri(url)
        return system, path.rstrip("/")
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{shown(url)}: cannot be opened ({hidden(' '.join(str(error).split()))})") from None


def _open_s3(url: str, options: dict[str, str]) -> tuple[Any, str]:
    """An S3 file system with short timeouts, no background writes (they would queue without bound)."""
    from pyarrow import fs

    parts = urlsplit(url)
    if not parts.netloc:
        raise InputError(f"{shown(url)}: must name a bucket, s3://bucket/folder")
    at = urlsplit(named) if (named := endpoint()) else None
    override = options.get("endpoint_override") or (at.netloc if at else None)
    region = options.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region is None and override is None:
        region = fs.resolve_s3_region(parts.netloc)
    system = fs.S3FileSystem(
        region=region,
        scheme=options.get("scheme") or (at.scheme if at else None),
        endpoint_override=override,
        request_timeout=REQUEST_TIMEOUT_S,
        connect_timeout=CONNECT_TIMEOUT_S,
        background_writes=False,
        allow_delayed_open=True,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
    )
    return system, unquote(f"{parts.netloc}{parts.path}").rstrip("/")
