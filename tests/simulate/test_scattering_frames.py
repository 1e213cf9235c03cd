"""Frames of the scattering simulator: same seed same frame, what is on them, and how they are named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper.cli import main
from sweeper.data.dataset import load_dataset
from sweeper.data.frames import read_frame
from sweeper.simulate.scattering import BLANK, LABELS
from sweeper.simulate.scattering.detectors import BAD, DETECTORS, GAP, Area, gaps, whole
from sweeper.simulate.scattering.frame import FRAMES_PER_SESSION, group_of, prepare, simulate_frame
from sweeper.simulate.scattering.instruments import Instrument, draw_instrument
from sweeper.simulate.scattering.recording import DEPTHS, stored
from sweeper.simulate.scattering.scene import STOPS
from sweeper.simulate.scattering.strata import BLOCK, NAMES, Strata

_ALL = (*LABELS, BLANK)
_MOST = {"16 bits": 65_535, "12 bits": 4_095, "8 bits": 255, "8 bits, logarithm": 255, "scaled": 2**31 - 1}


@pytest.mark.parametrize("label", _ALL)
def test_a_frame_depends_on_its_label_index_seed_and_size_alone(label: str) -> None:
    counts, drawn = simulate_frame(label, 5, 3, 96)
    simulate_frame("WAXS", 0, 9, 64)
    again, drawn_again = simulate_frame(label, 5, 3, 96)
    np.testing.assert_array_equal(counts, again)
    assert str(drawn) == str(drawn_again)
    assert not np.array_equal(counts, simulate_frame(label, 5, 4, 96)[0])


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(_ALL), st.integers(0, 400), st.integers(0, 50), st.sampled_from([64, 97, 150]))
def test_every_frame_is_of_its_detector_and_holds_counts(
    label: str, index: int, seed: int, size: int
) -> None:
    counts, drawn = simulate_frame(label, index, seed, size)
    detector = DETECTORS[drawn["detector"]]
    assert counts.dtype == np.int32
    if drawn["part"] == "whole":
        assert counts.shape == whole(detector).shape_at(size)
    assert max(counts.shape) == size
    assert min(counts.shape) >= size // 8
    assert counts.min() >= BAD
    assert counts.max() <= _MOST.get(drawn["depth"], detector.saturation_counts)
    valid = counts >= 0
    assert valid.any()
    if label != BLANK:
        assert counts[valid].sum() > 0
        assert drawn["wavelength_angstrom"] > 0.1
    assert drawn["label"] == label


def test_all_labels_have_the_same_columns_in_the_same_order() -> None:
    columns = [list(simulate_frame(label, 0, 0, 64)[1]) for label in _ALL]
    assert all(names == columns[0] for names in columns)
    assert "group" in columns[0]


@pytest.mark.parametrize("label", LABELS)
def test_a_session_shares_instrument_and_material_and_another_does_not(label: str) -> None:
    drawn = [simulate_frame(label, index, 8, 64)[1] for index in range(2 * FRAMES_PER_SESSION)]
    first, second = drawn[:FRAMES_PER_SESSION], drawn[FRAMES_PER_SESSION:]
    shared = ("group", "domain", "detector", "part", "wavelength_angstrom", "sample", "up_quarter_turns",
              "place", "stop", "depth")  # fmt: skip
    for name in shared:
        assert len({d[name] for d in first}) == 1
    assert len({d["counts_at_98_percent"] for d in first}) == FRAMES_PER_SESSION
    assert first[0]["group"] != second[0]["group"]
    assert first[0]["wavelength_angstrom"] != second[0]["wavelength_angstrom"]


def test_frames_of_a_session_are_exposures_of_their_own() -> None:
    frames = [simulate_frame("SAXS", index, 8, 64)[0] for index in range(FRAMES_PER_SESSION)]
    for i in range(FRAMES_PER_SESSION):
        for j in range(i):
            assert not np.array_equal(frames[i], frames[j])


def test_a_group_is_known_without_its_frames_and_seeds_do_not_share_any() -> None:
    for label in LABELS:
        assert simulate_frame(label, 9, 2, 64)[1]["group"] == group_of(label, 9, 2)
    groups = {group_of(label, index, seed) for label in LABELS for index in range(8) for seed in (1, 2)}
    assert len(groups) == len(LABELS) * 2 * (8 // FRAMES_PER_SESSION)


def test_a_square_frame_is_the_same_with_nothing_around() -> None:
    for index in range(0, 40, FRAMES_PER_SESSION):
        counts, _ = simulate_frame("WAXS", index, 1, 80)
        square, drawn = simulate_frame("WAXS", index, 1, 80, shape="square")
        assert square.shape == (80, 80)
        assert drawn["shape"] == "square"
        top, left = (80 - counts.shape[0]) // 2, (80 - counts.shape[1]) // 2
        inner = slice(top, top + counts.shape[0]), slice(left, left + counts.shape[1])
        np.testing.assert_array_equal(square[inner], counts)
        square[inner] = GAP
        assert np.all(square == GAP)
    with pytest.raises(ValueError, match="shape must be one of detector, square, got 'round'"):
        prepare("round")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("saxs", 0, 0, 64), "label must be one of SAXS, WAXS, GISAXS, GIWAXS, blank, got 'saxs'"),
        (("SAXS", -1, 0, 64), "index must be a whole number of at least 0, got -1"),
        (("SAXS", 0, -1, 64), "seed must be a whole number of at least 0, got -1"),
        (("SAXS", 0, 0, 63), "size must be 64 to 4096 pixels, got 63"),
        (("SAXS", 0, 0, 4097), "size must be 64 to 4096 pixels, got 4097"),
    ],
)
def test_bad_arguments_are_named(arguments: tuple[str, int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simulate_frame(*arguments)


def test_the_package_is_light_to_import() -> None:
    code = "import sys, sweeper.simulate.scattering; print('numpy' in sys.modules, 'scipy' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]


# ------------------------------------------------------------------- detectors

_PYFAI = {
    # Our name: pyFAI's, and pixels between modules at the detector's own size.
    "Pilatus 100K": ("Pilatus100k", 0),
    "Pilatus 300K": ("Pilatus300k", 16_558),
    "Pilatus 300K-W": ("Pilatus300kw", 2_730),
    "Pilatus 1M": ("Pilatus1M", 73_533),
    "Pilatus 2M": ("Pilatus2M", 197_365),
    "Eiger 500K": ("Eiger500k", 0),
    "Eiger 1M": ("Eiger1M", 38_110),
    "Eiger 4M": ("Eiger4M", 250_330),
    "Pilatus 6M": ("Pilatus6M", 526_101),
    "Eiger 9M": ("Eiger9M", 637_030),
    "Eiger 16M": ("Eiger16M", 1_198_210),
    "Pilatus 900K": ("Pilatus900k", 58_340),
    "Lambda 750K": ("lambda750k", 16_464),
    "Maxipix 2x2": ("maxipix_2x2", 4_112),
    "Maxipix 5x1": ("maxipix_5x1", 4_096),
    "Jungfrau 4M": ("Jungfrau4M", 239_792),
}


@pytest.mark.parametrize("name", _PYFAI)
def test_gaps_cover_as_many_pixels_as_pyfais_masks(name: str) -> None:
    detector = DETECTORS[name]
    mask = gaps(whole(detector), (detector.rows, detector.columns))
    assert mask.sum() == _PYFAI[name][1]
    small = gaps(whole(detector), whole(detector).shape_at(512))
    assert small.mean() == pytest.approx(mask.mean(), abs=0.012)


@pytest.mark.parametrize("name", _PYFAI)
def test_gaps_equal_pyfais_masks_where_it_is_installed(name: str) -> None:
    detectors = pytest.importorskip("pyFAI.detectors")
    theirs = detectors.detector_factory(_PYFAI[name][0])
    detector = DETECTORS[name]
    assert theirs.shape == (detector.rows, detector.columns)
    assert theirs.pixel1 * 1e3 == pytest.approx(detector.pixel_mm)
    np.testing.assert_array_equal(theirs.calc_mask().astype(bool), gaps(whole(detector), theirs.shape))


def test_gaps_are_marked_on_frames() -> None:
    marked = 0
    for index in range(0, 80, FRAMES_PER_SESSION):
        counts, drawn = simulate_frame("SAXS", index, 1, 200)
        between = gaps(whole(DETECTORS[drawn["detector"]]), counts.shape)
        if between.any() and drawn["part"] == "whole":
            assert set(np.unique(counts[between])) in ({GAP}, {0})
            marked += set(np.unique(counts[between])) == {GAP}
    assert marked > 5


@given(st.floats(0, 1), st.floats(0, 1))
def test_places_turn_with_the_scene(across: float, up: float) -> None:
    detector = DETECTORS["Pilatus 1M"]

    def place(quarter: int) -> tuple[float, float]:
        shape = (300, 200) if quarter % 2 == 0 else (200, 300)
        of = whole(detector)
        return Instrument(of, "whole", shape, 1.0, 1.0, True, 0.5, quarter, -1).place(across, up)

    upright = np.zeros((300, 200))
    column, row = place(0)
    near = int(np.clip(round(row), 0, 299)), int(np.clip(round(column), 0, 199))
    upright[near] = 1
    for quarter in (1, 2, 3):
        turned = np.argwhere(np.rot90(upright, -quarter))[0]
        column, row = place(quarter)
        assert abs(turned[0] - row) <= 1.01
        assert abs(turned[1] - column) <= 1.01


@given(st.integers(0, 200), st.integers(0, 200), st.integers(1, 180), st.integers(1, 280))
def test_gaps_of_a_part_are_those_of_the_whole_there(top: int, left: int, rows: int, columns: int) -> None:
    detector = DETECTORS["Pilatus 300K"]
    mask = gaps(whole(detector), (detector.rows, detector.columns))
    part = gaps(Area(detector, top, left, rows, columns), (rows, columns))
    np.testing.assert_array_equal(part, mask[top : top + rows, left : left + columns])


# ------------------------------------------------------------------- wide families


@given(st.integers(0, 1000), st.integers(0, 3), st.integers(0, 5))
def test_a_block_of_sessions_has_one_in_each_part_of_every_quantity(
    seed: int, which: int, block: int
) -> None:
    sessions = [Strata((seed, which), BLOCK * block + n) for n in range(BLOCK)]
    for name in NAMES:
        shares = sorted(session.share(name) for session in sessions)
        assert [int(share * BLOCK) for share in shares] == list(range(BLOCK))


def test_names_are_chosen_as_often_as_their_shares_say() -> None:
    shares = {"half": 8, "none": 0, "rest": 8}
    chosen = [Strata((1,), n).choose("stop", shares) for n in range(BLOCK)]
    assert (chosen.count("half"), chosen.count("none"), chosen.count("rest")) == (8, 0, 8)


@pytest.mark.parametrize("label", LABELS)
def test_a_few_sessions_cover_the_families(label: str) -> None:
    drawn = [simulate_frame(label, session * FRAMES_PER_SESSION, 5, 64)[1] for session in range(3 * BLOCK)]
    seen = {name: {str(one[name]) for one in drawn} for name in drawn[0]}
    families = {DETECTORS[name].family for name in seen["detector"]}
    assert families == {model.family for model in DETECTORS.values()}
    assert seen["part"] == {"whole", "strip", "quarter", "crop"}
    assert seen["stop"] == set(STOPS)
    assert seen["depth"] == set(DEPTHS)
    assert seen["up_quarter_turns"] == {"0", "1", "2", "3"}
    places = {"usual", "side", "beside", "below"} if label.startswith("GI") else {"middle", "inside", "edge"}
    assert places <= seen["place"]
    exposures = np.log10([one["counts_at_98_percent"] for one in drawn])
    assert np.ptp(exposures) > 3.5
    assert seen["domain"] <= {f"{family}, {part}" for family in families for part in ("whole", "part")}


def test_beams_are_where_their_place_says() -> None:
    for label in LABELS:
        for session in range(2 * BLOCK):
            counts, drawn = simulate_frame(label, session * FRAMES_PER_SESSION, 6, 64)
            column, row = drawn["beam_column_px"], drawn["beam_row_px"]
            inside = 0 <= column + 0.5 <= counts.shape[1] and 0 <= row + 0.5 <= counts.shape[0]
            if drawn["place"] == "inside":
                assert inside
            if drawn["place"] in ("outside", "below"):
                assert not inside


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(list(DEPTHS)), st.integers(0, 2**32 - 1), st.floats(0, 6))
def test_files_hold_no_more_than_their_depth(depth: str, seed: int, decades: float) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.poisson(10**decades * rng.random((20, 30))).astype(np.float32)
    found = stored(counts, depth, rng)
    assert found.dtype == np.int32
    assert found.min() >= 0
    assert found.max() <= _MOST.get(depth, 2**31 - 1)
    order = np.argsort(counts, axis=None, kind="stable")
    assert np.all(np.diff(found.ravel()[order]) >= 0)  # more photons never give less


# ------------------------------------------------------------------- what is on the frames


def _radial_contrast(counts: np.ndarray, column: float, row: float) -> float:
    """Share of the variance of log counts that the distance from a place explains."""
    y, x = np.indices(counts.shape)
    ring = np.hypot(x - column, y - row).astype(int)
    valid = counts >= 0
    values, ring = np.log1p(counts[valid]), ring[valid]
    means = np.bincount(ring, values) / np.maximum(np.bincount(ring), 1)
    return float(1 - ((values - means[ring]) ** 2).sum() / ((values - values.mean()) ** 2).sum())


def test_transmission_is_round_about_the_beam_and_surfaces_have_a_horizon() -> None:
    """Over sessions, not in each: texture, tubes and faint exposures are in the way."""
    round_about: dict[str, list[float]] = {label: [] for label in LABELS}
    above: dict[str, list[float]] = {"GISAXS": [], "GIWAXS": []}
    for label in LABELS:
        for session in range(24):
            counts, drawn = simulate_frame(label, session * FRAMES_PER_SESSION, 2, 128)
            column, row = drawn["beam_column_px"], drawn["beam_row_px"]
            round_about[label].append(_radial_contrast(counts, column, row))
            if label in above:
                y, x = np.indices(counts.shape)
                up = np.deg2rad(drawn["up_deg"])
                height = (x - column) * np.sin(up) - (y - row) * np.cos(up)
                reach = 128 * 0.25
                valid = (counts >= 0) & (np.abs(height) < reach)
                bright = np.log1p(counts[valid]), height[valid] > 0
                if bright[1].any() and not bright[1].all():
                    above[label].append(bright[0][bright[1]].mean() - bright[0][~bright[1]].mean())
    medians = {label: float(np.median(values)) for label, values in round_about.items()}
    assert min(medians["SAXS"], medians["WAXS"]) > max(medians["GISAXS"], medians["GIWAXS"]) + 0.1
    for label, steps in above.items():
        assert np.mean(np.array(steps) > 0) > 0.9, label


def _first_of(label: str, sample: str, seed: int) -> tuple[np.ndarray, dict[str, object]]:
    """The brightest of some frames of a sample on a photon counter with beam and first ring in the frame."""
    found = []
    for session in range(90):
        counts, drawn = simulate_frame(label, session * FRAMES_PER_SESSION, seed, 300)
        if drawn["sample"] != sample:
            continue
        counting = DETECTORS[drawn["detector"]].kind == "counting" and drawn["depth"] == "counts"
        inside = 0 < drawn["beam_column_px"] < counts.shape[1] and 0 < drawn["beam_row_px"] < counts.shape[0]
        tangent = np.tan(2 * np.arcsin(drawn["wavelength_angstrom"] / (2 * drawn["length_angstrom"])))
        ring = 25 < tangent * drawn["distance_mm"] / drawn["pixel_mm"] < 130
        if counting and inside and ring and drawn["arm_up_deg"] == 0:
            found.append((drawn["counts_at_98_percent"], counts, drawn))
    return max(found, key=lambda entry: entry[0])[1:]


def test_rings_of_silver_behenate_are_where_their_period_puts_them() -> None:
    counts, drawn = _first_of("SAXS", "silver behenate", 4)
    y, x = np.indices(counts.shape)
    radius = np.hypot(x - drawn["beam_column_px"], y - drawn["beam_row_px"])
    tangent = radius * drawn["pixel_mm"] / drawn["distance_mm"]
    q = 4 * np.pi / drawn["wavelength_angstrom"] * np.sin(np.arctan(tangent) / 2)
    first = 2 * np.pi / 58.38
    valid = (counts >= 0) & (q > 0.8 * first) & (q < 1.2 * first)
    bins = np.linspace(0.8, 1.2, 21) * first
    place = np.digitize(q[valid], bins) - 1
    seen = np.bincount(place, minlength=20)
    assert seen.min() > 5
    curve = [np.median(counts[valid][place == n]) for n in range(20)]  # a hot pixel does not count
    assert bins[:-1][np.argmax(curve)] + 0.01 * first == pytest.approx(first, rel=0.025)


def test_detectors_do_not_give_a_class_away() -> None:
    """Each of the detectors that most frames come from is used by every technique."""
    seen = {
        label: {
            draw_instrument(label, 64, Strata((which,), n), np.random.default_rng(n)).detector.name
            for n in range(160)
        }
        for which, label in enumerate(LABELS)
    }
    common = set.intersection(*seen.values())
    assert {"Pilatus 1M", "Pilatus 300K", "Eiger 1M", "Eiger 4M", "MAR 165", "Maxipix 2x2"} <= common


def test_exposures_span_decades() -> None:
    brightest = [
        np.quantile(simulate_frame("SAXS", FRAMES_PER_SESSION * n, 6, 64)[0], 0.98) for n in range(40)
    ]
    assert min(brightest) < 50
    assert max(brightest) > 3000


@pytest.mark.slow
def test_a_frame_of_4096_pixels_is_drawn() -> None:
    counts, drawn = simulate_frame("WAXS", 8, 1, 4096)
    small, drawn_small = simulate_frame("WAXS", 8, 1, 512)
    assert max(counts.shape) == 4096
    for name in ("detector", "sample", "wavelength_angstrom", "distance_mm"):
        close = pytest.approx(drawn_small[name], rel=2e-3) if name == "distance_mm" else drawn_small[name]
        assert drawn[name] == close
    # The same scene: binned, it is the small frame but for noise and exposure.
    rows, columns = counts.shape[0] // 8, counts.shape[1] // 8
    binned = counts[: rows * 8, : columns * 8].reshape(rows, 8, columns, 8).clip(0).mean((1, 3))
    small = small[:rows, :columns]
    fine = (small >= 0) & (binned > 0)
    assert np.corrcoef(np.log1p(binned[fine]), np.log1p(small[fine]))[0, 1] > 0.8


def test_techniques_are_told_apart_on_sessions_that_were_not_seen() -> None:
    from sklearn.ensemble import ExtraTreesClassifier
    from sweeper.featurizers.symmetry import FEATURIZER

    from sweeper.data.intensity import prepare

    x, y = [], []
    for which, label in enumerate(LABELS):
        for session in range(48):
            counts, _ = simulate_frame(label, session * FRAMES_PER_SESSION, 21, 128)
            x.append(FEATURIZER.compute(prepare(counts, {}), [{"grid": 32}])[0])
            y.append(which)
    features, truth = np.array(x), np.array(y)
    held_out = np.arange(len(truth)) % 3 == 0

    def accuracy(labels: np.ndarray) -> float:
        model = ExtraTreesClassifier(100, random_state=0).fit(features[~held_out], labels[~held_out])
        return float((model.predict(features[held_out]) == labels[held_out]).mean())

    assert accuracy(truth) > 0.5
    assert accuracy(np.random.default_rng(0).permutation(truth)) < 0.4


def test_the_command_makes_a_set_with_sessions_that_loads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "frames"
    assert (
        main(["simulate", "scattering", str(folder), "--per-class", "8", "--size", "64", "--seed", "3"]) == 0
    )
    data = load_dataset(folder / "manifest.csv")  # a folder alone has no groups
    assert data.class_counts() == dict.fromkeys(sorted(LABELS), 8)
    assert data.groups is not None
    assert len(set(data.groups.tolist())) == 4 * 8 // FRAMES_PER_SESSION
    domains = load_dataset(folder / "manifest.csv", hold_out="domain")
    assert set(domains.domain_names) <= {
        f"{model.family}, {part}" for model in DETECTORS.values() for part in ("whole", "part")
    }
    index = next(i for i, name in enumerate(data.names) if name == "GISAXS/GISAXS_00005.tif")
    np.testing.assert_array_equal(read_frame(data.paths[index]), simulate_frame("GISAXS", 5, 3, 64)[0])
    assert main(["simulate", "scattering", str(tmp_path / "s"), "--shape", "round"]) == 2
    assert "shape must be one of detector, square, got 'round'" in capsys.readouterr().err


def test_square_frames_are_stacked(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    options = "--per-class 4 --size 64 --format hdf5 --shape square"
    assert main(["simulate", "scattering", str(folder), *options.split()]) == 0
    assert len(load_dataset(folder)) == 16
