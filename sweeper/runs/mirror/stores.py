"""The stores that URLs open: S3 and whatever speaks it, Google's, Azure's, a folder of this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, LocalStore, S3Store

from sweeper.errors import InputError
from sweeper.extras import remedy
from sweeper.runs.mirror.urls import AZURE, hidden, options_of, server_of, shown

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

_KINDS = {"s3": S3Store, "gs": GCSStore, "gcs": GCSStore, **dict.fromkeys(AZURE, AzureStore)}
_CONNECT_TIMEOUT_S = 5.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 4.0


@dataclass(frozen=True)
class Place:
    """Where the files of a URL are.

    Attributes
    ----------
    scheme : str
    bucket : str
        Empty for a folder of this machine.
    folder : str
        Path of the run folder in the bucket, without slashes around it.
    server : str or None
        URL of the server; None for that of the store's own cloud.
    config : dict
        What the store's library is told besides.
    """

    scheme: str
    bucket: str
    folder: str
    server: str | None
    config: dict[str, Any]

    @property
    def local(self) -> bool:
        return self.scheme == "file"

    @property
    def name(self) -> str:
        """Who answers, for messages."""
        return urlsplit(self.server).netloc if self.server else "the store"

    def store(self, timeout_s: float, patience_s: float) -> ObjectStore:
        """Return the store.

        Parameters
        ----------
        timeout_s : float
            For one request.
        patience_s : float
            A request that fails is repeated for so long, after pauses that double.
        """
        if self.local:
            return LocalStore()
        client: ClientConfig = {
            "timeout": timedelta(seconds=timeout_s),
            "connect_timeout": timedelta(seconds=_CONNECT_TIMEOUT_S),
            "allow_http": bool(self.server) and urlsplit(self.server).scheme == "http",
        }
        retries: RetryConfig = {
            "max_retries": 1000,  # time is what ends them
            "retry_timeout": timedelta(seconds=patience_s),
            "backoff": {
                "init_backoff": timedelta(seconds=_FIRST_PAUSE_S),
                "max_backoff": timedelta(seconds=_LONGEST_PAUSE_S),
                "base": 2,
            },
        }
        kind: Any = _KINDS[self.scheme]
        store: ObjectStore = kind(self.bucket, client_options=client, retry_config=retries, **self.config)
        return store


def place_of(url: str) -> Place:
    """Return the place that a URL names; asks nothing of the network but an S3 bucket's region.

    Raises
    ------
    InputError
        Not a URL that can be opened, or one with credentials or unknown options in it.
    """
    scheme, parts = url.partition("://")[0].lower(), urlsplit(url)
    options = options_of(url, scheme)
    server = server_of(url, scheme, options)
    bucket, config = parts.netloc, dict[str, Any]()
    if scheme == "file" and bucket:
        raise InputError(f"{shown(url)}: must be file:///absolute/path, got the host {bucket}")
    if scheme != "file" and not bucket:
        raise InputError(f"{shown(url)}: must name a bucket, {scheme}://bucket/folder")
    try:
        if scheme == "s3":
            config = _s3(url, bucket, server, options)
        elif scheme in AZURE:
            bucket, _, account = bucket.partition("@")
            config = {"account_name": account.partition(".")[0], "endpoint": server}
        elif scheme != "file":
            config = {"base_url": server}
        config = {name: value for name, value in config.items() if value}
        place = Place(scheme, bucket, unquote(parts.path).strip("/"), server, config)
        place.store(1, 1)
    except (BaseError, OSError) as error:
        why = hidden(" ".join(str(error).partition("\n\nDebug source")[0].split()))
        raise InputError(f"{shown(url)}: cannot be opened ({why})") from None
    return place


def _s3(url: str, bucket: str, server: str | None, options: dict[str, str]) -> dict[str, Any]:
    region = options.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region is None and server is None:
        from pyarrow.fs import resolve_s3_region

        region = resolve_s3_region(bucket)
    return {
        "aws_endpoint_url_s3": server,
        "region": region,
        "disable_bulk_delete": True,  # not every server of S3 has it
        "credential_provider": _profile(url),
    }


def _profile(url: str) -> Any:
    """Return what gives the credentials of a profile in ``~/.aws``, None where there is none to look for.

    Keys in the environment go first. Without either, the store's library asks the machine: web identity,
    container and instance roles.
    """
    files = (
        os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
        os.environ.get("AWS_CONFIG_FILE", "~/.aws/config"),
    )
    there = any(Path(file).expanduser().is_file() for file in files)
    if os.environ.get("AWS_ACCESS_KEY_ID") or not (os.environ.get("AWS_PROFILE") or there):
        return None
    try:
        from botocore.exceptions import BotoCoreError
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        raise InputError(
            f"{shown(url)}: a login with ~/.aws {remedy('boto3')}; or set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY"
        ) from None
    try:
        return Boto3CredentialProvider()
    except (BotoCoreError, ValueError) as error:
        raise InputError(f"{shown(url)}: no credentials in ~/.aws ({hidden(str(error))})") from None
