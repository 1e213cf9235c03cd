"""What a sweep begins with: taken from another run once, and kept in the spec."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import sweeper
from sweeper import cli
from sweeper.errors import InputError
from sweeper.pipeline import Pipeline
from sweeper.runs.checks import check_place
from sweeper.runs.folder import RunFolder
from sweeper.runs.spec import SweepSpec, begins_alike, load_spec, make_spec
from sweeper.runs.warm_start import MOST, best_of, first_pipelines, resolved
from sweeper.space.file import parse_space
from sweeper.space.space import Space
from tests.runs.made_records import Records, made_trial, write_journal

WEIGHTS = [[0.6, 0.4], [0.2, 0.3, 0.5]]
SPACE: dict[str, Any] = {
    "name": "mine",
    "featurizers": {"glcm": {"distance": {"subsets": [1, 2, 4]}, "angle_deg": [[0]]}, "histogram": None},
    "classifiers": {
        "rf": {"max_depth": ["none", 2, 4, 8], "class_weight": ["none", *WEIGHTS]},
        "svm": {"C": [1, 8, 32]},
    },
    "class_order": ["light", "dark"],
}


def space_of(**changes: Any) -> Space:
    return parse_space({**SPACE, **changes}, default_name="mine")


CLASSES = ("dark", "light")
PIPELINES = list(space_of().for_classes(CLASSES).grid())


def score_of(pipeline: Pipeline) -> float:
    """GLCM with forests before GLCM with SVM, histograms last; deep trees and large C a little better."""
    params = pipeline.classifier_params
    base = {"glcm+rf": 0.9, "glcm+svm": 0.8, "histogram+rf": 0.6, "histogram+svm": 0.4}[pipeline.name]
    distances = len(pipeline.features[0].params.get("distance", ()))
    return base + (params.get("max_depth") or params.get("C") or 0) / 1000 + distances / 200


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A finished run over all of the space, with an ensemble in its folder's place."""
    folder = RunFolder(tmp_path / "first")
    records: Records = []
    for number, pipeline in enumerate(PIPELINES):
        records += made_trial(number, pipeline, *[score_of(pipeline)] * 2)
    _write(folder, records)
    return folder


def _write(folder: RunFolder, records: Records) -> None:
    folder.path.mkdir()
    folder.claim(SweepSpec("/frames", SPACE, folds=2))
    folder.write_environment({"classes": list(CLASSES), "folds": 2})
    write_journal(folder.journal, records)


def pipelines_of(found: dict[str, Any]) -> list[Pipeline]:
    return [Pipeline.from_dict(p) for p in found["pipelines"]]


# --------------------------------------------------------------------------- what is taken


def test_the_best_of_each_kind_come_first_then_the_best_of_all(run: RunFolder) -> None:
    found = best_of(str(run.path), space_of())
    assert (found["run"], found["left_out"]) == (str(run.path), 0)
    first = pipelines_of(found)
    assert len({p.id for p in first}) == len(first) == MOST
    assert [p.name for p in first[:4]] == ["glcm+rf", "glcm+svm", "histogram+rf", "histogram+svm"]
    best = [
        max((p for p in PIPELINES if p.name == kind), key=score_of) for kind in [p.name for p in first[:4]]
    ]
    assert [score_of(p) for p in first[:4]] == [score_of(p) for p in best]
    assert {p.name for p in first[4:]} == {"glcm+rf"}
    rest = [score_of(p) for p in first[4:]]
    assert rest == sorted(rest, reverse=True)


def test_what_the_new_space_lacks_is_left_out_and_counted(run: RunFolder) -> None:
    space = space_of(featurizers={"glcm": SPACE["featurizers"]["glcm"]}, classifiers={"svm": {"C": [1, 8]}})
    found = best_of(str(run.path), space)
    first = pipelines_of(found)
    assert {p.name for p in first} == {"glcm+svm"}
    assert len(first) == MOST
    assert found["left_out"] > 10
    narrow = best_of(str(run.path), space_of(featurizers=["histogram"]))
    assert {p.name for p in pipelines_of(narrow)} == {"histogram+rf", "histogram+svm"}


def test_lists_of_class_weights_are_in_the_order_of_the_classes(run: RunFolder) -> None:
    """`dark, light` in the data, `light, dark` in the space."""
    found = best_of(str(run.path), space_of())
    weighted = [p for p in pipelines_of(found) if p.classifier_params.get("class_weight")]
    assert {p.classifier_params["class_weight"] for p in weighted} == {(0.4, 0.6)}
    same, said = first_pipelines(found, space_of().for_classes(CLASSES))
    assert len(same) == MOST
    assert said == f"the sweep begins with the best 10 pipelines of {run.path}"
    others, said = first_pipelines(found, space_of().for_classes(("a", "b", "c")))
    assert len(others) == MOST - len(weighted) > 0
    assert f"the best {len(others)} pipelines of {run.path}; " in said
    assert said.endswith(f"; {len(weighted)} others of its best are not in this space")


def test_stopped_and_failed_ones_are_not_taken(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "first")
    records = [
        *made_trial(0, PIPELINES[0], 0.5, 0.5),
        *made_trial(1, PIPELINES[1], 0.9, 0.9, budget=1 / 3),
        *made_trial(2, PIPELINES[2], 0.9),
    ]
    _write(folder, records)
    assert pipelines_of(best_of(str(folder.path), space_of())) == [PIPELINES[0]]


# --------------------------------------------------------------------------- what is wrong


def test_what_is_no_run(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError, match=re.escape(f"--warm-start {place}: no sweep here")):
            best_of(str(place), space_of())


