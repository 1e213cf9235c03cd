"""Structure factors from files: against gemmi's direct summation, Wilson's statistics and the space group."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pytest
from numpy.typing import NDArray

from sweeper.simulate import crystal, geometry, structure
from sweeper.simulate.diffraction import prepare, simulate_frame
from sweeper.simulate.structure_files import read_structure

Floats = NDArray[np.float64]

TRIGONAL = (60.0, 60.0, 45.0, 90.0, 90.0, 120.0)


def _model(cell: tuple[float, ...], group: str, atoms: int = 120) -> gemmi.Structure:
    """Atoms at random places of a cell."""
    rng = np.random.default_rng(0)
    made = gemmi.Structure()
    made.cell = gemmi.UnitCell(*cell)
    made.spacegroup_hm = group
    chain = gemmi.Chain("A")
    for i in range(atoms):
        residue, atom = gemmi.Residue(), gemmi.Atom()
        residue.name, residue.seqid = "ALA", gemmi.SeqId(str(i + 1))
        atom.name = "CA"
        atom.element = gemmi.Element(["C", "N", "O", "S"][i % 4])
        atom.occ, atom.b_iso = 1, float(rng.uniform(10, 30))
        atom.pos = made.cell.orthogonalize(gemmi.Fractional(*rng.uniform(0, 1, 3)))
        residue.add_atom(atom)
        chain.add_residue(residue)
    model = gemmi.Model(1)
    model.add_chain(chain)
    made.add_model(model)
    made.setup_entities()
    return made


def _wilson_mtz(path: Path, scale: float, b_factor: float, kind: str = "F") -> dict[tuple[int, ...], float]:
    """An MTZ file of Wilson's statistics in P 32 2 1, and E² of what it lists."""
    group = gemmi.SpaceGroup("P 32 2 1")
    cell = gemmi.UnitCell(*TRIGONAL)
    hkl = gemmi.make_miller_array(cell, group, 2.0)
    e2 = np.random.default_rng(3).standard_exponential(len(hkl))
    stol = np.array([0.5 / cell.calculate_d(list(h)) for h in hkl])
    volumes = cell.volume / gemmi.UnitCell(*structure.LYSOZYME_CELL).volume
    f2 = scale * volumes * structure.wilson_sum(stol, b_factor) * e2
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup, mtz.cell = group, cell
    mtz.add_dataset("made")
    mtz.add_column("FREE", "I")
    mtz.add_column("F" if kind == "F" else "IMEAN", kind)
    values = np.sqrt(f2) if kind == "F" else f2
    values[::97] = np.nan  # not measured
    mtz.set_data(np.column_stack([hkl, np.zeros(len(hkl)), values]).astype(np.float32))
    mtz.write_to_file(str(path))
    return {tuple(map(int, h)): float(e) for h, e, v in zip(hkl, e2, values, strict=True) if np.isfinite(v)}


@pytest.mark.parametrize("suffix", [".pdb", ".cif", ".pdb.gz"])
def test_coordinates_give_gemmis_sum_over_atoms(tmp_path: Path, suffix: str) -> None:
    """Up to scale and B factor, which are those of the file's Wilson plot."""
    path = tmp_path / f"model{suffix}"
    made = _model((31.0, 42.0, 38.0, 90.0, 105.0, 90.0), "P 1 21 1")
    if suffix == ".cif":
        made.make_mmcif_document().write_file(str(path))
    else:
        plain = tmp_path / "plain.pdb"
        made.write_pdb(str(plain))
        import gzip

        path.write_bytes(gzip.compress(plain.read_bytes()) if suffix.endswith(".gz") else plain.read_bytes())
    found = read_structure(path, 2.0)
    assert found.cell == pytest.approx((31.0, 42.0, 38.0, 90.0, 105.0, 90.0))
    again = gemmi.read_structure(str(path))
    calculator = gemmi.StructureFactorCalculatorX(again.cell)
    rng, ratios, squares = np.random.default_rng(1), [], []
    for h, k, l in rng.integers(-9, 10, (150, 3)):  # noqa: E741
        d = again.cell.calculate_d([h, k, l])
        f2 = abs(calculator.calculate_sf_from_model(again[0], [h, k, l])) ** 2
        if 2.0 < d < 20 and f2 > 200:
            sigma = float(structure.wilson_sum(0.5 / d, 0.0))
            ratios.append(np.log(f2 / (found.squared[h, k, l] * sigma)))
            squares.append((0.5 / d) ** 2)
    assert len(ratios) > 50
    slope, intercept = np.polyfit(squares, ratios, 1)
    np.testing.assert_allclose(ratios, intercept + slope * np.array(squares), atol=0.02)
    assert 5 < -slope / 2 < 35  # B of the atoms
    mean = found.squared[found.squared > 0].mean()
    volumes = again.cell.volume / gemmi.UnitCell(*structure.LYSOZYME_CELL).volume
    assert mean == pytest.approx(volumes, rel=0.1)


