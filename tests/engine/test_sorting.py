"""Frames are sorted by Ray tasks as they are in one process."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeper.engine.sorting import Cluster
from sweeper.sorter.export import export_model
from sweeper.sorter.files import find_units
from sweeper.sorter.promises import Promise
from sweeper.sorter.sort import Sorter
from sweeper.sorter.table import Table, read_rows
from sweeper.sorter.work import Here, Workers
from tests.conftest import write_textures
from tests.sorter.conftest import PIPELINES, write_run


@pytest.mark.slow
def test_a_cluster_says_what_one_process_says(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", write_textures(tmp_path / "frames"), PIPELINES[2:])
    promise = Promise(0.2)
    model = export_model(run, tmp_path / "m", promise=promise)

    def sorted_by(workers: Workers, name: str) -> list[dict[str, str]]:
        table = Table(tmp_path / name, model)
        report = Sorter(model, table, workers).sort(
            find_units([str(tmp_path / "frames")], None, model.reading)
        )
        table.close()
        assert (report.frames, report.unreadable) == (36, 0)
        rows = sorted(read_rows(tmp_path / name), key=lambda row: row["path"])
        return [{**row, "latency_ms": ""} for row in rows]

    with Here(model) as here:
        expected = sorted_by(here, "here.csv")
    samples = [str(next((tmp_path / "frames").rglob("*.tif")))]
    with Cluster(None, tmp_path / "m", promise, samples) as cluster:
        assert sorted_by(cluster, "cluster.csv") == expected
