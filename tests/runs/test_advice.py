"""What a sweep teaches about the next one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweeper.evaluate.statistics import p_value, standard_error
from sweeper.pipeline import FeaturizerChoice, Pipeline
from sweeper.runs.advice import (
    BEST,
    COMPLETE,
    ENOUGH,
    FEW,
    KEEP,
    NEVER,
    PROBABLY,
    SHORT,
    UNKNOWN,
    Advice,
    Part,
    Step,
    advise,
)
from sweeper.runs.spec import SweepSpec
from sweeper.yamlfile import to_yaml
from tests.runs.made_records import (
    Records,
    made_evaluation,
    made_failure,
    made_pipeline,
    made_score,
    made_trial,
    results_of,
)

SPACE: dict[str, Any] = {
    "name": "mine",
    "featurizers": {"glcm": {"distance": {"subsets": [1, 2, 4, 8]}}, "lbp": None, "histogram": None},
    "classifiers": {"rf": {"max_depth": {"low": 1, "high": 90}}, "svm": {"C": {"low": 0.1, "high": 10}}},
}
SPREAD = np.array([-0.02, 0.01, 0.0, 0.02, -0.01])
"""Of the folds around the mean: its standard error, corrected for one row in five, is 0.0106."""


def advice_on(records: Records, folds: int | None = None, **spec: Any) -> Advice:
    return advise(results_of(records), SweepSpec(**{"data": "d", "space": SPACE, **spec}), folds)


def scored(
    number: int, of: Pipeline, score: float, spread: Iterable[float] = SPREAD, **changes: Any
) -> Records:
    """A trial with such a mean over 10,000 frames; every fold takes a second, half of it for predictions."""
    folds = [made_score(float(score + s), n_train=8000, n_validation=2000) for s in spread]
    return made_trial(number, of, *folds, **changes)


def numbered(number: int, featurizer: str = "glcm", classifier: str = "rf") -> Pipeline:
    return made_pipeline(featurizer, classifier, classifier_params={"number": number})


def search_of(scores: Sequence[float]) -> Records:
    return [record for i, score in enumerate(scores) for record in scored(i, numbered(i), score)]


# --------------------------------------------------------------------------- time


def test_the_course_has_a_step_for_each_improvement() -> None:
    found = advice_on(search_of([0.5, 0.4, 0.6, 0.6, 0.7]))
    seconds = [5 * (i + 1) for i in (0, 2, 4)]
    assert [dataclasses.astuple(step) for step in found.course] == [
        (pytest.approx(s), trial, pytest.approx(score))
        for s, trial, score in zip(seconds, (0, 2, 4), (0.5, 0.6, 0.7), strict=True)
    ]
    assert found.seconds == pytest.approx(5 * 5)
    assert found.finished == 5
    assert found.standard_error == pytest.approx(standard_error(0.7 + SPREAD, 8000, 2000))


def test_lower_budgets_take_time_and_are_no_steps() -> None:
    a, b = numbered(0), numbered(1)
    records = [*scored(0, a, 0.9, budget=1 / 3), *scored(1, b, 0.5), *scored(0, a, 0.6)[1:]]
    found = advice_on(records)
    assert [step.trial for step in found.course] == [1, 0]
    assert found.course[0].seconds == pytest.approx(10)
    assert found.finished == 2


def test_what_failed_is_incomplete_or_no_trial_takes_no_part() -> None:
    good = search_of([0.5, 0.6])
    unfinished = scored(2, numbered(2), 0.9)[:-1]
    broken = [*scored(3, numbered(3), 0.9)[:-1], made_evaluation(numbered(3), 4, made_failure())]
    ensemble = scored(-1, made_pipeline("ensemble", "ensemble"), 0.99)
    found = advice_on([*good, *unfinished, *broken, *ensemble], folds=5)
    assert [step.trial for step in found.course] == [0, 1]
    assert found.finished == 2
    assert {part.name for part in found.parts}.isdisjoint({"ensemble"})


def test_before_anything_is_finished_the_time_was_too_short() -> None:
    found = advice_on(scored(0, numbered(0), 0.9, budget=1 / 3))
    assert (found.time, found.course, found.parts) == (SHORT, (), ())
    assert found.lines == ["time: too short; no pipeline has reached the full budget yet"]
    nothing = advice_on([])
    assert (nothing.time, nothing.lines) == (UNKNOWN, [])


def test_with_few_pipelines_nobody_can_tell() -> None:
    found = advice_on(search_of([0.5, 0.6, 0.55]))
    assert (found.time, found.gain) == (UNKNOWN, None)
    (line,) = found.lines
    assert line == (
        "time: cannot tell whether it was enough; 3 pipelines have reached the full budget, and that takes 8"
    )


def test_a_search_that_stands_still_had_enough() -> None:
    flat = 0.9 + 0.0005 * np.random.default_rng(0).random(30)
    found = advice_on(search_of([*flat]))
    assert found.time == ENOUGH
    assert found.gain is not None
    assert found.gain.high < (found.standard_error or 0)
    assert found.gain.seen == 15
    assert found.gain.more == 30
    assert found.lines[0].startswith("time: enough (the best came after ")
    assert "less than its standard error, 0.0106" in found.lines[0]


def test_a_search_whose_scores_vary_much_was_too_short() -> None:
    wild = 0.3 + 0.3 * np.random.default_rng(1).random(30) ** 4
    found = advice_on(search_of([*wild]))
    assert found.time == SHORT
    assert found.gain is not None
    assert found.gain.expected > (found.standard_error or 1)
    assert "more than its standard error" in found.lines[0]


def test_between_the_two_it_says_so() -> None:
    some = 0.5 + 0.02 * np.random.default_rng(2).random(30)
    found = advice_on(search_of([*some]))
    assert found.time == PROBABLY
    assert found.gain is not None
    assert found.gain.expected < (found.standard_error or 0) < found.gain.high


def test_a_space_that_was_tried_whole_has_nothing_left() -> None:
    space = {"name": "two", "featurizers": ["histogram"], "classifiers": {"rf": {"n_trees": [9, 18]}}}
    pipelines = [made_pipeline("histogram", "rf", classifier_params={"n_trees": n}) for n in (9, 18)]
    records = [record for i, p in enumerate(pipelines) for record in scored(i, p, 0.5)]
    found = advice_on(records, space=space)
    assert found.time == COMPLETE
    assert found.lines == ["time: enough; every pipeline of the space was tried"]


def test_no_more_is_promised_than_the_space_holds() -> None:
    space = {
        "name": "some",
        "featurizers": ["histogram"],
        "classifiers": {"rf": {"n_trees": [*range(1, 13)]}},
    }
    found = advice_on(search_of(np.linspace(0.3, 0.6, 10).tolist()), space=space)
    assert found.gain is not None
    assert found.gain.more == 2


def test_a_single_split_has_the_error_of_its_frames() -> None:
    records = [r for i in range(9) for r in made_trial(i, numbered(i), made_score(0.8, n_validation=100))]
    found = advice_on(records)
    assert found.standard_error == pytest.approx(0.04, rel=0.05)


def test_it_holds_for_the_metric_that_ranks() -> None:
    records: Records = []
    for i in range(2):
        metrics = [{**made_score(0.8).metrics, "accuracy_worst_domain": 0.4 + (i + f) / 10} for f in range(3)]
        records += made_trial(i, numbered(i), *(made_score(0.8, metrics=m) for m in metrics))
    found = advice_on(records, metric="accuracy_worst_domain", hold_out="domain")
    assert [step.score for step in found.course] == pytest.approx([0.4, 0.5])


def test_half_of_a_search_foretells_the_other() -> None:
    """Searches replayed: the interval that the first half gives holds what the second half brought."""
    inside = []
    for seed in range(60):
        scores = np.random.default_rng(seed).beta(40, 8, 48).tolist()
        said = advice_on(search_of(scores[:16])).gain
        assert said is not None
        assert said.more == 16
        gained = max(scores[:32]) - max(scores[:16])
        inside.append(said.low <= gained <= said.high + 1e-9)
    assert np.mean(inside) >= 0.75


# --------------------------------------------------------------------------- parts


def parts_of(found: Advice) -> dict[str, Part]:
    return {part.name: part for part in found.parts}


@pytest.fixture
def uneven() -> Records:
    """GLCM with a forest is the best, LBP alike, histograms far behind; two trials of an SVM."""
    records: Records = []
    for i in range(10):
        records += scored(i, numbered(i, "glcm"), 0.90 - i / 1000)
        records += scored(10 + i, numbered(10 + i, "lbp"), 0.895 - i / 1000, SPREAD[::-1])
        records += scored(20 + i, numbered(20 + i, "histogram"), 0.6 - i / 1000, SPREAD[::-1])
    records += scored(30, numbered(30, "glcm", "svm"), 0.3, SPREAD[::-1])
    records += scored(31, numbered(31, "glcm", "svm"), 0.3, SPREAD[::-1])
    return records


def test_parts_that_were_never_worth_it(uneven: Records) -> None:
    found = parts_of(advice_on(uneven))
    assert {name: part.verdict for name, part in found.items()} == {
        "glcm": BEST, "lbp": KEEP, "histogram": NEVER, "rf": BEST, "svm": FEW,
    }  # fmt: skip
    assert list(found) == ["glcm", "lbp", "histogram", "rf", "svm"]  # reducers: there is one
    histogram = found["histogram"]
    assert (histogram.tried, histogram.finished, histogram.trial) == (10, 10, 20)
    assert histogram.best == pytest.approx(0.6)
    plain = p_value(0.6 + SPREAD[::-1], 0.9 + SPREAD, 80, 20)
    assert plain is not None
    assert histogram.p == pytest.approx(2 * plain)  # of two that were compared, the smaller by Holm
    assert found["glcm"].p is None
    assert found["svm"].p is None


def test_they_are_named_in_a_line(uneven: Records) -> None:
    lines = advice_on(uneven).lines
    assert len(lines) == 2
    assert lines[1] == "never worth it: featurizer histogram (at best 0.6000, p < 0.001)"


def test_a_featurizer_beside_others_is_judged_by_the_best_with_it(uneven: Records) -> None:
    beside = scored(40, numbered(40, "glcm+histogram"), 0.901)
    found = parts_of(advice_on([*uneven, *beside]))
    assert found["histogram"].verdict == BEST
    assert (found["histogram"].trial, found["histogram"].tried) == (40, 11)
    assert "glcm+histogram" not in found


def test_trials_that_were_stopped_count_as_tried(uneven: Records) -> None:
    stopped: Records = []
    for i in range(50, 60):
        stopped += scored(i, numbered(i, "glcm", "svm"), 0.2, budget=1 / 3)
    found = parts_of(advice_on([*uneven, *stopped]))["svm"]
    assert (found.tried, found.finished, found.verdict) == (12, 2, NEVER)
    lower = [r for r in uneven if getattr(r, "trial", 0) not in (30, 31)]
    never_finished = parts_of(advice_on([*lower, *stopped]))["svm"]
    assert (never_finished.tried, never_finished.finished, never_finished.verdict) == (10, 0, FEW)


def test_by_chance_hardly_any_part_is_ruled_out() -> None:
    """Three featurizers that are alike: the best of one is called worse in few of many sweeps."""
    ruled_out = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        records: Records = []
        for i in range(24):
            name = ("glcm", "lbp", "histogram")[i % 3]
            records += scored(i, numbered(i, name), 0.8, (0.02 * rng.normal(size=5)).tolist())
        ruled_out += any(part.verdict == NEVER for part in advice_on(records).parts)
    assert ruled_out <= 6


# --------------------------------------------------------------------------- where it is shown


def test_it_is_json(uneven: Records) -> None:
    found = json.loads(json.dumps(dataclasses.asdict(advice_on(uneven)), allow_nan=False))
    assert found["time"] == ENOUGH
    assert found["course"][0] == dataclasses.asdict(Step(5.0, 0, 0.9))
    assert {part["verdict"] for part in found["parts"]} == {BEST, KEEP, NEVER, FEW}


def test_the_report_shows_it(uneven: Records, tmp_path: Path) -> None:
    from sweeper.report.advice import advice
    from sweeper.report.reading import read_run
    from tests.report.made_runs import MadeRun

    made = MadeRun(tmp_path / "run", "mine", np.arange(100, dtype=np.int64) % 5)
    made.records = uneven
    made.folder.spec.write_text(to_yaml(SweepSpec(data="d", space=SPACE).resolved()))
    made.write()
    section = advice(read_run(made.folder, str(tmp_path)))
    assert section.id == "advice"
    verdict, chart, note, table = section.blocks
    assert verdict.text.startswith("Time: enough")  # type: ignore[union-attr]
    assert chart.name == "any-time"  # type: ignore[union-attr]
    assert "16 pipelines" in note.text  # type: ignore[union-attr]
    rows = [[cell.text for cell in row] for row in table.rows]  # type: ignore[union-attr]
    assert rows[2] == ["featurizer", "histogram", "10", "10", "0.6000", "< 0.001", "never worth it"]


@pytest.mark.parametrize(("best", "alone"), [("header", True), ("glcm+header", False), ("glcm", False)])
def test_a_best_pipeline_that_sees_no_pixel_is_called_that(best: str, alone: bool) -> None:
    of = numbered(1, "glcm")
    if best == "header":
        of = numbered(1, "header")
    elif "+" in best:
        of = dataclasses.replace(of, features=(*of.features, FeaturizerChoice("header", {})))
    assert of.featurizer == best
    other = numbered(0, "lbp" if alone else "header")
    found = advice_on([*scored(0, other, 0.5), *scored(1, of, 0.9)])
    assert found.metadata_alone == alone
    assert found.lines[0].startswith("note: the best pipeline tells classes by what files say") == alone
