"""``sweeper list``: everything that there is, and one of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from sweeper import plugins
from sweeper.cli import main
from sweeper.commands.listing import KINDS
from sweeper.plugins import search_names
from sweeper.space.file import load_space, parse_space

Listed = Callable[..., str]


@pytest.fixture
def listed(capsys: pytest.CaptureFixture[str]) -> Listed:
    """What `sweeper list` prints."""

    def run(*arguments: str) -> str:
        assert main(["list", *arguments]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    return run


def test_lists(listed: Listed) -> None:
    featurizers = listed("featurizers")
    for name in plugins.featurizer_names():
        assert re.search(rf"^{name}(:NAME)?(;.*)?$", featurizers, flags=re.MULTILINE)
    assert "angle_deg: one of 0, 45, 90, 135, any non-empty subset" in featurizers
    assert re.search(r"^    0 is refused: ", featurizers, flags=re.MULTILINE)  # the paper's LBP radius
    classifiers = listed("classifiers")
    for name in plugins.classifier_names():
        assert re.search(rf"^{name}; the budget buys (trees|rows|epochs)$", classifiers, flags=re.MULTILINE)
    spaces = listed("spaces")
    assert [line.partition(":")[0] for line in spaces.splitlines()] == list(plugins.space_names())
    assert "diffranet: 523,800 pipelines" in spaces
    assert [line.partition(":")[0] for line in listed("searches").splitlines()] == list(search_names())


@pytest.mark.parametrize("kind", KINDS)
def test_each_by_its_name_is_as_among_all(kind: str, listed: Listed) -> None:
    everything: list[dict[str, Any]] = json.loads(listed(kind, "--json"))
    names = list(KINDS[kind].names())
    assert names
    ones = [json.loads(listed(kind, name, "--json")) for name in names]
    if kind == "intensity":  # one entry with all of its settings
        (whole,) = everything
        assert whole["parameters"] == [one["parameters"][0] for one in ones]
    else:
        assert ones == everything
        assert [one["name"].partition(":")[0] for one in ones] == names
    for name in names:
        assert listed(kind, name).splitlines()[0].startswith("intensity" if kind == "intensity" else name)


def test_parameters_in_json(listed: Listed) -> None:
    glcm = json.loads(listed("featurizers", "glcm", "--json"))
    assert (glcm["kind"], glcm["version"]) == ("texture", plugins.featurizer("glcm").version)
    angle = next(p for p in glcm["parameters"] if p["name"] == "angle_deg")
    assert angle["legal"] == "one of 0, 45, 90, 135"
    assert angle["many"]
    assert angle["default"] == [0, 45, 90, 135]
    lbp = json.loads(listed("featurizers", "lbp", "--json"))
    radius = next(p for p in lbp["parameters"] if p["name"] == "radius")
    assert list(radius["refused"]) == ["0"]


def test_a_space_in_json_is_written_as_its_yaml(listed: Listed) -> None:
    found = json.loads(listed("spaces", "diffranet", "--json"))
    space = load_space("diffranet")
    assert found["pipelines"] == space.size == 523_800
    assert list(found["scales"]) == ["small"]
    written = {
        "name": "diffranet",
        "source": found["source"],
        "intensity": found["intensity"]["intensity"],
        "combine": found["combine"],
        **{f"{slot}s": found[slot] for slot in ("featurizer", "reducer", "classifier")},
        "class_order": list(space.class_order),
    }
    assert parse_space(written, default_name="again") == space
    endless = json.loads(listed("spaces", "deepfreak", "--json"))
    assert endless["pipelines"] is None
    assert endless["featurizer"]["deepfreak"]["learning_rate"] == {"low": 0.0001, "high": 10, "log": True}


def test_a_format_says_what_it_reads(listed: Listed) -> None:
    found = json.loads(listed("formats", "tiff", "--json"))
    assert found["suffixes"] == [".tif", ".tiff"]
    assert all(found[key] for key in ("library", "reads", "refuses", "images", "masks"))
    assert listed("formats", "tiff").startswith(
        "tiff: .tif .tiff\n  library: tifffile with imagecodecs\n  reads: "
    )


def test_a_member_of_a_family(listed: Listed) -> None:
    text = listed("featurizers", "timm:test_efficientnet")
    assert text.startswith("timm:test_efficientnet; a network\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["featurizers", "glmc"], "unknown featurizer 'glmc'; did you mean 'glcm'?"),
        (["featurizers", "timm:convnext_atoo"], "convnext_atto"),
        (["featurizers", "glcm:x"], "unknown featurizer 'glcm:x'"),
        (["classifiers", "svn"], "unknown classifier 'svn'; did you mean 'svm'?"),
        (["reducers", "pcca"], "unknown reducer 'pcca'; did you mean 'pca'?"),
        (["intensity", "levls"], "unknown setting of intensity 'levls'; did you mean 'levels'?"),
        (["spaces", "difranet"], "unknown search space 'difranet'; did you mean 'diffranet'?"),
        (["spaces", "./mine.yaml"], "./mine.yaml: no such file"),
        (["formats", "tif"], "unknown format 'tif'; did you mean 'tiff'?"),
        (["searches", "bhob"], "unknown search 'bhob'; did you mean 'bohb'?"),
        (["featurisers"], "'featurizers'"),
    ],
)
def test_unknown_names_suggest(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1
