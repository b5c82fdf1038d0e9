"""Densities, against formula and cell, pymatgen and ASE; errors by hand."""

import pytest
import torch

from packflow.elements import ATOMIC_NUMBERS, COVALENT_RADII, MASSES
from packflow.metrics import density, density_error_percent
from packflow.structure import AtomsBatch

PAPERS_ELEMENTS = ["H", "C", "N", "O", "F", "Cl", "Br", "I", "P", "S", "B", "Si", "Se", "As"]


def test_tables_hold_the_papers_elements():
    assert set(PAPERS_ELEMENTS) == set(MASSES) == set(COVALENT_RADII) == set(ATOMIC_NUMBERS)


def test_masses_are_rdkits():
    from rdkit import Chem

    table = Chem.GetPeriodicTable()
    for symbol, number in ATOMIC_NUMBERS.items():
        assert table.GetAtomicNumber(symbol) == number
        assert MASSES[symbol] == pytest.approx(table.GetAtomicWeight(number), rel=2e-3)


def test_measured_densities(crystals, measured):
    """g/cm3: urea at 12 K (COD 2019369) and benzene under pressure (COD 4501703), from formula and cell."""
    for row, formula_mass in ((1, 60.056), (3, 78.114)):
        volume = float(torch.linalg.det(measured.cell[row]).abs())
        wanted = 1.660539 * crystals[row].template.n_copies * formula_mass / volume
        assert density(measured)[row].item() == pytest.approx(wanted, rel=1e-4)
    assert (density(measured, hydrogens=False) < density(measured)).all()


def test_every_element_against_pymatgen_and_ase(structure):
    from ase import Atoms
    from ase.units import create_units
    from pymatgen.core import Lattice, Structure

    cell = torch.tensor([[9.0, 1, 0], [0, 10, 2], [-1, 0, 11]], dtype=torch.float64)
    positions = 3 * torch.eye(3, dtype=torch.float64)[[k % 3 for k in range(14)]]
    found = density(structure(list(ATOMIC_NUMBERS.values()), positions, cell)).item()
    pymatgen = Structure(Lattice(cell.numpy()), list(ATOMIC_NUMBERS), positions.numpy(), coords_are_cartesian=True).density
    assert found == pytest.approx(pymatgen, rel=1e-4)
    ase = Atoms(list(ATOMIC_NUMBERS), positions.numpy(), cell=cell.numpy())
    grams = ase.get_masses().sum() * create_units("2018")["_amu"] * 1000
    assert found == pytest.approx(grams / (ase.get_volume() * 1e-24), rel=1e-4)


def test_error_by_hand(structure):
    """A cell 1.25 times as large has 80 % of the density; the order of the references is that of reference_of."""
    cells = [torch.diag(torch.tensor([10.0, 10, length])) for length in (10, 12.5, 5)]
    batch = AtomsBatch.join([structure([6], [[0.0, 0, 0]], cell) for cell in cells])
    error = density_error_percent(batch.select(torch.tensor([1, 1, 0])), batch, torch.tensor([0, 1, 2]))
    torch.testing.assert_close(error, torch.tensor([20.0, 0, 50], dtype=torch.float64))


@pytest.mark.parametrize(
    ("reference_of", "message"),
    [
        (None, "must be given unless .* as many, got 2 and 1"),
        (torch.tensor([0, 1]), "from 0 to 0, got 1"),
        (torch.tensor([0]), r"int64 of shape \(2,\), got torch.int64 of shape \(1,\)"),
        (torch.tensor([0.0, 0.0]), "got torch.float32"),
    ],
)
def test_reference_of(reference_of, message, structure):
    one = structure([6], [[0.0, 0, 0]], 5 * torch.eye(3))
    with pytest.raises(ValueError, match=message):
        density_error_percent(AtomsBatch.join([one, one]), one, reference_of)