def test_a_run_without_a_finished_pipeline(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "first")
    _write(folder, made_trial(0, PIPELINES[0], 0.5, 0.5, budget=1 / 3))
    with pytest.raises(InputError, match="none of its pipelines has reached the full budget yet"):
        best_of(str(folder.path), space_of())


def test_a_run_that_has_nothing_in_common(run: RunFolder) -> None:
    other = space_of(featurizers=["lbp"])
    said = f"--warm-start {run.path}: none of its {len(PIPELINES)} finished pipelines is in the space mine"
    with pytest.raises(InputError, match=re.escape(said)):
        best_of(str(run.path), other)


def test_a_run_cannot_begin_with_itself(
    textures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "run")
    said = "--warm-start run: is the run folder itself, see --out"
    with pytest.raises(InputError, match=said):
        sweeper.run(textures, space="quick", out="run", warm_start="link")
    arguments = ["run", str(textures), "--space", "quick", "--out", "run", "--warm-start", "./run"]
    assert cli.main(arguments) == 2
    assert capsys.readouterr().err == f"sweeper: {said}\n"
    spec = make_spec(textures, "quick", warm_start="s3://bucket/run/")
    with pytest.raises(InputError, match="is the run folder itself"):
        check_place(spec, "s3://bucket/run")
    check_place(spec, "s3://bucket/other")
    check_place(spec, Path("run"))


def test_what_is_wrong_is_said_before_anything_is_computed(
    textures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = tmp_path / "nowhere"
    said = f"--warm-start {nowhere}: no sweep here"
    with pytest.raises(InputError, match=re.escape(said)):
        sweeper.plan(textures, space="quick", warm_start=nowhere)
    assert cli.main(["plan", str(textures), "--space", "quick", "--warm-start", str(nowhere)]) == 2
    assert capsys.readouterr().err == f"sweeper: {said}\n"


# --------------------------------------------------------------------------- the spec


def test_a_spec_names_the_run_until_the_sweep_begins(run: RunFolder, tmp_path: Path) -> None:
    spec = make_spec("/others", SPACE, warm_start=run.path)
    assert spec.warm_start == str(run.path)
    folder = RunFolder(tmp_path / "second")
    begun = resolved(spec, folder)
    assert begun.warm_start == best_of(str(run.path), space_of())
    folder.path.mkdir()
    folder.claim(begun)
    kept = folder.load_spec()
    assert kept == begun
    assert pipelines_of(kept.warm_start) == pipelines_of(begun.warm_start)  # type: ignore[arg-type]
    assert load_spec(folder.spec) == begun
    assert resolved(begun, folder) is begun
    assert resolved(replace(spec, warm_start=None), folder).warm_start is None


def test_a_sweep_that_has_begun_needs_the_other_run_no_more(run: RunFolder, tmp_path: Path) -> None:
    spec = make_spec("/others", SPACE, warm_start=run.path)
    folder = RunFolder(tmp_path / "second")
    begun = resolved(spec, folder)
    folder.path.mkdir()
    folder.claim(begun)
    write_journal(folder.journal, made_trial(0, PIPELINES[0], 0.5, 0.5))
    shutil.rmtree(run.path)
    folder.check(spec)
    assert resolved(spec, folder) == begun
    with pytest.raises(InputError, match="no sweep here"):
        resolved(replace(spec, warm_start=str(tmp_path / "third")), folder)


def test_other_first_pipelines_make_another_sweep(run: RunFolder) -> None:
    spec = make_spec("/others", SPACE, warm_start=run.path)
    begun = replace(spec, warm_start=best_of(str(run.path), space_of()))
    assert spec.difference(begun) is None
    assert begun.difference(spec) is None
    other = replace(begun, warm_start={**begun.warm_start, "run": "/moved"})  # type: ignore[dict-item]
    assert begun.difference(other) is None
    said = "it begins with other pipelines, see --warm-start"
    for warm_start in (None, "/elsewhere", {"run": str(run.path), "pipelines": []}):
        assert begun.difference(replace(spec, warm_start=warm_start)) == said
        assert replace(spec, warm_start=warm_start).difference(begun) == said


def test_a_run_at_a_url_is_named_without_its_password() -> None:
    begun = {"run": "s3://bucket/run", "pipelines": []}
    assert begins_alike("s3://user:secret@bucket/run/", begun)
    assert not begins_alike("s3://bucket/other", begun)


def test_paths_of_a_spec_file_are_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    for written, read in (
        ("runs/first", str(tmp_path / "runs" / "first")),
        ("/runs/first", "/runs/first"),
        ("s3://bucket/run", "s3://bucket/run"),
    ):
        path.write_text(f"data: /frames\nspace: quick\nwarm_start: {written}\n")
        assert load_spec(path).warm_start == read
    path.write_text("data: /frames\nspace: quick\nwarm_start: runs/first\n")
    with pytest.raises(InputError, match="warm_start must be an absolute path of the cluster's"):
        load_spec(path, elsewhere=True)
    path.write_text("data: /frames\nspace: quick\nwarm_start: s3://bucket/run\n")
    assert load_spec(path, elsewhere=True).warm_start == "s3://bucket/run"


def test_a_plan_says_what_it_begins_with(run: RunFolder, textures: Path, tmp_path: Path) -> None:
    space = {**SPACE, "classifiers": {"svm": {"C": [1, 8]}}}
    plan = sweeper.plan(textures, space=space, warm_start=run.path, trials=12)
    (note,) = [note for note in plan.notes if "begins with" in note]
    assert note.startswith(f"the sweep begins with the best 10 pipelines of {run.path}; ")
    assert json.loads(run.environment.read_text())["classes"] == list(CLASSES)
