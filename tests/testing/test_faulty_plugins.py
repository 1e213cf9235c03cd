"""Each check fails for a plugin with just the fault that it looks for."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from sweeper import plugins
from sweeper.api import (
    FAILED_SCORE,
    Axis,
    Build,
    Classifier,
    Featurizer,
    Network,
    NetworkBuild,
    Observation,
    OneOf,
    Pipeline,
    PreparedFrame,
    Search,
    SearchSpace,
)
from sweeper.errors import CheckFailedError
from sweeper.testing import classifiers as of_classifiers
from sweeper.testing import featurizers as of_featurizers
from sweeper.testing import files as of_files
from sweeper.testing import networks as of_networks
from sweeper.testing import plugin as of_families
from sweeper.testing import searches as of_searches
from sweeper.testing import spaces as of_spaces
from sweeper.testing.checks import outcome_of

HISTOGRAM, LBP, SIFT = (plugins.texture(name) for name in ("histogram", "lbp", "sift"))
SVM, RF = plugins.classifier("svm"), plugins.classifier("rf")
RANDOM, GRID = plugins.search("random"), plugins.search("grid")
LENET = plugins.network("lenet")
NO_DOC = Axis("nothing", OneOf(1, 2), 1)

Rows = list[Any]


def computing(
    change: Callable[[PreparedFrame, Sequence[Any], Rows], Rows], of: Featurizer = HISTOGRAM
) -> Featurizer:
    """A featurizer with its rows changed."""

    def compute(frame: PreparedFrame, blocks: Sequence[Any]) -> Rows:
        return change(frame, blocks, [row.copy() for row in of.compute(frame, blocks)])

    return replace(of, compute=compute)


def remembering() -> Featurizer:
    seen: list[int] = []

    def change(frame: PreparedFrame, blocks: Sequence[Any], rows: Rows) -> Rows:
        seen.append(1)
        return [row + len(seen) for row in rows]

    return computing(change)


def writing(frame: PreparedFrame, blocks: Sequence[Any], rows: Rows) -> Rows:
    frame.image[0, 0] += 1
    return rows


def nan_without_spread(frame: PreparedFrame, blocks: Sequence[Any], rows: Rows) -> Rows:
    spread = frame.image[frame.valid].std() if frame.valid.any() else 0.0
    return rows if spread else [row * np.nan for row in rows]


def nan_for_thin_frames(frame: PreparedFrame, blocks: Sequence[Any], rows: Rows) -> Rows:
    thin = frame.valid.shape[0] in (3, 5, 7)
    return [row * np.nan for row in rows] if thin else rows


FEATURIZERS = [
    ("it_declares_what_a_sweep_asks", replace(HISTOGRAM, version=0)),
    ("it_declares_what_a_sweep_asks", replace(HISTOGRAM, source=" ")),
    ("it_declares_what_a_sweep_asks", replace(HISTOGRAM, descriptor_width=3)),
    ("it_declares_what_a_sweep_asks", replace(HISTOGRAM, axes=(*HISTOGRAM.axes, NO_DOC))),
    ("it_declares_what_a_sweep_asks", replace(LBP, axes=LBP.axes * 2)),
    ("a_space_may_leave_all_to_the_defaults", replace(HISTOGRAM, axes=(replace(NO_DOC, doc="x"),))),
    ("column_names_are_unique_and_parse_back", replace(HISTOGRAM, columns=lambda params: ("a", "a"))),
    ("column_names_are_unique_and_parse_back", replace(HISTOGRAM, columns=lambda params: ())),
    (
        "blocks_are_independent_and_in_the_order_asked",
        computing(lambda frame, blocks, rows: [row + len(blocks) for row in rows], LBP),
    ),
    (
        "blocks_are_independent_and_in_the_order_asked",
        computing(lambda frame, blocks, rows: [row.astype(np.float32) for row in rows]),
    ),
    ("it_is_deterministic_and_leaves_the_frame_alone", remembering()),
    ("it_is_deterministic_and_leaves_the_frame_alone", computing(writing)),
    (
        "it_is_deterministic_and_leaves_the_frame_alone",
        computing(lambda frame, blocks, rows: [row + np.random.rand() for row in rows]),  # noqa: NPY002
    ),
    ("it_tells_frames_apart", computing(lambda frame, blocks, rows: [0 * row for row in rows])),
    (
        "pixels_under_the_mask_do_not_matter",
        computing(lambda frame, blocks, rows: [row + frame.image.mean() for row in rows]),
    ),
    ("degenerate_frames_give_finite_rows", computing(nan_without_spread)),
    ("random_small_frames_give_finite_rows", computing(nan_for_thin_frames)),
    (
        "rows_come_back_from_a_block_file",
        computing(lambda frame, blocks, rows: [row.astype(np.complex128) for row in rows]),
    ),
    (
        "blocks_are_independent_and_in_the_order_asked",
        replace(SIFT, compute=lambda frame, blocks: [np.zeros((2, 7), np.uint8) for _ in blocks]),
    ),
]


class Estimator:
    """Support vectors, with a fault."""

    def __init__(self, build: Build, fault: str) -> None:
        self.inner, self.fault, self.build = SVM.build(build), fault, build

    def fit(self, x: Any, y: Any, sample_weight: Any) -> None:
        if self.fault == "one feature" and x.shape[1] == 1:
            raise ValueError("needs two features")
        if self.fault == "constant" and (x.std(axis=0) == 0).any():
            raise ZeroDivisionError("a feature never changes")
        if self.fault == "prints":
            print("fitted")
        if self.fault == "warns":
            warnings.warn("fitted", stacklevel=1)
        if self.fault == "writes":
            Path("log.txt").write_text("fitted")
        if self.fault == "pickles":
            self.local = lambda: None
        self.inner.fit(x, y, np.ones(len(y)) if self.fault == "weights" else sample_weight)

    def scores(self, x: Any) -> Any:
        scores = self.inner.scores(x)
        changes: dict[str, Callable[[], Any]] = {
            "wrong": lambda: -scores,
            "single": lambda: scores.astype(np.float32),
            "infinite": lambda: np.where(scores > scores.mean(), np.inf, scores),
            "threads": lambda: scores + 1e-9 * self.build.threads,
            "seedless": lambda: scores + 1e-9 * np.random.default_rng().random(),
            "global": lambda: scores + 1e-9 * np.random.rand(),  # noqa: NPY002
            "budget": lambda: scores + 1e-9 * self.build.budget,
        }
        return changes.get(self.fault, lambda: scores)()


def failing(fault: str, **changes: Any) -> Classifier:
    return replace(SVM, build=lambda build: Estimator(build, fault), **changes)


CLASSIFIERS = [
    ("it_declares_what_a_sweep_asks", replace(SVM, budget="steps")),  # type: ignore[arg-type]
    ("it_declares_what_a_sweep_asks", replace(SVM, axes=SVM.axes[:-1])),
    ("it_declares_what_a_sweep_asks", replace(SVM, version=True)),
    ("a_space_may_leave_all_to_the_defaults", replace(SVM, axes=SVM.axes[1:])),
    ("it_scores_every_class_and_learns", failing("wrong")),
    ("it_scores_every_class_and_learns", failing("single")),
    ("it_scores_every_class_and_learns", failing("infinite")),
    ("the_same_seed_gives_the_same_scores_on_any_number_of_threads", failing("threads")),
    ("the_same_seed_gives_the_same_scores_on_any_number_of_threads", failing("seedless")),
    ("the_global_random_state_has_no_influence", failing("global")),
    ("sample_weights_matter", failing("weights")),
    ("one_feature_is_enough", failing("one feature")),
    ("a_constant_feature_does_no_harm", failing("constant")),
    ("a_budget_of_trees_buys_the_first_trees", failing("budget")),
    ("a_budget_of_trees_buys_the_first_trees", failing("", budget="trees")),
    ("a_fitted_estimator_pickles", failing("pickles")),
    ("it_is_quiet_and_leaves_no_files", failing("prints")),
    ("it_is_quiet_and_leaves_no_files", failing("warns")),
    ("it_is_quiet_and_leaves_no_files", failing("writes")),
]


class Proposer:
    """Random search, with a fault."""

    def __init__(self, space: SearchSpace, seed: int, fault: str) -> None:
        self.space, self.fault = space, fault
        self.first: Pipeline | None = None
        self.asked = -1
        self.inner = RANDOM.proposer(space, 0 if fault == "seed" else seed)

    def propose(self, trial: int, taken: set[str], seen: Sequence[Observation]) -> Pipeline | None:
        if self.fault == "global":
            return self.space.sample(np.random.default_rng(np.random.randint(2**31)))  # noqa: NPY002
        if self.fault == "unseeded":
            return self.space.sample(np.random.default_rng())
        if self.fault == "taken":
            return self.inner.propose(trial, set(), seen)
        if self.fault == "changes":
            taken.add(str(trial))
        if self.fault == "gives up" and trial > 7:
            return None
        if self.fault == "from zero":
            self.asked += 1
            assert trial == self.asked, "trials are asked for from 0"
        if self.fault == "failures" and any(o.score == FAILED_SCORE for o in seen):
            raise ZeroDivisionError("no score")
        pipeline = self.inner.propose(trial, taken, seen)
        if self.fault == "repeats":
            self.first = self.first or pipeline
            return self.first
        if self.fault == "strange" and pipeline is not None:
            return replace(pipeline, classifier_params={**pipeline.classifier_params, "C": 3})
        if self.fault == "single" and next(self.space.grid()).featurizer == "histogram":
            raise IndexError("no variables")
        return pipeline


def proposing(fault: str, **changes: Any) -> Search:
    return replace(RANDOM, proposer=lambda space, seed: Proposer(space, seed, fault), **changes)


SEARCHES = [
    ("it_declares_what_a_sweep_asks", replace(RANDOM, early_stopping="sometimes")),  # type: ignore[arg-type]
    ("it_declares_what_a_sweep_asks", replace(RANDOM, group=0)),
    ("it_declares_what_a_sweep_asks", replace(RANDOM, learns=1)),  # type: ignore[arg-type]
    ("the_same_seed_proposes_the_same", proposing("unseeded")),
    ("the_global_random_state_has_no_influence_and_is_left_alone", proposing("global")),
    ("nothing_is_proposed_twice", proposing("repeats")),
    ("pipelines_that_are_taken_are_not_proposed", proposing("taken")),
    ("pipelines_that_are_taken_are_not_proposed", proposing("changes")),
    ("it_goes_on_after_pipelines_that_another_chose", proposing("from zero")),
    ("a_small_space_is_exhausted", proposing("gives up")),
    ("pipelines_are_of_the_space", proposing("strange")),
    ("failures_are_survived", proposing("failures", learns=True)),
    ("a_space_of_one_pipeline_is_enough", proposing("single")),
    ("other_seeds_propose_other_pipelines", proposing("seed")),
    ("an_endless_space_is_walked_or_refused", replace(GRID, exhaustive=False)),
]


def building(change: Callable[[Any], Any]) -> Network:
    def build(asked: NetworkBuild) -> Any:
        return change(LENET.build(asked))

    return replace(LENET, build=build)


def batch_sees_itself(module: Any) -> Any:
    read = module.read

    def changed(maps: Any) -> Any:
        features, logits = read(maps)
        return features - features.mean(0), logits

    module.read = changed
    return module


def forward_differs(module: Any) -> Any:
    forward = module.forward
    module.forward = lambda x: tuple(2 * part for part in forward(x))
    return module


def blind(module: Any) -> Any:
    read = module.read
    module.read = lambda maps: tuple(0 * part for part in read(maps))
    return module


def unseeded(module: Any) -> Any:
    import torch

    for value in module.parameters():
        torch.nn.init.normal_(value, generator=torch.Generator().manual_seed(int.from_bytes(b"any")))
    return module


NETWORKS = [
    ("it_declares_what_a_sweep_asks", replace(LENET, axes=LENET.axes[1:])),
    ("it_declares_what_a_sweep_asks", replace(LENET, pretrained="lenet")),
    ("a_space_may_leave_all_to_the_defaults", replace(LENET, recipe=LENET.recipe[1:])),
    ("without_training_it_has_no_recipe", replace(plugins.network("vgg16"), pretrained=None)),
    ("column_names_are_unique_and_parse_back", replace(LENET, name="le net")),
    ("reading_maps_is_the_whole_network", building(forward_differs)),
    ("reading_maps_is_the_whole_network", replace(LENET, width=lambda params: 191)),
    ("a_frame_does_not_depend_on_those_beside_it", building(batch_sees_itself)),
    ("it_tells_frames_apart", building(blind)),
    ("the_seed_decides_the_weights", building(unseeded)),
]
TIMM = plugins.family("timm")
assert TIMM is not None


def anything(variant: str) -> Network:
    return replace(LENET, name="other")


def chatty(variant: str) -> Network:
    raise ValueError("no such network;\nknown: many")


FAMILIES: list[tuple[str, Any]] = [
    ("its_example_is_a_member", replace(TIMM, source="")),
    ("its_example_is_a_member", replace(TIMM, example="no_such_example")),
    ("a_wrong_member_is_refused", replace(TIMM, member=anything)),
    ("a_wrong_member_is_refused", replace(TIMM, member=chatty)),
]
MODULES: list[tuple[ModuleType, list[tuple[str, Any]]]] = [
    (of_featurizers, FEATURIZERS),
    (of_classifiers, CLASSIFIERS),
    (of_searches, SEARCHES),
    (of_networks, NETWORKS),
    (of_families, FAMILIES),
]


CASES = [
    pytest.param(module, name, faulty, id=f"{module.__name__.rpartition('.')[2]}-{name}")
    for module, faults in MODULES
    for name, faulty in faults
]


@pytest.mark.parametrize(("module", "name", "faulty"), CASES)
def test_a_check_finds_the_fault(module: Any, name: str, faulty: Any) -> None:
    outcome = outcome_of(getattr(module, f"check_{name}"), faulty)
    assert outcome.reason
    assert "\n" not in outcome.reason


@pytest.mark.parametrize(
    ("checks", "faults"),
    [
        (of_featurizers.featurizer_checks(), FEATURIZERS),
        (of_classifiers.classifier_checks(RF), CLASSIFIERS),
        (of_searches.search_checks(), SEARCHES),
        (of_networks.network_checks()[:-1], NETWORKS),
    ],
)
def test_every_check_has_a_fault_that_it_finds(
    checks: tuple[Any, ...], faults: list[tuple[str, Any]]
) -> None:
    assert {check.__name__.removeprefix("check_") for check in checks} <= {name for name, _ in faults}


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (of_files.check_it_is_documented, "x = 1\n"),
        (of_files.check_importing_it_loads_no_library, "import scipy.ndimage\n"),
        (of_files.check_importing_it_loads_no_library, "from sweeper.data.intensity import prepare\n"),
        (
            of_files.check_importing_it_loads_no_library,
            "try:\n    import torch\nexcept ImportError:\n    pass\n",
        ),
        (of_files.check_importing_it_loads_no_library, "from ._helper import f\n"),
        (of_files.check_importing_it_loads_no_library, "from . import _helper\n"),
    ],
)
def test_a_heavy_or_undocumented_file_is_found(check: Any, text: str, tmp_path: Path) -> None:
    (tmp_path / "_helper.py").write_text("import pandas\n")
    path = tmp_path / "plugin.py"
    path.write_text(text)
    with pytest.raises(CheckFailedError, match=r"plugin\.py"):
        check(path)


def test_a_light_file_passes(tmp_path: Path) -> None:
    (tmp_path / "_helper.py").write_text("def f():\n    import pandas\n")
    path = tmp_path / "plugin.py"
    path.write_text(
        '"""A plugin."""\nimport json\nfrom typing import TYPE_CHECKING\nimport numpy.fft\n'
        "from sweeper.api import Axis\nfrom ._helper import f\nif TYPE_CHECKING:\n    import torch\n"
        "def build():\n    import scipy\n"
    )
    for check in of_files.file_checks():
        check(path)


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (of_spaces.check_it_can_be_read, "featurizers: [glmc]\nclassifiers: [rf]\n"),
        (of_spaces.check_it_has_a_source, "featurizers: [glcm]\nclassifiers: [rf]\n"),
        (
            of_spaces.check_every_scale_is_a_space,
            "featurizers: [glcm]\nclassifiers: [rf]\nscales: {few: {cuts: it, set: {rf.n_trees: [1, 2]}}}\n",
        ),
        (
            of_spaces.check_every_scale_is_a_space,
            "featurizers: [glcm]\nclassifiers: [rf]\nscales: {small: {cuts: it, set: {svm.C: [1]}}}\n",
        ),
    ],
)
def test_a_faulty_space_is_found(check: Any, text: str, tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    assert outcome_of(check, path).reason
    for every in of_spaces.space_checks():
        assert not outcome_of(every, plugins.space_path("quick")).reason


def test_the_checks_leave_the_process_as_it_was() -> None:
    before = (Path.cwd(), sys.stdout, sys.stderr)
    for check in of_classifiers.classifier_checks(SVM):
        outcome_of(check, failing("writes"))
    assert (Path.cwd(), sys.stdout, sys.stderr) == before
    state = np.random.get_state()[1].tolist()  # noqa: NPY002
    for check in of_featurizers.featurizer_checks():
        outcome_of(check, HISTOGRAM)
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002
