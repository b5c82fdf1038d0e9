"""Volumes of molecules in crystals, against measured cells."""

import numpy as np
import pytest

from packflow.structure import Molecule
from packflow.structure.packing_volume import packing_volume

# Å3 of the cell over Z, near 298 K where there is one: benzene at 270 K (Bacon 1964), naphthalene, urea and paracetamol I at 298 K,
# aspirin I at 298 K, hexachlorobenzene at 298 K
MEASURED = {
    "c1ccccc1": 123.0,
    "c1ccc2ccccc2c1": 180.2,
    "NC(N)=O": 74.6,
    "CC(=O)Nc1ccc(O)cc1": 194.0,
    "CC(=O)Oc1ccccc1C(=O)O": 212.7,
    "Clc1c(Cl)c(Cl)c(Cl)c(Cl)c1Cl": 231.0,
}


@pytest.mark.parametrize("smiles", MEASURED)
def test_within_a_tenth_of_the_measured_volume(smiles):
    assert packing_volume(Molecule.from_smiles(smiles)) == pytest.approx(MEASURED[smiles], rel=0.1)


def test_no_bias_over_these():
    ratios = [volume / packing_volume(Molecule.from_smiles(smiles)) for smiles, volume in MEASURED.items()]
    assert abs(np.mean(ratios) - 1) < 0.04


def test_hydrogens_count():
    methane_less = packing_volume(Molecule.from_smiles("CC")) - packing_volume(Molecule.from_smiles("C#C"))
    assert methane_less == pytest.approx(4 * 5.08)
