"""A Ray of the engine's own for tests of what runs on it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import ray

import tests.conftest
from sweeper.engine.cluster import connected
from tests.runs import made_records


@pytest.fixture(scope="module")
def local_ray(request: pytest.FixtureRequest) -> Iterator[None]:
    """Ray with two cores in this process, as a sweep starts it.

    Its workers cannot import tests: what they run of the module that asks, and of helpers, is sent to them.
    """
    before = dict(os.environ)
    sent = (request.module, made_records, tests.conftest)
    for module in sent:
        ray.cloudpickle.register_pickle_by_value(module)
    with connected(None, 2):
        yield
    for module in sent:
        ray.cloudpickle.unregister_pickle_by_value(module)
    os.environ.clear()
    os.environ.update(before)
