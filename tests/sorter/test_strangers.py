"""Frames of another kind are told apart at the rate that the card says; promises are kept on new frames."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sweeper import plugins
from sweeper.cli import main
from sweeper.data.dataset import load_dataset
from sweeper.data.frames import read_frame
from sweeper.data.intensity import prepare
from sweeper.data.prepared import FrameRef, RawFrame, raw_frame
from sweeper.errors import InputError
from sweeper.features.representation import of_featurizer
from sweeper.simulate import simulators
from sweeper.sorter.card import card_text
from sweeper.sorter.export import export_model
from sweeper.sorter.impostors import TECHNIQUE, impostors
from sweeper.sorter.model import Model
from sweeper.sorter.outline import STRANGER
from sweeper.sorter.promises import Calibration, Promise, thresholds
from sweeper.sorter.strangers import Neighbours, Signs, count_statistics
from tests.conftest import write_textures
from tests.sorter.conftest import INTENSITY, PIPELINES, Made, write_run


@pytest.fixture(scope="module")
def model_file(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "m.sweeper"
    export_model(made.run, path, trial=0)
    return path


@pytest.fixture(scope="module")
def model(model_file: Path) -> Model:
    from sweeper.sorter.modelfile import load_model

    return load_model(model_file)


def strange(model: Model, frames: list[np.ndarray]) -> list[str]:
    verdicts = model.accept(frames)
    assert all(v.accepted != v.reason.startswith(STRANGER) for v in verdicts)
    return [v.reason for v in verdicts]


def test_strangers_are_told_apart_and_new_frames_of_the_kind_are_not(model: Model, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    new = [read_frame(path) for path in sorted(write_textures(tmp_path, per_class=20, seed=9).rglob("*.tif"))]
    alarms = [reason for reason in strange(model, new) if reason]
    assert len(alarms) <= 0.15 * len(new)  # 60 training frames say little of what one in a hundred is like
    dark = [np.zeros((48, 48), np.uint16)] * 3
    noise = [rng.poisson(200, (48, 48)).astype(np.uint16) for _ in range(3)]
    large = [np.kron(frame, np.ones((2, 2), np.uint16)) for frame in new[:3]]
    assert all(reason.startswith(STRANGER) for reason in strange(model, dark + noise + large))
    assert strange(model, large) == ["stranger: size 96 x 96"] * 3


def drawn_signs(n: int, rng: np.random.Generator, size: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return count statistics, features and groups of n frames, in groups of nearly equal ones."""
    few = -(-n // size)
    latent = rng.normal(size=(few, 4))
    mixing = np.random.default_rng(0).normal(size=(4, 30))
    features = latent @ mixing + 0.05 * rng.standard_t(5, size=(few, 30))  # more than there are directions
    statistics = np.column_stack(
        [np.zeros(few), np.exp(0.3 * latent[:, :1] + 0.2 * rng.normal(size=(few, 8)))]
    )
    of = np.arange(n) // size
    return statistics[of], features[of] + 1e-4 * rng.normal(size=(n, 30)), of


def alarms(signs: Signs, statistics: np.ndarray, features: np.ndarray) -> np.ndarray:
    return signs.counts.is_far(statistics[:, 1:]) | signs.features.is_far(features)


@pytest.mark.parametrize(("n", "size", "rate"), [(40, 1, 1 / 41), (150, 1, 0.01), (300, 2, 0.01)])
def test_false_alarms_are_as_many_as_promised(n: int, size: int, rate: float) -> None:
    """Over many draws of training frames, and of all signs together; few frames promise what they can."""
    shares, strange = [], []
    for seed in range(24):
        rng = np.random.default_rng(seed)
        statistics, features, groups = drawn_signs(n, rng, size)
        signs = Signs.fit(np.full((n, 2), 9), statistics, features, groups, seed)
        statistics, features, _ = drawn_signs(500, rng)
        shares.append(float(alarms(signs, statistics, features).mean()))
        moved = features + 1.5 * rng.normal(size=30)  # off the plane that frames lie in
        strange.append(float(alarms(signs, statistics, moved).mean()))
    assert np.mean(shares) <= rate + 3 * np.std(shares) / np.sqrt(len(shares))
    assert np.mean(shares) > 0.3 * rate
    assert np.mean(strange) > 0.98


def test_simulated_diffraction_is_known_and_strangers_are_not() -> None:
    simulator = simulators.load("diffraction")
    labels = [label for label in simulator.labels if label not in simulator.by_name]
    options, _ = simulator.prepare()
    lbp = plugins.texture("lbp")
    kind = of_featurizer(lbp, {axis.name: axis.default for axis in lbp.axes})

    def drawn(n: int, seed: int) -> list[RawFrame]:
        frames = (simulator.draw(labels[i % len(labels)], i, seed, 64, **options)[0] for i in range(n))
        return [RawFrame(FrameRef("", i, None), counts, None) for i, counts in enumerate(frames)]

    def seen(frames: list[RawFrame]) -> tuple[np.ndarray, np.ndarray]:
        prepared = [frame.prepared(INTENSITY) for frame in frames]
        return np.array([count_statistics(frame) for frame in prepared]), kind.compute(prepared)

    train, new = drawn(200, 1), drawn(300, 2)
    signs = Signs.fit(np.full((200, 2), 64), *seen(train), np.arange(200), 0)
    assert alarms(signs, *seen(new)).mean() <= 0.03  # 1 % on average over draws of training frames
    for name, frames in impostors(train[:20], labels, 0):
        if name.startswith(TECHNIQUE) or name in ("noise", "shutter closed", "beam dump", "overexposed"):
            assert alarms(signs, *seen(frames)).mean() >= 0.95, name


def test_frames_of_a_group_are_no_neighbours() -> None:
    """Else near-duplicates would make every new frame a stranger."""
    rng = np.random.default_rng(2)
    statistics, features, groups = drawn_signs(600, rng, size=6)
    new = drawn_signs(2000, rng)[:2]
    sizes = np.full((600, 2), 9)
    by_group = alarms(Signs.fit(sizes, statistics, features, groups, 0), *new).mean()
    by_frame = alarms(Signs.fit(sizes, statistics, features, np.arange(600), 0), *new).mean()
    assert by_group < 0.03 < by_frame


def test_a_constant_that_moves_is_a_sign() -> None:
    x = np.column_stack([np.random.default_rng(3).normal(size=(100, 2)), np.full(100, 5.0)])
    found = Neighbours.fit(x)
    moved = x + np.array([0, 0, 1])
    assert found.distance(moved).min() > 10 * found.distance(x).max()


def test_sizes_are_those_known_or_between_many() -> None:
    rng = np.random.default_rng(4)
    statistics, features = rng.uniform(size=(200, 9)), rng.normal(size=(200, 2))
    statistics[:, 0] = 0.0
    two = np.array([[10, 20], [30, 40]])[np.arange(200) % 2]
    signs = Signs.fit(two, statistics, features, np.arange(200), 0)
    middle = np.median(statistics, axis=0)
    assert signs.early([(10, 20), (30, 40), (20, 30)], np.stack([middle] * 3)) == ["", "", "size 20 x 30"]
    many = np.column_stack([np.arange(100, 300), np.arange(200, 400)])
    signs = Signs.fit(many, statistics, features, np.arange(200), 0)
    assert signs.early([(150, 333), (99, 300)], np.stack([middle] * 2)) == ["", "size 99 x 300"]
    assert signs.early([(150, 300)], np.r_[0.5, middle[1:]][None]) == ["50 % masked"]


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize("masked", [0.0, 0.2])
def test_count_statistics_are_numpys(dtype: str, masked: float) -> None:
    rng = np.random.default_rng(5)
    counts = rng.poisson(np.repeat(rng.gamma(0.3, 40, (70, 5)), 9, axis=1)).astype(dtype)
    counts = counts + np.asarray(0.25, dtype) * (dtype == "float32")  # no whole numbers
    mask = rng.random(counts.shape) < masked
    found = count_statistics(prepare(counts, {"hot_pixels": "keep"}, mask))
    logs = np.where(mask, np.nan, np.log1p(counts.astype(np.float64)))
    mean, deviation = np.nanmean(logs), np.nanstd(logs)
    alike = np.nanmean((logs[:, 1:] - mean) * (logs[:, :-1] - mean)) / deviation**2
    percentiles = np.nanquantile(logs, (0.05, 0.5, 0.95, 0.999))
    wanted = [mask.mean(), (counts[~mask] == 0).mean(), mean, deviation, *percentiles, alike]
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_the_card_says_what_is_told_apart(
    model: Model, model_file: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["card", str(model_file)]) == 0
    text = capsys.readouterr().out
    for part in (
        f"model {model.id}: glcm+rf", "trained on 60 frames in 30 groups: coarse 20, fine 20, medium 20",
        "cross-validated accuracy 0.", "calibration: ", "test split, 30 frames: accuracy ",
        "error rate  accepted", "promised: nothing", "shutter closed", "another technique: diffraction",
        "speed on one core", "note: ",
    ):  # fmt: skip
        assert part in text, part
    assert main(["card", str(model_file), "--json"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert card["strangers"]["shutter closed"]["told_apart"] == 1.0
    assert card["strangers"]["another size"] == {"frames": 20, "told_apart": 1.0, "accepted": 0.0}
    assert sum(map(sum, card["confusion"])) == 60
    assert main(["card", str(model_file), "--html", str(tmp_path / "card.html")]) == 0
    page = (tmp_path / "card.html").read_text()
    assert page.count("<svg") >= 2
    assert "shutter closed" in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_a_card_that_is_damaged_is_said(model: Model) -> None:
    for card in ({}, {**model.card, "scores": 3}, {**model.card, "strangers": [1]}):
        with pytest.raises(InputError, match="is damaged"):
            card_text(replace(model, card=card))


# --------------------------------------------------------------------------- promises


def calibration(n: int, seed: int) -> Calibration:
    """Probabilities of three classes that mean what they say."""
    rng = np.random.default_rng(seed)
    logits = 2.5 * rng.normal(size=(n, 3))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.minimum((rng.uniform(size=(n, 1)) > p.cumsum(axis=1)).sum(axis=1), 2)
    return Calibration(p, labels, np.arange(n))


NAMES = ("a", "b", "c")


def test_the_promise_holds_on_new_frames() -> None:
    promise = Promise(0.05, never_miss=("b",), recall=0.95)
    wrong, missed = [], []
    for seed in range(200):
        found = thresholds(promise, calibration(200, seed), NAMES)
        new = calibration(2000, 10_000 + seed)
        wrong.append(float((found.accepts(new.probabilities) & ~new.right).mean()))
        is_b = new.labels == 1
        missed.append(float((~found.keeps(new.probabilities))[is_b].mean()))
    assert np.mean(wrong) <= 0.05 + 3 * np.std(wrong) / np.sqrt(200)
    assert np.mean(missed) <= 0.05 + 3 * np.std(missed) / np.sqrt(200)
    assert np.mean(wrong) > 0.03


def test_the_promise_holds_for_frames_that_costs_decide() -> None:
    promise = Promise(0.05, class_costs=(("b", 4.0),))
    wrong, misses = [], []
    for seed in range(100):
        found = thresholds(promise, calibration(200, seed), NAMES)
        new = calibration(2000, 10_000 + seed)
        given, plain = found.decide(new.probabilities), new.predicted
        wrong.append(float((found.accepts(new.probabilities) & (given != new.labels)).mean()))
        is_b = new.labels == 1
        misses.append((float((given != 1)[is_b].mean()), float((plain != 1)[is_b].mean())))
    assert np.mean(wrong) <= 0.05 + 3 * np.std(wrong) / np.sqrt(100)
    assert np.mean(wrong) > 0.03
    by_cost, by_class = np.mean(misses, axis=0)
    assert by_cost < 0.6 * by_class
    assert len(found.notes) == 1
    assert found.decision.startswith(
        "a missed frame of b costs 4, any other 1: each is given the class that costs least, "
    )


def test_by_class_each_class_keeps_it() -> None:
    wrong = []
    for seed in range(200):
        found = thresholds(Promise(0.06, by_class=True), calibration(300, seed), NAMES)
        new = calibration(2000, 10_000 + seed)
        bad = found.accepts(new.probabilities) & ~new.right
        wrong.append([float(bad[new.predicted == c].mean()) for c in range(3)])
    mean, deviation = np.mean(wrong, axis=0), np.std(wrong, axis=0)
    assert (mean <= 0.06 + 3 * deviation / np.sqrt(200)).all()


def test_what_a_promise_costs_is_said() -> None:
    data = calibration(500, 0)
    [accept, keep] = thresholds(Promise(0.05, never_miss=("a", "c"), recall=0.9), data, NAMES).notes
    assert accept.startswith("at most 5 % of all frames are accepted with a wrong class: ")
    assert keep.startswith("at least 90 % of a, c are kept: ")
    few = calibration(30, 0)
    of_domains = replace(few, of_domains=True)
    [note] = thresholds(Promise(0.01), of_domains, NAMES).notes
    assert note.startswith(
        "at most 1 % of all frames of a domain that it has never seen are accepted with a "
    )
    assert note.endswith("none as any class: that needs 99 domains of calibration frames at least")
    [note] = thresholds(Promise(0.01), few, NAMES).notes
    assert (
        "0 % of frames like the training frames are accepted; none as any class: that needs 99 groups" in note
    )
    [note] = thresholds(Promise(never_miss=("a",), recall=0.999), few, NAMES).notes
    assert note.endswith(
        "every frame is kept: to promise more needs 999 groups of calibration frames of them"
    )


def test_the_test_split_is_what_the_card_says(made: Made, model: Model) -> None:
    data = load_dataset(made.manifest)
    rows = np.flatnonzero(data.split == "test")
    verdicts = model.verdicts([raw_frame(data.ref(row)) for row in rows.tolist()])
    truth = [data.classes[label] for label in data.labels[rows]]
    assert model.card["test"]["accuracy"] == np.mean(
        [v.label == t for v, t in zip(verdicts, truth, strict=True)]
    )
    assert model.card["test"]["strangers"] == np.mean([v.reason.startswith(STRANGER) for v in verdicts])


@pytest.mark.parametrize("hold_out", [None, "domain"])
def test_the_card_says_what_is_promised_of_domains(hold_out: str | None, made: Made, tmp_path: Path) -> None:
    manifest = made.manifest.with_name(f"domains-{hold_out}.csv")
    lines = made.manifest.read_text().splitlines()
    domain = [f",beamtime{i // 4 % 5}" for i in range(len(lines) - 1)]
    manifest.write_text(
        "\n".join([f"{lines[0]},domain", *map("".join, zip(lines[1:], domain, strict=True))]) + "\n"
    )
    text = manifest.read_text().replace(",test,", ",,").replace("group", "series")
    manifest.write_text(text)
    run = write_run(tmp_path / "run", manifest, PIPELINES[:1], hold_out=hold_out)
    model = export_model(run, tmp_path / "m", promise=Promise(0.25))
    data = load_dataset(manifest)
    assert data.domain is not None
    assert model.calibration.of_domains == (hold_out is not None)
    assert len(np.unique(model.calibration.groups)) == (90 if hold_out is None else 5)
    accepted = model.thresholds.accepts(model.calibration.probabilities)
    assert list(model.card["domains"]) == [f"beamtime{i}" for i in range(5)]
    shares = [row["accepted"] * row["frames"] for row in model.card["domains"].values()]
    assert sum(shares) == pytest.approx(accepted.sum())
    text = card_text(model)
    assert ("and not of another domain" in text) == (hold_out is None)
    assert ("of a domain that it has never seen are accepted" in text) == (hold_out is not None)
    assert "beamtime4" in text
