"""A plan in words, in cases that no quick sweep shows."""

from __future__ import annotations

import html
import math
from dataclasses import replace

from sweeper.planning import Plan
from sweeper.planning.values import (
    Choices,
    FeatureCost,
    FeaturizerCost,
    Grid,
    NetworkCost,
    NetworkCosts,
    SearchCost,
)

PLAN = Plan(
    frames=1200,
    classes={"a": 700, "b": 500},
    unreadable=(),
    notes=(),
    sweep="space mine, search bohb, 5 folds",
    cpus=4,
    grid=Grid(
        "mine",
        "small: frames of 64 px",
        {
            "intensity": (Choices("intensity", 2, {"bin": 2}),),
            "featurizer": (Choices("glcm", 465, {"distance": 31, "angle_deg": 15}), Choices("lenet", 1, {})),
            "reducer": (Choices("none", 1, {}),),
            "classifier": (Choices("rf", 1, {}), Choices("head", 1, {})),
        },
        1,
        466,
        934,
    ),
    features=FeatureCost(2, 4.0, (FeaturizerCost("glcm", 20, 465, codebook=False, ms_per_frame=6.0),), 12.0),
    networks=NetworkCosts((NetworkCost("lenet", 1, 50, 0.001, 0.0004, 48.0),), 5, 960, 2.0**30),
    search=SearchCost("bohb", 60, 5, 410.4, 120.2, 0.5, 72.0, 10, 5.3, codebooks=False, in_time=False),
)


def test_all_of_a_plan() -> None:
    assert str(PLAN).splitlines() == [
        "space mine, search bohb, 5 folds",
        "1200 frames, 2 classes: a 700, b 500",
        "",
        "grid of space mine: 934 pipelines",
        "scale small: frames of 64 px",
        "  intensity: 2 bin",
        "  featurizer glcm: 31 distance x 15 angle_deg = 465",
        "  featurizer lenet: 1",
        "  featurizers: 465 + 1 = 466",
        "  reducer none: 1",
        "  classifier rf: 1",
        "  classifier head: 1",
        "  classifiers: 1 + 1 = 2",
        "  2 x 466 x 1 x 2 = 1,864",
        "  934 of them are pipelines: a head goes with a network that is trained, and with reducer none",
        "",
        "blocks, each computed once (1200 frames, 2 settings of intensity):",
        "  glcm: 20 blocks for 465 representations; 6.0 ms a frame",
        "  reading and scaling: 4.0 ms a frame",
        "  together: about 12.0 s of one core, 3.0 s on 4 for each setting",
        "",
        "networks, each choice trained once for each of 5 folds on 960 frames (times are of one core here):",
        "  lenet: 1 choice; 50 epochs 48.0 s; features 0 ms a frame",
        "  their inputs on disk: 1.00 GiB",
        "",
        "search bohb: 60 trials, 5 folds: about 410 evaluations, which cost as much as 120 full fits",
        "  one full fit: about 0.50 s; the search: about 72.0 s of one core, 18.0 s on 4",
        "after it, the best on the test split and with other seeds: at most 10 full fits, about 5.3 s of one "
        "core, 1.3 s on 4",
    ]


def test_what_is_infinite_unreadable_or_not_trained() -> None:
    grid = replace(
        PLAN.grid,
        slots={**PLAN.grid.slots, "classifier": (Choices("svm", math.inf, {"C": math.inf}),)},
        pipelines=math.inf,
    )
    codebook = FeaturizerCost("sift", 1, 1, codebook=True, ms_per_frame=40.0)
    text = str(
        replace(
            PLAN,
            grid=grid,
            unreadable=(("a/1.tif", "empty"), ("b/2.tif", "truncated")),
            features=replace(PLAN.features, intensities=1, featurizers=(codebook,)),
            networks=NetworkCosts((NetworkCost("vgg16 pretrained", 2, 0, 0.0, 0.9, 0.0),), 1, 600, 1.0),
            search=replace(PLAN.search, closing_fits=0, codebooks=True),
        )
    )
    assert "grid of space mine: infinitely many pipelines" in text
    assert "classifier svm: infinitely many C" in text
    assert "not counted: 2 files that cannot be opened, the first a/1.tif (empty)" in text
    assert "sift: 1 block of descriptors, and 1 codebook a fold; 40.0 ms a frame" in text
    assert "1 setting of intensity" in text
    assert "for each setting" not in text
    assert "vgg16 pretrained: 2 choices; not trained; features 900 ms a frame" in text
    assert "trained once on 600 frames" in text
    assert "codebooks are not counted" in text
    assert "after it" not in text


def test_a_plan_says_where_time_alone_ends_the_search() -> None:
    in_time = str(replace(PLAN, search=replace(PLAN.search, trials=1, in_time=True)))
    assert "search bohb: about 1 trial in the time budget, 5 folds" in in_time


def test_a_plan_without_networks_does_not_speak_of_them() -> None:
    assert "network" not in str(replace(PLAN, networks=NetworkCosts((), 5, 960, 0.0))).replace(
        "a head goes with a network", ""
    )


def test_a_notebook_shows_a_plan_as_it_reads() -> None:
    plan = replace(PLAN, classes={"a<b": 700, "c": 500})
    shown = plan._repr_html_()
    assert shown.startswith(
        "<pre>space mine, search bohb, 5 folds\n1200 frames, 2 classes: a&lt;b 700, c 500\n"
    )
    assert html.unescape(shown) == f"<pre>{plan}</pre>"