@pytest.mark.parametrize("kind", ["F", "J"])
def test_scale_and_b_factor_of_a_list_are_taken_away(tmp_path: Path, kind: str) -> None:
    e2 = _wilson_mtz(tmp_path / "wilson.mtz", 7.3, 25.0, kind)
    found = read_structure(tmp_path / "wilson.mtz", 2.0)
    volumes = gemmi.UnitCell(*TRIGONAL).volume / gemmi.UnitCell(*structure.LYSOZYME_CELL).volume
    ratio = [found.squared[hkl] / (volumes * value) for hkl, value in e2.items()]
    assert np.mean(ratio) == pytest.approx(1, abs=0.06)
    assert np.std(ratio) < 0.06


def test_symmetry_and_friedels_law_fill_the_sphere(tmp_path: Path) -> None:
    e2 = _wilson_mtz(tmp_path / "wilson.mtz", 1.0, 20.0)
    found = read_structure(tmp_path / "wilson.mtz", 2.0)
    operations = gemmi.SpaceGroup("P 32 2 1").operations()
    for hkl in list(e2)[::50]:
        for operation in operations.sym_ops:
            mate = operation.apply_to_hkl(list(hkl))
            assert found.squared[tuple(mate)] == found.squared[hkl]
            assert found.squared[tuple(-i for i in mate)] == found.squared[hkl]
    # All of the sphere is there, but for what was not measured and systematic absences.
    cell = gemmi.UnitCell(*TRIGONAL)
    grid = np.stack(np.meshgrid(*[np.arange(-9, 10)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    grid = grid[(np.abs(grid).sum(axis=1) > 0)]
    inside = grid[cell.calculate_1_d2_array(grid.astype(np.int32)) < 0.25]
    filled = np.mean([found.squared[tuple(h)] > 0 for h in inside])
    assert filled > 0.97
    assert found.squared[0, 0, 0] == 0


def test_a_list_is_taken_for_lysozymes_cell(tmp_path: Path) -> None:
    path = tmp_path / "f.hkl"
    path.write_text("# h k l F sigma\n5 3 2 100.5 1.0\n\n3 5 -2 100.5\n8 0 0 20\n")
    found = read_structure(path, 2.0)
    assert found.cell == structure.LYSOZYME_CELL
    for mate in ((5, 3, 2), (3, 5, 2), (-5, 3, 2), (-5, -3, -2)):
        assert found.squared[mate] == found.squared[5, 3, 2] > 0
    assert np.count_nonzero(found.squared) == 16 + 4
    assert found.squared[8, 0, 0] < found.squared[5, 3, 2]


def test_reflections_in_mmcif(tmp_path: Path) -> None:
    e2 = _wilson_mtz(tmp_path / "wilson.mtz", 2.0, 20.0)
    mtz = gemmi.read_mtz_file(str(tmp_path / "wilson.mtz"))
    converter = gemmi.MtzToCif()
    converter.spec_lines = ["H H index_h", "K H index_k", "L H index_l", "F F F_meas_au"]
    (tmp_path / "wilson.cif").write_text(converter.write_cif_to_string(mtz))
    found = read_structure(tmp_path / "wilson.cif", 2.0)
    expected = read_structure(tmp_path / "wilson.mtz", 2.0)
    hkl = max(e2, key=lambda h: e2[h])
    assert found.squared[hkl] == pytest.approx(float(expected.squared[hkl]), rel=0.01)


BAD = {
    "gone.pdb": (None, "must be an existing file"),
    "x.docx": (b"x", r"must be a file of .pdb, .ent, .cif, .mmcif, .mtz, .hkl, .txt, got '.docx'"),
    "empty.mtz": (b"", "structure cannot be read"),
    "broken.mtz": (b"MTZ and then nothing" * 30, "structure cannot be read"),
    "text.pdb": (b"hello\n", "must have a unit cell and a space group"),
    "cell.pdb": (
        b"CRYST1   79.000   79.000   38.000  90.00  90.00  90.00 P 43 21 2\nEND\n",
        "must have atoms",
    ),
    "broken.cif": (b"data_x\nloop_\n", "structure cannot be read"),
    "empty.cif": (b"", "structure cannot be read"),
    "nothing.cif": (b"data_x\n_entry.id x\n", "must have a unit cell"),
    "words.hkl": (b"1 2 3 4\n1 2 x 4\n", "must have h k l F in each line, line 2 is '1 2 x 4'"),
    "short.hkl": (b"1 2 3\n", "must have h k l F in each line, line 1 is '1 2 3'"),
    "empty.hkl": (b"", "must list reflections with F up to 1.55 Å, but has none"),
    "zero.hkl": (b"1 2 3 0\n", "must list reflections with F"),
    "fine.hkl": (b"70 2 3 9\n", "must list reflections with F up to 1.55 Å"),
    "binary.txt": (b"\xff\xfe\x00", "must be text"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_by_name(tmp_path: Path, name: str) -> None:
    content, message = BAD[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as raised:
        read_structure(tmp_path / name, 1.55)
    assert str(raised.value).startswith(str(tmp_path / name))
    assert "\n" not in str(raised.value)


def test_a_cell_that_no_memory_holds_is_refused(tmp_path: Path) -> None:
    _model((400.0, 500.0, 600.0, 90.0, 90.0, 90.0), "P 21 21 21", atoms=2).write_pdb(
        str(tmp_path / "big.pdb")
    )
    with pytest.raises(
        ValueError, match=r"at most 20,000,000 reflections to 1.55 Å, but its cell of 400 x 500 x 600"
    ):
        read_structure(tmp_path / "big.pdb", 1.55)


def test_an_mtz_without_amplitudes_is_refused(tmp_path: Path) -> None:
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup, mtz.cell = gemmi.SpaceGroup("P 1"), gemmi.UnitCell(*TRIGONAL)
    mtz.set_data(np.array([[1, 2, 3]], dtype=np.float32))
    mtz.write_to_file(str(tmp_path / "phases.mtz"))
    with pytest.raises(ValueError, match="must have a space group and a column of F or I"):
        read_structure(tmp_path / "phases.mtz", 2.0)


# --------------------------------------------------------------------------- any cell


@pytest.mark.parametrize("cell", [structure.LYSOZYME_CELL, TRIGONAL, (31.0, 42.0, 38.0, 80.0, 105.0, 97.0)])
def test_axes_of_a_cell_have_its_metric(cell: tuple[float, ...]) -> None:
    axes = structure.cell_axes(cell)
    np.testing.assert_allclose(np.linalg.norm(axes, axis=1), cell[:3])
    for i, j, angle in ((1, 2, cell[3]), (0, 2, cell[4]), (0, 1, cell[5])):
        cosine = axes[i] @ axes[j] / (cell[i] * cell[j])
        assert np.degrees(np.arccos(cosine)) == pytest.approx(angle)
    reference = gemmi.UnitCell(*cell)
    turned = crystal.crystal_of(cell, 1.0, crystal.random_quaternion(np.random.default_rng(0)), 10.0, 0.0)
    assert 1 / np.linalg.norm(np.array([3, -2, 5]) @ turned.reciprocal) == pytest.approx(
        reference.calculate_d([3, -2, 5])
    )


def test_spots_of_an_oblique_cell_lie_on_its_rings(tmp_path: Path) -> None:
    _wilson_mtz(tmp_path / "wilson.mtz", 1.0, 20.0)
    found = read_structure(tmp_path / "wilson.mtz", 2.0)
    turned = crystal.crystal_of(TRIGONAL, 0.2, crystal.random_quaternion(np.random.default_rng(4)), 10.0, 0.0)
    spots = crystal.find_spots(
        turned, geometry.Beam(1.0, 1e24), geometry.Detector(512, 0.3), found.squared, 0.0
    )
    assert len(spots.photons) > 20
    two_theta = np.arctan2(np.hypot(spots.x_mm, spots.y_mm), 150.0)
    d = [gemmi.UnitCell(*TRIGONAL).calculate_d(list(hkl)) for hkl in spots.hkl]
    np.testing.assert_allclose(1 / (2 * np.sin(two_theta / 2)), d, rtol=0.02)


def test_frames_of_another_structure(tmp_path: Path) -> None:
    _wilson_mtz(tmp_path / "wilson.mtz", 1.0, 20.0)
    options, identity = prepare(structure=tmp_path / "wilson.mtz")
    assert identity["structure"].startswith("wilson.mtz ")
    counts, drawn = simulate_frame("strong", 0, 1, 64, **options)
    assert drawn["cell_a_angstrom"] == pytest.approx(60, rel=0.02)
    assert drawn["cell_b_angstrom"] == drawn["cell_a_angstrom"]
    assert drawn["cell_c_angstrom"] == pytest.approx(45, rel=0.02)
    default, _ = simulate_frame("strong", 0, 1, 64)
    assert not np.array_equal(counts, default)
    photons = [simulate_frame("strong", i, 1, 64)[1]["bragg_photons"] for i in range(10)]
    others = [simulate_frame("strong", i, 1, 64, **options)[1]["bragg_photons"] for i in range(10)]
    # The same protein density scatters alike whatever the cell; the file ends at 2 Å.
    assert 0.3 < np.median(others) / np.median(photons) < 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "fast"}, "method must be one of spot, pixel, got 'fast'"),
        ({"point_spread": "round"}, "point-spread must be one of gaussian, fibre, got 'round'"),
    ],
)
def test_unknown_options_are_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(**options)
