"""Sweeps as Ray Jobs: sent to a cluster's head, followed and stopped."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sweeper import plugins
from sweeper.errors import InputError
from sweeper.extras import CLUSTER, check_libraries
from sweeper.runs.contents import SPEC
from sweeper.runs.mirror import is_url, shown
from sweeper.runs.spec import SweepSpec
from sweeper.yamlfile import to_yaml

_TIMEOUT_S = 6.0
"""For the connection, and again for the answer."""


@contextmanager
def _client(address: str) -> Iterator[Any]:
    """Give a client of the jobs of a cluster, by its dashboard's address; InputError if none answers."""
    check_libraries(CLUSTER, f"--address {address}")
    import requests
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    try:
        if address.startswith(("http://", "https://")):  # the client itself waits for ever
            requests.get(f"{address.rstrip('/')}/api/version", timeout=_TIMEOUT_S)
        yield JobSubmissionClient(address)
    except (ConnectionError, requests.ConnectionError, requests.Timeout) as error:
        raise InputError(f"--address {address}: no Ray dashboard answers ({_line(error)})") from None
    except AuthenticationError:
        raise InputError(
            f"--address {address}: the cluster's token is needed: set RAY_AUTH_MODE=token and "
            "RAY_AUTH_TOKEN_PATH to its file"
        ) from None
    except RuntimeError as error:
        if "does not exist" in str(error):
            raise InputError(f"--address {address}: {_line(error)}") from None
        if "No available agent" in str(error):
            raise InputError(
                f"--address {address}: the cluster has just started and takes no jobs yet, submit it again"
            ) from None
        if "WebSocket" in str(error):
            raise InputError(f"--address {address}: the dashboard has gone ({_line(error)})") from None
        raise


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def submit(spec: SweepSpec, out: str, address: str) -> str:
    """Send a sweep, with the code and the plugins that this process runs; return the job's id.

    Parameters
    ----------
    spec : SweepSpec
        Paths in it are paths of the cluster: data are not sent.
    out : str
        Run folder, as the head sees it.
    address : str
        Of the dashboard, ``http://head:8265``.

    Raises
    ------
    InputError
        A path is not absolute, nothing answers at `address`, or it wants a token.
    """
    if is_url(out):
        if shown(out) != out.rstrip("/"):
            raise InputError("--out must not hold credentials: they belong in the cluster's environment")
    elif not Path(out).is_absolute():
        raise InputError(f"--out must be an absolute path of the cluster's, got {out!r}: data are not sent")
    with tempfile.TemporaryDirectory(prefix="sweeper-job-") as folder, _client(address) as client:
        for package in plugins.PACKAGES:  # the code that runs here runs there
            source = plugins.source_folder(package)
            ignored = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
            shutil.copytree(source, Path(folder, *package.split(".")), ignore=ignored, dirs_exist_ok=True)
        Path(folder, SPEC).write_text(to_yaml(spec.resolved()))
        plugins.copy_folders(Path(folder, plugins.SENT))
        # Plugins are those that were sent, whatever the head's own environment names.
        command = ["env", f"{plugins.VARIABLE}=", "python", "-m", "sweeper", "run", SPEC]
        job: str = client.submit_job(
            entrypoint=shlex.join([*command, "--address", "auto", "--out", out]),
            runtime_env={"working_dir": folder},
            metadata={"sweeper": out},
        )
    return job


def follow(job: str, address: str) -> int:
    """Print what a job prints until it ends; return its exit status, 0 or 1."""
    with _client(address) as client:

        async def tail() -> None:
            async for text in client.tail_job_logs(job):
                print(text, end="", flush=True)

        asyncio.run(tail())
        return 0 if client.get_job_status(job) == "SUCCEEDED" else 1


def job_status(job: str, address: str) -> str:
    """Return a line about a job."""
    with _client(address) as client:
        info = client.get_job_info(job)
        where = (info.metadata or {}).get("sweeper", "")
        message = f" ({_line(Exception(info.message))})" if info.message else ""
        return f"{job}: {str(info.status.value).lower()}{message}; run folder {where}"


def stop(job: str, address: str) -> str:
    """Stop a job, as Ctrl-C does; what was recorded stays. Return a line about it."""
    with _client(address) as client:
        stopped = client.stop_job(job)
    return f"{job}: {'stopped' if stopped else 'was not running'}; submit it again to resume"
