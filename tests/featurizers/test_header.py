"""The header featurizer: geometry by hand, and absent values that no value looks like."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from sweeper.featurizers.header import FEATURIZER, NODES, quantities

from sweeper.data.intensity import prepare

WHOLE = {
    "distance_mm": 2000.0, "wavelength_angstrom": 1.0, "pixel_mm": 0.1, "beam_column_px": 300.0,
    "beam_row_px": 400.0, "incidence_deg": 0.15, "height_px": 1000.0, "width_px": 600.0,
}  # fmt: skip


def _row(header: dict[str, float]) -> dict[str, NDArray[np.float64]]:
    """Columns of each quantity."""
    frame = replace(prepare(np.ones((4, 4), np.uint16), {}), header=header)
    [row] = FEATURIZER.compute(frame, [{}])
    ends = np.cumsum([len(nodes) for nodes in NODES.values()])
    return dict(zip(NODES, np.split(row, ends[:-1]), strict=True))


def test_angles_and_q_are_those_of_the_nearest_and_the_farthest_point() -> None:
    found = quantities(WHOLE)
    far = np.hypot(300, 600) * 0.1  # mm from the beam to the lower corners
    angle = np.arctan(far / 2000)
    assert found["angle_most_deg"] == pytest.approx(np.degrees(angle))
    assert found["q_most_per_angstrom"] == pytest.approx(4 * np.pi * np.sin(angle / 2))
    assert found["angle_least_deg"] == found["q_least_per_angstrom"] == 0
    assert (found["beam_row"], found["beam_column"]) == (0.4, 0.5)
    outside = quantities({**WHOLE, "beam_row_px": -300.0, "beam_column_px": 1000.0})
    assert outside["angle_least_deg"] == pytest.approx(np.degrees(np.arctan(np.hypot(300, 400) * 0.1 / 2000)))


def test_shares_give_the_value_back() -> None:
    for name, shares in _row(WHOLE).items():
        nodes = np.array(NODES[name])
        assert shares.sum() == pytest.approx(1) and (shares >= 0).all()
        assert shares @ nodes == pytest.approx(quantities(WHOLE)[name])
    beyond = _row({**WHOLE, "distance_mm": 1e6})["distance_mm"]
    assert beyond.tolist() == [*[0] * (len(beyond) - 1), 1]


@pytest.mark.parametrize("lacking", ["distance_mm", "wavelength_angstrom", "beam_row_px", "incidence_deg"])
def test_what_is_absent_is_told_from_every_value(lacking: str) -> None:
    row = _row({name: value for name, value in WHOLE.items() if name != lacking})
    absent = {name for name, shares in row.items() if not shares.any()}
    reach = {"angle_least_deg", "angle_most_deg", "q_least_per_angstrom", "q_most_per_angstrom"}
    needs = {
        "distance_mm": {"distance_mm", *reach},
        "wavelength_angstrom": {"wavelength_angstrom", "q_least_per_angstrom", "q_most_per_angstrom"},
        "beam_row_px": {"beam_row", "beam_column", *reach},
        "incidence_deg": {"incidence_deg"},
    }[lacking]
    assert absent == needs
    assert all(shares.sum() == pytest.approx(1) for name, shares in row.items() if name not in absent)
    assert not any(shares.any() for shares in _row({}).values())
