"""The report of a run: what the page says, that it stands alone, and what is refused."""

from __future__ import annotations

import io
import json
import re
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep

from sweeper.cli import main
from sweeper.evaluate.metrics import TITLES
from sweeper.report import headline, sections, write_report
from sweeper.report.content import Chart, Interactive, Pictures, Table, Text
from sweeper.report.curves import mean_half_width
from sweeper.report.labels import Labels
from sweeper.report.page import charts
from sweeper.report.reading import read_run
from sweeper.report.run import Run
from sweeper.report.significance import difference
from sweeper.report.style import svg
from sweeper.runs.folder import RunFolder
from sweeper.runs.mirror import Mirror
from sweeper.runs.progress import Progress
from tests.report.made_runs import CLASSES, MadeRun, diffranet_run, pipeline

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
VOID = {"meta", "link", "img", "input", "br"}
NASTY = """<img src=x onerror="alert('1')">&</script><b>"""


class Page(HTMLParser):
    """Reads a page: that its tags are balanced, what it loads, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def count(self, tag: str) -> int:
        return sum(found == tag for found, _ in self.tags)


def read(path: Path) -> Run:
    return read_run(RunFolder(path), str(path))


def section(run: Run, name: str) -> Any:
    return next((s for s in sections(run) if s.id == name), None)


def tables(run: Run, name: str) -> list[Table]:
    found: list[Table] = []
    blocks = list(section(run, name).blocks)
    while blocks:
        block = blocks.pop(0)
        blocks = [*getattr(block, "blocks", ()), *blocks]
        found += [block] if isinstance(block, Table) else []
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = diffranet_run(tmp_path_factory.mktemp("report") / "run")
    run.frames([f"{CLASSES[i % 5]}/{i:03}.tif" for i in range(200)])
    return run.write()


@pytest.fixture(scope="module")
def html(made: Path) -> str:
    path, _ = write_report(made, str(made), made / "report.html")
    return path.read_text()


# --------------------------------------------------------------------------- the page


def test_the_page_is_whole_and_needs_nothing_else(html: str) -> None:
    page = Page(html)
    for tag, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "action", "data", "srcset", "poster"):
            target = attributes.get(name) or ""
            assert target.startswith(("data:", "#")) or not target, (tag, target)
    assert not re.search(r"@import|url\(\s*['\"]?(?!#)|fetch\(|XMLHttpRequest|import\(", html)
    assert set(re.findall(r"https?://[^\s\"'<]+", html)) <= {
        "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink",
    }  # fmt: skip
    assert "width=device-width" in html
    assert len(html) < 1_500_000


def test_every_link_of_the_page_has_its_target_and_no_name_comes_twice(html: str) -> None:
    page = Page(html)
    names = [a["id"] for _, a in page.tags if "id" in a]
    assert len(names) == len(set(names))
    for _, attributes in page.tags:
        for name in ("href", "xlink:href"):
            target = attributes.get(name) or ""
            if target.startswith("#"):
                assert target[1:] in names
    for name in re.findall(r"url\(#([\w.-]+)\)", html):
        assert name in names


def test_names_of_people_are_text_wherever_they_stand(tmp_path: Path) -> None:
    run = MadeRun(tmp_path / "run", NASTY, np.arange(40) % 2, ["good", NASTY])
    name = NASTY.replace("/", "")
    run.trial(pipeline("glcm", "rf", distance=[1]), 0.2, keep=True, test=True)
    run.trial(pipeline("glcm", "et", distance=[2]), 0.3)
    run.fail(pipeline("lbp", "rf"), NASTY)
    run.frames([f"{name}{i}.tif" for i in range(40)])
    html, _ = write_report(run.write(), f"/somewhere/{NASTY}", tmp_path / "out.html")
    text = html.read_text()
    page = Page(text)
    scripts = [a.get("type") for tag, a in page.tags if tag == "script"]
    assert scripts == ["application/json", None]
    assert not [a for _, a in page.tags if any(k.startswith("on") for k in a)]
    assert NASTY in "".join(page.text)
    data = re.search(r'<script type="application/json">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    assert json.loads(data[1])["score"]


def test_the_leaderboard_is_that_of_the_run(made: Path) -> None:
    run = read(made)
    (table,) = tables(run, "leaderboard")
    assert table.sortable
    names = [column.name for column in table.columns]
    assert len(table.rows) == len(run.board)
    assert len(run.tried) == 10
    for row, ours in zip(table.rows, run.board.itertuples(), strict=True):
        assert row[names.index("rank")].value == ours.rank
        if ours.status != "failed":
            assert row[names.index("accuracy")].value == pytest.approx(ours.accuracy)
            assert f"{ours.accuracy:.4f}" in row[names.index("accuracy")].text
    last = table.rows[-1]
    assert "time limit" in last[names.index("status")].text
    assert last[names.index("accuracy")].value is None


def test_an_ensemble_is_a_row_and_no_trial(made: Path) -> None:
    run = read(made)
    row: Any = next(r for r in run.board.itertuples() if r.trial < 0)
    labels = Labels(run.board)
    assert labels.short(row) == "ensemble"
    assert re.fullmatch(r"ensemble of trials \d+ \([\d.]+\)(, \d+ \([\d.]+\))*", labels.long(row))
    assert len(run.folds(-1)) == 5
    assert ("10", "pipelines tried") in headline(run)
    assert run.totals.evaluations == 9 * 5 + 4 + 1  # trials on folds, tests, and a failure


def test_parameters_are_named_where_they_tell_rows_apart(made: Path) -> None:
    run = read(made)
    labels = Labels(run.board)
    row: Any = next(r for r in run.board.itertuples() if (r.featurizer, r.classifier) == ("glcm", "rf"))
    assert labels.long(row) == "glcm angle_deg=0 distance=1,2 + rf"
    assert labels.short(row) == "glcm + rf"


def test_what_very_many_trials_leave_out_is_said(tmp_path: Path) -> None:
    made = MadeRun(tmp_path / "run", "quick", np.arange(20) % 5, folds=1)
    for i in range(2000):
        made.trial(pipeline("glcm", "rf", distance=[i], clf_n_trees=i % 7), 0.01 * (i % 60))
    html, _ = write_report(made.write(), "run", tmp_path / "report.html")
    assert html.stat().st_size < 3_000_000
    run = read(tmp_path / "run")
    (board,) = tables(run, "leaderboard")
    assert len(board.rows) == 500
    assert board.note.startswith("The best 500 of 2,000 rows")
    lines = next(b for b in section(run, "search").blocks if isinstance(b, Interactive))
    assert len(lines.data["score"]) == 1500
    assert "1,500 of 2,000 pipelines are drawn" in lines.caption
    assert max(lines.data["score"]) == pytest.approx(run.board.accuracy.max(), abs=1e-5)


@pytest.mark.parametrize("left", ["everything", "journal", "environment", "frames"])
def test_a_run_that_has_only_begun_has_a_report(tmp_path: Path, left: str) -> None:
    made = diffranet_run(tmp_path / "run")
    made.frames(["a.tif"])
    made.write()
    for name in ("journal", "environment", "frames") if left == "everything" else (left,):
        getattr(made.folder, name).unlink()
    html, _ = write_report(made.folder.path, "run", tmp_path / "report.html")
    assert "What was searched" in "".join(Page(html.read_text()).text)


def test_trials_that_all_stopped_early_are_shown(tmp_path: Path) -> None:
    made = MadeRun(tmp_path / "run", "quick", np.arange(40) % 5)
    made.trial(pipeline("glcm", "rf"), 0.1, budget=1 / 9)
    made.trial(pipeline("lbp", "rf"), 0.2, budget=1 / 3)
    html, _ = write_report(made.write(), "run", tmp_path / "report.html")
    assert "stopped at 0.33" in "".join(Page(html.read_text()).text)


@pytest.mark.parametrize("metric", ["kappa", "auc_ovr"])
def test_another_metric_ranks_and_is_shown(tmp_path: Path, metric: str) -> None:
    made = diffranet_run(tmp_path / "run", metric=metric)
    run = read(made.write())
    (table,) = tables(run, "leaderboard")
    shown = [row[1].value for row in table.rows if row[1].value is not None]
    assert table.columns[1].name == TITLES[metric]
    assert shown[: len(run.done)] == sorted(shown[: len(run.done)], reverse=True) == run.done[metric].tolist()
    name, about = headline(run)[0]
    assert name == f"{run.done[metric].iloc[0]:.4f}"
    assert "95 % interval" in about


def test_sessions_say_what_was_computed_and_what_reused(tmp_path: Path) -> None:
    made = MadeRun(tmp_path / "run", "quick", np.arange(40) % 5)
    made.trial(pipeline("glcm", "rf"), 0.1)
    for computed, known in ((120, 0), (30, 120)):
        progress = Progress(io.StringIO())
        progress.state.evaluations, progress.state.evaluations_known = computed, known
        made.folder.add_session(progress.session())
    with made.folder.sessions.open("a") as file:
        file.write('{"started": "cut sho')
    table = tables(read(made.write()), "cost")[-1]
    assert [[cell.text for cell in row[2:4]] for row in table.rows] == [["120", "0"], ["30", "120"]]
    assert table.rows[0][0].text[:2] == "20"


# --------------------------------------------------------------------------- differences


def test_p_of_a_difference_is_the_leaderboards(made: Path) -> None:
    run = read(made)
    first, *others = run.done.itertuples()
    for row in others:
        found = difference(run, int(first.trial), int(row.trial))
        assert found is not None
        assert found.p == pytest.approx(row.p_vs_best)
        assert found.mean == pytest.approx(first.accuracy - row.accuracy)
        assert found.low is not None and found.high is not None
        assert found.low <= found.mean <= found.high
        assert (found.p < 0.05) == (found.better or found.worse)


def test_a_single_split_is_compared_by_newcombes_interval(tmp_path: Path) -> None:
    made = MadeRun(tmp_path / "run", "quick", np.arange(150) % 5, folds=1)
    a, b = (made.trial(pipeline("glcm", c), wrong) for c, wrong in (("rf", 0.1), ("svm", 0.3)))
    run = read(made.write())
    found = difference(run, a, b)
    right = [round(150 * run.scores(t)[0]) for t in (a, b)]
    low, high = confint_proportions_2indep(right[0], 150, right[1], 150, method="newcomb", compare="diff")
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)
    assert found.p is None


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_shades_are_students_intervals_of_the_mean(confidence: float) -> None:
    values = np.random.default_rng(1).normal(size=5)
    half = float(mean_half_width(values.std(ddof=1), 5, confidence))
    low, high = stats.t.interval(confidence, 4, values.mean(), stats.sem(values))
    assert (values.mean() - half, values.mean() + half) == pytest.approx((low, high))
    assert mean_half_width(0.3, 1, confidence) == 0


# --------------------------------------------------------------------------- frames to look at


def surely_wrong(row: int, label: int, by: float) -> Callable[[Any], None]:
    """Makes a pipeline take one frame for the next class, as sure as it is told."""

    def change(scores: Any) -> None:
        scores[row] = (1 - by) / (scores.shape[1] - 1)
        scores[row, (label + 1) % scores.shape[1]] = by

    return change


@pytest.fixture
def watched(tmp_path: Path) -> MadeRun:
    """The best pipeline gets frames 7 and 12 wrong, 12 more surely; the second one 12 alone."""
    labels = np.arange(40, dtype=np.int64) % 5

    def both(scores: Any) -> None:
        surely_wrong(7, 2, 0.6)(scores)
        surely_wrong(12, 2, 0.95)(scores)

    made = MadeRun(tmp_path / "run", "quick", labels)
    made.trial(pipeline("glcm", "rf"), 0.0, keep=True, change=both)
    made.trial(pipeline("lbp", "rf"), 0.0, keep=True, change=surely_wrong(12, 2, 0.9))
    made.trial(pipeline("sift", "rf"), 0.5)
    return made


def pictures(path: Path) -> list[Any]:
    found = section(read(path), "frames")
    return [p for b in found.blocks if isinstance(b, Pictures) for p in b.pictures]


def test_frames_that_are_wrong_for_sure_come_first(watched: MadeRun) -> None:
    names = [f"{CLASSES[i % 5]}/{i:02}.tif" for i in range(40)]
    frames = watched.frames(names)
    path = watched.write()
    run = read(path)
    best = run.done.iloc[0]
    shown = pictures(path)
    assert best.featurizer == "lbp"  # one frame wrong, not two
    assert [p.lines[0] for p in shown] == ["no-crystal → strong"]
    assert shown[0].lines[1:3] == ["probability 0.90", "0 of 2 pipelines right"]
    assert shown[0].lines[3] == str(frames[12].relative_to(frames[0].parent.parent))
    assert shown[0].uri.startswith("data:image/webp;base64,")


def test_data_that_moved_is_said_and_no_fault(watched: MadeRun) -> None:
    for frame in watched.frames([f"{i:02}.tif" for i in range(40)]):
        frame.unlink()
    path = watched.write()
    assert [p.uri for p in pictures(path)] == [""]
    said = [b.text for b in section(read(path), "frames").blocks if isinstance(b, Text)]
    assert any("the data may have moved" in text for text in said)


def test_a_pipeline_without_a_wrong_frame_shows_what_it_is_least_sure_of(tmp_path: Path) -> None:
    made = MadeRun(tmp_path / "run", "quick", np.arange(40) % 5)

    def unsure(scores: Any) -> None:
        scores[3] = [0.21, 0.2, 0.19, 0.22, 0.18]

    made.trial(pipeline("glcm", "rf"), 0.0, keep=True, change=unsure)
    made.frames([f"{i:02}.tif" for i in range(40)])
    shown = pictures(made.write())
    assert shown[0].lines[0] == "strong"
    assert shown[0].lines[-1] == "03.tif"


def test_an_old_run_without_predictions_has_no_such_section(tmp_path: Path) -> None:
    made = MadeRun(tmp_path / "run", "quick", np.arange(40) % 5)
    made.trial(pipeline("glcm", "rf"), 0.1)
    assert section(read(made.write()), "frames") is None


def test_a_damaged_file_of_predictions_is_named(watched: MadeRun) -> None:
    watched.frames([f"{i:02}.tif" for i in range(40)])
    path = watched.write()
    for file in watched.folder.predictions.iterdir():
        file.write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"predictions/\w+\.parquet: must be a file of predictions"):
        sections(read(path))


# --------------------------------------------------------------------------- charts


def test_charts_follow_the_pages_theme(made: Path) -> None:
    found = list(charts(sections(read(made))))
    assert {"intervals", "latency", "parallel-coordinates", "history", "confusion-glcm"} <= {
        c.name for c in found
    }
    for chart in found:
        assert isinstance(chart, Chart)
        picture = svg(chart)
        assert picture == svg(chart)  # nothing of the moment in it
        assert "var(--" in picture
        assert "DejaVu" not in picture
        assert "mathdefault" not in picture


def test_places_on_parallel_axes_are_those_of_the_values(made: Path) -> None:
    run = read(made)
    block = next(b for b in section(run, "search").blocks if isinstance(b, Interactive))
    axes = {(axis["name"], *(axis["of"] or ())): axis for axis in block.data["axes"]}
    lines = range(len(block.data["score"]))
    assert ("distance", "featurizer", "glcm") in axes
    for axis in axes.values():
        for i in lines:
            at = axis["where"][i]
            if axis["of"] is None:
                assert 0 <= at <= 1
            else:
                assert (at is None) == (block.data[axis["of"][0]][i] != axis["of"][1])
    score = axes["accuracy",]["where"]
    assert np.argmax(score) == np.argmax(block.data["score"])
    assert (min(score), max(score)) == (0, 1)


# --------------------------------------------------------------------------- the command


def test_the_command_writes_the_page_and_the_figures(made: Path, tmp_path: Path, run_cli: Cli) -> None:
    done = run_cli("report", made, "--figures", tmp_path / "figures")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"report: {made / 'report.html'} (")
    files = sorted(p.name for p in (tmp_path / "figures").iterdir())
    stems = {name.rpartition(".")[0] for name in files}
    assert {f"{stem}.{suffix}" for stem in stems for suffix in ("png", "pdf")} == set(files)
    assert f"figures: {len(stems)} in " in done.stdout
    for file in (tmp_path / "figures").iterdir():
        assert file.read_bytes()[:4] == {"png": b"\x89PNG", "pdf": b"%PDF"}[file.suffix[1:]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{tmp}/nowhere"], "{tmp}/nowhere: no sweep here (sweep.yaml is missing)"),
        (["{made}", "--html", "{made}"], "--html {made}: cannot be written (Is a directory)"),
        (
            ["{made}", "--html", "{tmp}/o.html", "--figures", "{made}/sweep.yaml"],
            "--figures {made}/sweep.yaml: cannot be written (",
        ),
        (["s3://bucket/run"], "--html must name a file for the report: the run is at a URL, s3://bucket/run"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_one_line(
    arguments: list[str], said: str, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"tmp": tmp_path, "made": made}
    assert main(["report", *(a.format(**places) for a in arguments)]) == 2
    line = capsys.readouterr().err
    assert line.startswith(f"sweeper: {said.format(**places)}")
    assert line.count("\n") == 1


def test_a_run_at_a_url_is_read_there(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    url = f"file://{tmp_path}/there/first"
    mirror = Mirror(url, made)
    mirror.pull()
    mirror.start(0.02)
    mirror.stop()
    assert main(["report", url, "--html", str(tmp_path / "out.html")]) == 0
    assert capsys.readouterr().out.startswith(f"report: {tmp_path / 'out.html'} (")
    text = (tmp_path / "out.html").read_text()
    assert "<h1>first</h1>" in text
    assert text.count("data:image/webp;base64,") == len(pictures(made)) > 0


def test_featurizers_side_by_side_are_told_apart_by_the_parameters_of_each(tmp_path: Path) -> None:
    made = MadeRun(tmp_path / "run", "quick", np.arange(40) % 5)
    for distance, radius in (([1], 1), ([1, 2], 1), ([1], 3)):
        made.trial(
            pipeline("glcm+lbp", "rf", glcm={"distance": distance}, lbp={"radius": radius, "points": 8}), 0.1
        )
    made.trial(pipeline("glcm", "rf", distance=[1]), 0.3)
    made.trial(pipeline("glcm+lenet", "rf", lenet={"training_set": "augmented"}), 0.4)
    html, _ = write_report(made.write(), "run", tmp_path / "report.html")
    run = read(tmp_path / "run")
    labels = Labels(run.board)
    assert {labels.long(row) for row in run.done.itertuples()} == {
        "glcm+lbp glcm.distance=1 lbp.radius=1 + rf",
        "glcm+lbp glcm.distance=1,2 lbp.radius=1 + rf",
        "glcm+lbp glcm.distance=1 lbp.radius=3 + rf",
        "glcm + rf",
        "glcm+lenet BLA + rf",
    }
    lines = next(b for b in section(run, "search").blocks if isinstance(b, Interactive))
    of_pair = [axis["name"] for axis in lines.data["axes"] if axis["of"] == ["featurizer", "glcm+lbp"]]
    assert of_pair == ["glcm.distance", "lbp.radius"]
    assert "glcm+lbp" in "".join(Page(html.read_text()).text)
