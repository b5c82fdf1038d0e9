"""`nonbonded` of molecules in vacuum against RDKit's MMFF94s: energy of each term, and forces."""

import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import rdDistGeom
from rdkit.Chem.rdForceFieldHelpers import MMFFGetMoleculeForceField, MMFFGetMoleculeProperties

from packflow.ops import nonbonded

KCAL_PER_MOL = 4.184 / 96.4853  # eV
TERMS = ("Bond", "Angle", "StretchBend", "Oop", "Torsion", "VdW", "Ele")
SMILES = {
    "aspirin": "CC(=O)Oc1ccccc1C(=O)O",
    "urea": "NC(N)=O",
    "glycine zwitterion": "[NH3+]CC(=O)[O-]",
    "biphenyl with halogens": "Clc1ccc(cc1)-c1ccc(F)cc1Br",
    "sulfonamide": "CS(=O)(=O)Nc1ccccn1",
}


@pytest.fixture(params=SMILES.values(), ids=SMILES.keys())
def molecule(request):
    molecule = Chem.AddHs(Chem.MolFromSmiles(request.param))
    rdDistGeom.EmbedMolecule(molecule, randomSeed=7)
    return molecule


def of_rdkit(molecule, term):
    """Energy in eV and forces in eV/Å of one term alone."""
    properties = MMFFGetMoleculeProperties(molecule, "MMFF94s")
    for name in TERMS:
        getattr(properties, f"SetMMFF{name}Term")(name == term)
    field = MMFFGetMoleculeForceField(molecule, properties)
    return field.CalcEnergy() * KCAL_PER_MOL, -torch.tensor(field.CalcGrad(), dtype=torch.float64).reshape(-1, 3) * KCAL_PER_MOL


def arguments_of(molecule):
    """Every atom is a type of its own."""
    properties, n = MMFFGetMoleculeProperties(molecule, "MMFF94s"), molecule.GetNumAtoms()
    pairs = np.array([[properties.GetMMFFVdWParams(i, j)[2:] for j in range(n)] for i in range(n)])
    radius, epsilon = torch.from_numpy(pairs[..., 0].copy()), torch.from_numpy(pairs[..., 1] * KCAL_PER_MOL)
    bonds = torch.from_numpy(Chem.GetDistanceMatrix(molecule))
    source, index = ((bonds > 0) & (bonds < 4)).nonzero().T
    scale = torch.where((bonds[source, index] == 3)[:, None], torch.tensor([1.0, 0.75]), torch.zeros(2)).double()
    return {
        "positions": torch.from_numpy(molecule.GetConformer().GetPositions()),
        "cell": torch.zeros(1, 3, 3, dtype=torch.float64),
        "atom_ptr": torch.tensor([0, n], dtype=torch.int32),
        "periodic": torch.tensor([False]),
        "charges": torch.tensor([properties.GetMMFFPartialCharge(i) for i in range(n)], dtype=torch.float64),
        "types": torch.arange(n, dtype=torch.int32),
        "radius": torch.stack([radius, radius]),
        "epsilon": torch.stack([epsilon, epsilon]),
        "molecule": torch.zeros(n, dtype=torch.int32),
        "special_ptr": torch.cat([torch.zeros(1), torch.bincount(source, minlength=n).cumsum(0)]).int(),
        "special_index": index.int(),
        "special_scale": scale,
    }


def test_vacuum(molecule):
    got = nonbonded(**arguments_of(molecule))
    van_der_waals, forces = of_rdkit(molecule, "VdW")
    coulomb, more = of_rdkit(molecule, "Ele")
    assert float(got.van_der_waals[0]) == pytest.approx(van_der_waals, rel=1e-6)
    assert float(got.coulomb[0]) == pytest.approx(coulomb, rel=1e-6)
    torch.testing.assert_close(got.forces, forces + more, rtol=1e-5, atol=1e-6)


def test_a_large_cell_is_nearly_vacuum(molecule):
    """In 60 Å the nearest images are dipoles: what is left of Coulomb falls with the volume, as does the tail."""
    arguments = arguments_of(molecule)
    alone = nonbonded(**arguments)
    cell = 60 * torch.eye(3, dtype=torch.float64)[None]
    boxed = nonbonded(**arguments | {"cell": cell, "periodic": torch.tensor([True])}, cutoff=20.0)
    dipole2 = float((arguments["charges"] @ arguments["positions"]).pow(2).sum())
    # Energy of a dipole in its own lattice, conducting surroundings: -2 pi / 3 dipole2 / volume.
    expected = float(alone.coulomb[0]) - 2 * torch.pi / 3 * 14.4 * dipole2 / 60**3
    assert float(boxed.coulomb[0]) == pytest.approx(expected, abs=3e-4)
    torch.testing.assert_close(boxed.van_der_waals, alone.van_der_waals, rtol=0, atol=2e-4)
