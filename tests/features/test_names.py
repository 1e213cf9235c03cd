"""Column names parse back to what they were made from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper.features.names import block_name, column_name, parse_column

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True)
awkward = st.sampled_from(
    ["true", "none", "1", "-0", "1e5", "", "a,b=c", "]", '"', "\\", "a\nb", "é", "nan", "\\u0041"]
)
values = (
    st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | awkward
    | st.booleans()
    | st.none()
)


def test_form_is_that_of_the_design() -> None:
    params = {"distance": 2, "angle_deg": 45}
    assert column_name("glcm", "contrast", params) == "glcm.contrast[distance=2,angle_deg=45]"
    assert column_name("histogram", "mean", {}) == "histogram.mean"
    assert block_name("lbp", {"points": 8, "radius": 2}) == "lbp[points=8,radius=2]"
    assert block_name("histogram", {}) == "histogram"
    assert column_name("timm:resnet50.a1_in1k", "f3", {}) == "timm:resnet50.a1_in1k.f3"
    assert parse_column("timm:resnet50.a1_in1k.f3") == ("timm:resnet50.a1_in1k", "f3", {})
    assert column_name("f", "c", {"a": "hello world", "b": True, "c": None, "d": 0.5, "e": "word"}) == (
        'f.c[a="hello world",b=true,c=none,d=0.5,e=word]'
    )


@given(names, names, st.dictionaries(names, values, max_size=5))
def test_round_trip(featurizer: str, column: str, params: dict[str, Any]) -> None:
    back = parse_column(column_name(featurizer, column, params))
    assert back == (featurizer, column, params)
    # Equality forgives True == 1 == 1.0, -0.0 == 0 and the order of keys; names must not.
    assert repr(back) == repr((featurizer, column, params))


@given(st.dictionaries(names, values, max_size=3), st.dictionaries(names, values, max_size=3))
def test_different_parameters_have_different_names(a: dict[str, Any], b: dict[str, Any]) -> None:
    same = repr(list(a.items())) == repr(list(b.items()))
    assert (column_name("f", "c", a) == column_name("f", "c", b)) == same
    assert (block_name("f", a) == block_name("f", b)) == same


def test_numpy_scalars_are_written_as_plain_numbers() -> None:
    name = column_name("f", "c", {"a": np.int64(3), "b": np.float64(0.25), "c": np.float32(0.5)})
    assert name == "f.c[a=3,b=0.25,c=0.5]"


@pytest.mark.parametrize(
    "name",
    [
        "", "glcm", "glcm.", ".contrast", "glcm.contrast[", "glcm.contrast[]", "glcm.contrast]",
        "glcm.contrast[distance]", "glcm.contrast[distance=]", "glcm.contrast[distance=1,]",
        "glcm.contrast[,distance=1]", "glcm.contrast[distance=1,distance=2]", "glcm.contrast[distance=01]",
        "glcm.contrast[distance=1 ]", "glcm.contrast[distance=1]x", "glcm.contrast[distance=1\n]",
        "glcm.contrast[a=1.50]", "glcm.contrast[a=nan]x", 'glcm.contrast[a="x]', 'glcm.contrast[a="x" ]',
        'glcm.contrast[a="word"]', r'glcm.contrast[a="\q"]', "glcm.contrast[a=1e999]", "glcm.a.b",
        "1glcm.contrast", "glcm.contrast[1=2]", "lbp[points=8]", "glcm.contrast\n", "glcm.contrast[a=+1]",
    ],
)  # fmt: skip
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        parse_column(name)


@given(st.text(max_size=40))
def test_a_name_that_parses_is_the_name_of_its_parts(text: str) -> None:
    try:
        parts = parse_column("f.c" + text)
    except ValueError:
        return
    assert column_name(*parts) == "f.c" + text


@pytest.mark.parametrize(
    ("featurizer", "column", "params"),
    [
        ("a.b", "c", {}),
        ("a", "c[", {}),
        ("a", "", {}),
        ("a", "c", {"x=": 1}),
        ("a", "c", {"x": float("nan")}),
        ("a", "c", {"x": float("inf")}),
        ("a", "c", {"x": (1, 2)}),
        ("a", "c", {"x": 1j}),
    ],
)
def test_what_cannot_be_written_is_refused(featurizer: str, column: str, params: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        column_name(featurizer, column, params)
