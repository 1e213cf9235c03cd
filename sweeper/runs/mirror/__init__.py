"""Run folders at a URL: a local folder that is kept the same as one in S3 or another object store.

Everything else sees a local folder. :func:`mirrored` fills it from the URL before a sweep and sends what
changes while the sweep runs; :func:`pulled` gives those who only read a temporary copy.
"""

from __future__ import annotations

from sweeper.errors import MirrorError
from sweeper.runs.mirror.lease import holder
from sweeper.runs.mirror.mirror import Mirror, mirrored
from sweeper.runs.mirror.reading import pulled
from sweeper.runs.mirror.urls import is_url, local_folder, shown

__all__ = ["Mirror", "MirrorError", "holder", "is_url", "local_folder", "mirrored", "pulled", "shown"]
