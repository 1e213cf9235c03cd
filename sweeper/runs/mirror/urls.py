"""URLs of run folders: which are understood, and how they are shown."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from sweeper.errors import InputError

AZURE = ("az", "abfs", "abfss")
_SCHEMES = ("file", "s3", "gs", "gcs", *AZURE)
_OPTIONS = ("region", "scheme", "endpoint_override")
"""Options that may follow the ``?`` of a URL; none of them is secret."""
_SECRETS = (
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID",
    "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_CLIENT_SECRET", "GOOGLE_BEARER_TOKEN",
)  # fmt: skip
_KEYS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "gcs": "GOOGLE_APPLICATION_CREDENTIALS",
}
_AZURE_KEYS = "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY"


def is_url(text: str) -> bool:
    """Return whether a run folder is named by a URL and not by a path."""
    return re.match(r"[a-z][a-z0-9+.-]*://", text, re.IGNORECASE) is not None


def shown(url: str) -> str:
    """Return a URL as it may be printed or written: without user, password and unknown options."""
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    if _holds_password(scheme, rest):
        rest = rest.rpartition("@")[2]  # a password may hold any character
    place, _, query = rest.partition("#")[0].partition("?")
    authority, slash, path = place.partition("/")
    if scheme not in AZURE:  # there it is container@account
        authority = authority.rpartition("@")[2]
    kept = [(name, value) for name, value in parse_qsl(query) if name in _OPTIONS and "@" not in value]
    tail = f"?{urlencode(kept, safe=':/')}" if kept else ""
    return f"{scheme}://{authority}{slash}{path.rstrip('/')}{tail}"


def _holds_password(scheme: str, rest: str) -> bool:
    """Return whether a password stands before the host: what follows the colon there is no port."""
    _, colon, port = rest.partition("/")[0].partition("@")[0].partition(":")
    return bool(colon) and "@" in rest and (scheme == "s3" or not port.isdecimal())


def hidden(text: str) -> str:
    """Return a text without the credentials of the environment."""
    for name in _SECRETS:
        if len(secret := os.environ.get(name, "")) > 3:
            text = text.replace(secret, "***")
    return text


def endpoint() -> str | None:
    """Return the S3 endpoint that the environment names, as AWS tools read it; None for Amazon's own."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None


def local_folder(url: str) -> Path:
    """Return the folder on this machine that a sweep with this URL works in.

    Stores at different endpoints are different stores: their folders are different.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    named = f"{shown(url)}\n{endpoint() or ''}"
    digest = hashlib.blake2b(named.encode(), digest_size=10).hexdigest()
    return Path(cache, "sweeper", "runs", digest)


def credentials_of(scheme: str) -> str:
    """Return where the credentials of a store come from, for messages."""
    return f"the environment ({_KEYS.get(scheme, _AZURE_KEYS)})"


def options_of(url: str, scheme: str) -> dict[str, str]:
    """Return the options of a URL.

    Raises
    ------
    InputError
        The URL is not understood, holds credentials, or has unknown options.
    """
    if scheme not in _SCHEMES:
        raise InputError(
            f"{shown(url)}: must be a folder or a URL of a store ({', '.join(_SCHEMES)}), got {scheme}://"
        )
    parts = urlsplit(url)
    user = "@" in parts.netloc and scheme not in AZURE
    if user or _holds_password(scheme, url.partition("://")[2]):
        raise InputError(f"{shown(url)}: must not hold credentials; they come from {credentials_of(scheme)}")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    allowed = _OPTIONS if scheme == "s3" else () if scheme == "file" else _OPTIONS[1:]
    if unknown := [name for name in options if name not in allowed]:
        rule = f"only {', '.join(allowed)} may follow" if allowed else "nothing may follow"
        raise InputError(f"{shown(url)}: after the ? {rule}, got {hidden(unknown[0])}")
    return options


def server_of(url: str, scheme: str, options: dict[str, str]) -> str | None:
    """Return the URL of the server that keeps the files; None for that of the store's own cloud."""
    named = options.get("endpoint_override") or (endpoint() if scheme == "s3" else None)
    if named is None:
        return None
    if not is_url(named):
        named = f"{options.get('scheme', 'https')}://{named}"
    if urlsplit(named).scheme.lower() not in ("http", "https"):
        raise InputError(f"{shown(url)}: an endpoint must begin with http:// or https://, got {shown(named)}")
    return named
