"""CIFs with hydrogens are read by gemmi, ASE, pymatgen and ourselves as the crystal that was written."""

from dataclasses import replace

import ase.io
import gemmi
import numpy as np
import pytest
from pymatgen.core import Structure

from packflow import InputError
from packflow.structure.cif import blocks_of, cif_text, read_cif, sites_of
from packflow.structure.full import full_mol, full_numbers
from packflow.structure.full_cif import full_cif_text
from packflow.structure.full_frame import full_sites, heavy_atoms, heavy_crystal, lattice_and_fractional
from packflow.structure.full_sites import full_structure

CODS = ("2019369", "4037663", "7221763", "7238218")


@pytest.fixture(scope="module", params=CODS)
def crystal(request, cif_folder, smiles_of):
    """Measured, in a turned frame."""
    made = full_structure(read_cif(cif_folder / f"{request.param}.cif")[0], smiles_of[request.param])
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    return replace(made, positions=made.positions @ turn + [1.0, 2.0, -30.0], cell=made.cell @ turn)


def left_handed(crystal):
    """The same crystal by other lattice vectors."""
    return replace(crystal, cell=crystal.cell[[1, 0, 2]])


def distances(numbers, fractional, cell):
    """Distances of all pairs of atoms through the cell and its nearest images, sorted, for comparison of frames."""
    between = fractional[:, None] - fractional[None]
    steps = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), -1).reshape(-1, 3)
    near = (between - np.rint(between))[:, :, None] + steps
    return np.sort(np.linalg.norm(near @ cell, axis=-1), axis=-1)[..., :4]


def same(crystal, numbers, fractional, cell, tolerance=2e-4):
    mine = distances(None, crystal.positions @ np.linalg.inv(crystal.cell), crystal.cell)
    assert np.array_equal(numbers, full_numbers(crystal.template))
    assert np.allclose(distances(None, np.asarray(fractional), np.asarray(cell)), mine, atol=tolerance)


@pytest.mark.parametrize("change", [lambda c: c, left_handed], ids=["right-handed", "left-handed"])
def test_readers_agree(crystal, change, tmp_path):
    path = tmp_path / "a.cif"
    path.write_text(full_cif_text(change(crystal), "a"))
    by_gemmi = gemmi.read_small_structure(str(path))
    cell = np.array(by_gemmi.cell.orth.mat.tolist()).T
    same(crystal, [s.element.atomic_number for s in by_gemmi.sites], [s.fract.tolist() for s in by_gemmi.sites], cell)
    assert len(by_gemmi.get_all_unit_cell_sites()) == len(crystal.positions)
    by_ase = ase.io.read(path)
    same(crystal, by_ase.numbers, by_ase.get_scaled_positions(wrap=False), by_ase.cell[:])
    by_pymatgen = Structure.from_file(path)
    assert sorted(by_pymatgen.atomic_numbers) == sorted(full_numbers(crystal.template))
    assert by_pymatgen.volume == pytest.approx(abs(np.linalg.det(crystal.cell)), rel=1e-5)
    order = [int(np.argmin(np.abs(d).sum(1))) for d in _to_sites(by_pymatgen, by_ase)]
    same(crystal, np.array(by_pymatgen.atomic_numbers)[order], by_pymatgen.frac_coords[order], by_pymatgen.lattice.matrix)


def _to_sites(structure, atoms):
    """For each atom, the difference of its fractional coordinates to all sites, nearest image."""
    between = structure.frac_coords[None] - atoms.get_scaled_positions(wrap=False)[:, None]
    return between - np.rint(between)


@pytest.mark.parametrize("change", [lambda c: c, left_handed], ids=["right-handed", "left-handed"])
def test_molecules_and_handedness_come_back(crystal, change):
    """Our own reader finds the molecules; their atoms lie on each other by a rotation, not by a reflection."""
    (block,) = blocks_of(full_cif_text(change(crystal), "a"))
    back = full_structure(sites_of(block, "a"))
    assert back.template.molecule.smiles == crystal.template.molecule.smiles
    assert back.template.n_copies == crystal.template.n_copies
    n = len(crystal.positions) // crystal.template.n_copies
    mine = crystal.positions.reshape(-1, n, 3) - crystal.positions.reshape(-1, n, 3).mean(1, keepdims=True)
    found = back.positions.reshape(-1, n, 3) - back.positions.reshape(-1, n, 3).mean(1, keepdims=True)
    triple = [[float(np.linalg.det(m[:3])) for m in x] for x in (mine, found)]
    assert np.allclose(triple[0], triple[1], atol=2e-3)
    spans = [np.sort(np.linalg.norm(x, axis=2).ravel()) for x in (mine, found)]
    assert np.allclose(spans[0], spans[1], atol=2e-4)


def test_bonds_and_items(crystal):
    text = full_cif_text(crystal, "rank 1/a", {"_packflow_rank": "1", "_packflow_proposal": "a b"})
    block = gemmi.cif.read_string(text).sole_block()
    assert block.name == "rank_1_a"
    assert block.find_value("_packflow_proposal") == "'a b'"
    lengths = np.array([float(x) for x in block.find_values("_geom_bond_distance")])
    assert len(lengths) == crystal.template.n_copies * full_mol(crystal.template.molecule.smiles).GetNumBonds()
    assert lengths.max() < 2.0


def test_heavy_crystal(crystal):
    """Like the crystal that hydrogens are added to: same packing, same handedness, molecules whole, centred."""
    heavy, other = heavy_crystal(crystal), heavy_crystal(left_handed(crystal))
    mine = crystal.positions[heavy_atoms(crystal)]
    for made in (heavy, other):
        assert np.allclose(made.positions.mean(0), 0.0, atol=1e-9)
        i, j = crystal.template.bond_index
        assert np.allclose(
            np.linalg.norm(made.positions[i] - made.positions[j], axis=1), np.linalg.norm(mine[i] - mine[j], axis=1), atol=1e-6
        )
        assert np.linalg.det(made.cell) == pytest.approx(abs(np.linalg.det(crystal.cell)))
    a, b = ((m - m.mean(0))[:3] for m in (mine, heavy.positions))
    assert np.linalg.det(a) == pytest.approx(np.linalg.det(b), abs=1e-6)
    assert cif_text(heavy, "a").count("\n") < full_cif_text(crystal, "a").count("\n")


def test_no_cell(crystal):
    with pytest.raises(InputError, match="must have a cell, got a molecule in vacuum"):
        full_cif_text(replace(crystal, cell=None), "a")
    with pytest.raises(InputError, match="cell with a volume"):
        lattice_and_fractional(replace(crystal, cell=np.zeros((3, 3))))
    assert full_sites(crystal, "x").name == "x"
