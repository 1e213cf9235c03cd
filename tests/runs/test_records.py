"""Records: each type is read as it was written, and what cannot be a record is none."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper.evaluate.metrics import METRICS
from sweeper.pipeline import FeaturizerChoice, Pipeline
from sweeper.runs.records import (
    TEST,
    Cause,
    Epoch,
    Evaluation,
    Header,
    NetworkFit,
    Record,
    Scored,
    Trial,
    decode,
    encode,
    failed,
    read_pipeline,
    readable,
)
from tests.runs.made_records import made_evaluation, made_pipeline

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
COUNTS = st.integers(0, 2**31)
FOLDS = st.integers(0, 100) | st.just(TEST)
VALUES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | NUMBERS | TEXT
PARAMS = st.dictionaries(TEXT, VALUES | st.lists(VALUES, max_size=3), max_size=4)
"""As JSON keeps them."""

NAMES = TEXT.filter(lambda name: "+" not in name)
CHOICES = st.builds(
    FeaturizerChoice,
    name=NAMES,
    params=st.dictionaries(TEXT, VALUES | st.lists(VALUES, max_size=3).map(tuple), max_size=4),
)
PIPELINES = st.builds(
    Pipeline,
    intensity=PARAMS,
    features=st.lists(CHOICES, min_size=1, max_size=3, unique_by=lambda choice: choice.name).map(tuple),
    reducer=TEXT,
    reducer_params=PARAMS,
    classifier=TEXT,
    classifier_params=PARAMS,
)
OUTCOMES = st.builds(
    Scored,
    metrics=st.fixed_dictionaries(dict.fromkeys(METRICS, st.none() | NUMBERS)),
    confusion=st.none() | st.lists(st.lists(COUNTS, max_size=3), max_size=3),
    n_train=COUNTS,
    n_validation=COUNTS,
    fit_s=NUMBERS,
    predict_ms_per_frame=NUMBERS,
    warnings=st.lists(TEXT, max_size=2).map(tuple),
) | st.builds(failed, st.sampled_from(Cause), st.text(max_size=600))
RECORDS: dict[type[Record], st.SearchStrategy[Any]] = {
    Header: st.builds(Header, format=COUNTS, sweeper=TEXT),
    Trial: st.builds(Trial.of, st.integers(-1, 10**6), PIPELINES),
    Evaluation: st.builds(
        Evaluation,
        key=TEXT,
        pipeline=TEXT,
        budget=st.floats(0, 1),
        fold=FOLDS,
        seed=COUNTS,
        outcome=OUTCOMES,
        featurize_ms_per_frame=NUMBERS,
        rerun=st.booleans(),
    ),
    NetworkFit: st.builds(
        NetworkFit,
        key=TEXT,
        featurizer=TEXT,
        featurizer_params=PARAMS,
        intensity=PARAMS,
        fold=FOLDS,
        n_train=COUNTS,
        workers=COUNTS,
        device=TEXT,
    ),
    Epoch: st.builds(
        Epoch,
        fit=TEXT,
        epoch=COUNTS,
        loss=NUMBERS,
        accuracy=NUMBERS,
        learning_rate=NUMBERS,
        seconds=NUMBERS,
        held_out_loss=st.none() | NUMBERS,
        held_out_accuracy=st.none() | NUMBERS,
    ),
}


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_a_record_is_read_as_it_was_written(kind: type[Record], data: st.DataObject) -> None:
    record = data.draw(RECORDS[kind])
    line = encode(record)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert line.startswith(b'{"kind":"')
    again = decode(line)
    assert type(again) is kind
    assert again == record


@given(PIPELINES)
def test_the_line_of_a_trial_holds_its_whole_pipeline(pipeline: Pipeline) -> None:
    trial = decode(encode(Trial.of(3, pipeline)))
    assert isinstance(trial, Trial)
    again = read_pipeline(trial.pipeline)
    assert again.to_dict() == pipeline.to_dict()
    assert trial.id == again.id == pipeline.id
    assert again.features == pipeline.features  # its tuples are tuples again


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"null",
        b"[]",
        b'{"key": "a"}',
        b'{"kind": "evaluation", "key": "a"}',
        b'{"kind": "rerun"}',
        b'{"kind":"epoch","fit":"a","epoch":1,"loss":null,"accuracy":1,"learning_rate":1,"seconds":1}',
        b'{"kind": "journal", "format": "2", "sweeper": "0.2"}',
        b'{"kind": "journal", "format": 2, "sweeper": "\xff"}',
        b'{"kind": "trial", "trial": 0, "id": "a", "pipeline": {"a": "\xff"}}',
        b'{"kind": "trial", "trial": 0, "id": "a", "pipeline": {"a": 1}',
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_record_is_none(line: bytes) -> None:
    assert decode(line) is None


def test_what_a_later_version_adds_is_passed_over() -> None:
    record = made_evaluation(made_pipeline())
    line = encode(record).replace(b'"budget"', b'"colour":"blue","budget"')
    assert decode(line) == record


# --------------------------------------------------------------------------- failures


def test_names_of_files_that_are_no_text_stay_readable() -> None:
    """A byte that is no UTF-8 is half a surrogate pair in Python, which JSON cannot hold."""
    name = b"frame\xff\xc3\xbc.tif".decode("utf-8", "surrogateescape")
    failure = failed(Cause.FEATURES, f"no such file: {name}")
    assert failure.error == "no such file: frame\\udcffü.tif"
    record = made_evaluation(made_pipeline(), outcome=failure)
    assert decode(encode(record)) == record
    assert readable("plain ü") == "plain ü"


def test_of_a_long_error_the_beginning_stays() -> None:
    assert failed(Cause.ERROR, "ab" * 1000).error == "ab" * 250


def test_a_limit_is_known_from_its_cause() -> None:
    assert {cause for cause in Cause if cause.is_limit} == {Cause.TIME_LIMIT, Cause.MEMORY_LIMIT}


def test_records_do_not_change() -> None:
    with pytest.raises(AttributeError):
        made_evaluation(made_pipeline()).key = "b"  # type: ignore[misc]
    assert isinstance(Trial.of(0, made_pipeline()).pipeline, msgspec.Raw)
