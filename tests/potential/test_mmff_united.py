"""Mmff of heavy atoms that carry their hydrogens."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from packflow.errors import InputError
from packflow.potential.mmff import Mmff, parameters_of
from packflow.potential.mmff_united import MmffUnited, UnitedScales, united_parameters
from packflow.structure import Molecule, Template
from packflow.structure.cif import read_cif
from packflow.structure.full import FullBatch
from packflow.structure.full_frame import heavy_crystal
from packflow.structure.full_sites import full_structure

# names by COD number: propane, glycol, urea
CODS = ("1511801", "2007371", "2019369")
BARE = UnitedScales((1.0,) * 4, (1.0,) * 4, 1.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def structures(cif_folder, smiles_of):
    return [full_structure(read_cif(cif_folder / f"{cod}.cif")[0], smiles_of[cod]) for cod in CODS]


def swollen(structure, factor):
    """With the centers of molecules at `factor` times their places."""
    copies = structure.positions.reshape(structure.template.n_copies, -1, 3)
    moved = copies + (factor - 1) * copies.mean(1, keepdims=True)
    return replace(structure, positions=moved.reshape(-1, 3), cell=factor * structure.cell)


def heavy_batch(structures, factor=1.0):
    """Heavy atoms of swollen crystals."""
    positions = []
    for s in structures:
        copies = swollen(s, factor).positions.reshape(s.template.n_copies, -1, 3)
        positions.append(copies[:, : s.template.molecule.n_atoms].reshape(-1, 3))
    return FullBatch(
        templates=tuple(s.template for s in structures),
        atomic_numbers=torch.from_numpy(np.concatenate([heavy_crystal(s).template.atomic_numbers for s in structures])),
        positions=torch.from_numpy(np.concatenate(positions)),
        cell=torch.from_numpy(np.stack([factor * s.cell for s in structures])),
        atom_ptr=torch.tensor(np.cumsum([0, *map(len, positions)]), dtype=torch.int32),
        periodic=torch.ones(len(structures), dtype=torch.bool),
    )


def energies(structures, factor=1.0, potential=None):
    batch = heavy_batch(structures, factor)
    return (potential or MmffUnited()).prepare(batch).evaluate(batch.positions, batch.cell).energy


def test_heavy_atoms_carry_charges_and_are_told_apart_by_their_hydrogens():
    parameters, kinds = united_parameters("CC(O)C(N)=O")
    full = parameters_of("CC(O)C(N)=O")
    assert len(parameters.charges) == 6
    assert parameters.charges.sum() == pytest.approx(full.charges.sum(), abs=1e-9)
    assert full.charges[2] < -0.5 < parameters.charges[2] < 0  # the oxygen of a hydroxyl, with and without its hydrogen's
    # carbon, hydrogens, gives, accepts: CH3, CH, OH, C, NH2, =O
    wanted = [[1, 3, 0, 0], [1, 1, 0, 0], [0, 1, 1, 1], [1, 0, 0, 0], [0, 2, 1, 0], [0, 0, 0, 1]]
    assert kinds[parameters.types].tolist() == wanted
    assert (parameters.special_index < 6).all()
    assert 0 < len(parameters.terms) < len(full.terms)
    assert int(parameters.terms.atoms.max()) < 6


def test_factors_of_one_are_mmff_of_the_bare_heavy_atoms():
    """Without hydrogens nothing is scaled, nor are there any to carry: the two potentials are one."""
    template = Template(Molecule.from_smiles("FC(F)(F)C(F)(F)F"), 1)
    positions = np.random.default_rng(0).normal(scale=2.0, size=(8, 3))
    batch = FullBatch(
        templates=(template,),
        atomic_numbers=torch.from_numpy(template.atomic_numbers),
        positions=torch.from_numpy(positions),
        cell=torch.eye(3, dtype=torch.float64)[None] * 9.0,
        atom_ptr=torch.tensor([0, 8], dtype=torch.int32),
        periodic=torch.ones(1, dtype=torch.bool),
    )
    ours = MmffUnited(BARE, cutoff=10.0).prepare(batch).evaluate(batch.positions, batch.cell)
    whole = Mmff().prepare(batch).evaluate(batch.positions, batch.cell)
    torch.testing.assert_close(ours.energy, whole.energy)
    torch.testing.assert_close(ours.forces, whole.forces)


def test_forces_are_the_slope_of_the_energy(structures):
    batch, step = heavy_batch(structures[1:2]), 1e-4
    prepared = MmffUnited().prepare(batch)
    forces = prepared.evaluate(batch.positions, batch.cell).forces
    for atom, axis in ((0, 0), (3, 2)):
        shift = torch.zeros_like(batch.positions)
        shift[atom, axis] = step
        up, down = (prepared.evaluate(batch.positions + s * shift, batch.cell).energy.item() for s in (1, -1))
        assert (down - up) / (2 * step) == pytest.approx(forces[atom, axis].item(), rel=1e-4, abs=1e-5)


def test_swelling_costs_what_mmff_says_which_bare_atoms_miss(structures):
    """Molecules rigid, lengths 12 % longer; hydrogens where the crystals' files have them. Alkanes come out too large (docs)."""
    structures = structures[1:]
    full = [FullBatch.pack(structures), FullBatch.pack([swollen(s, 1.12) for s in structures])]
    start, end = (Mmff().prepare(batch).evaluate(batch.positions, batch.cell).energy for batch in full)
    wanted = end - start
    united, bare = (energies(structures, 1.12, p) - energies(structures, 1.0, p) for p in (MmffUnited(), MmffUnited(BARE)))
    assert ((united - wanted).abs() < 0.25 * wanted).all()
    assert (bare < 0.25 * wanted).all()


def test_what_has_no_parameters_or_a_charge_is_told(structures):
    batch = heavy_batch(structures)
    ion = replace(batch, templates=(Template(Molecule.from_smiles("CC[NH3+]"), batch.templates[0].n_copies), *batch.templates[1:]))
    found = MmffUnited().prepare(ion)
    assert "must be neutral" in found.problems[0]
    assert found.problems[1:] == ["", ""]
    result = found.evaluate(batch.positions, batch.cell)
    assert result.energy.isnan().tolist() == [True, False, False]
    with pytest.raises(InputError):
        united_parameters("not a molecule")
