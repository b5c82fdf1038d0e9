"""Molecules that MMFF94 does not cover: their shape is that of RDKit's UFF, and what neither covers says so."""

import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers, rdMolAlign
from scipy.optimize import minimize

from packflow import Molecule, Template
from packflow.potential import Mmff
from packflow.potential.charges import charges_at, equilibrated_charges
from packflow.potential.mmff_fallback import fallback_parameters
from packflow.potential.mmff_parameters import UntypedError, mmff_parameters
from packflow.structure.full import FullBatch, FullStructure, full_mol

# Boron, selenium (also in aromatic rings), arsenic(III) and (V), tricoordinate selenium, and molecules that MMFF94 covers too.
RIGID = ["OB(O)c1ccccc1", "C[Se]c1ccccc1", "C[As](C)c1ccccc1", "O=[Se](O)c1ccccc1", "NC(N)=O", "CC#N", "Cc1ccccc1", "C=CC"]
UNKNOWN_TO_UFF = ["c1cc[se]c1", "c1ccc2n[se]nc2c1"]


def optimized(smiles):
    """A conformer at a minimum of RDKit's UFF."""
    mol = Chem.Mol(full_mol(smiles))
    assert rdDistGeom.EmbedMolecule(mol, randomSeed=1) == 0
    assert rdForceFieldHelpers.UFFOptimizeMolecule(mol, maxIters=5000) == 0
    return mol


def relaxed(smiles, positions):
    """Positions at a minimum of the fallback without charges, which UFF has none of either."""
    template = Template(Molecule.from_smiles(smiles), 1)
    prepared = Mmff(parameters=without_charges).prepare(FullBatch.pack([FullStructure(template, positions, None)]))
    assert prepared.problems == [""]

    def energy_and_gradient(x):
        found = prepared.evaluate(torch.from_numpy(x.reshape(-1, 3)), torch.zeros(1, 3, 3, dtype=torch.float64))
        return float(found.energy[0]), -found.forces.numpy().ravel()

    done = minimize(energy_and_gradient, positions.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 500})
    return done.x.reshape(-1, 3)


def without_charges(smiles):
    parameters = fallback_parameters(smiles)
    return type(parameters)(**{**vars(parameters), "charges": np.zeros(len(parameters.charges))})


@pytest.mark.parametrize("smiles", RIGID)
def test_shape_is_that_of_uff(smiles):
    """Bonds to 0.01 Å, all atoms to 0.05 Å: the forms differ away from the minimum, where UFF's terms pull against each other."""
    mol = optimized(smiles)
    positions = mol.GetConformer().GetPositions()
    moved = relaxed(smiles, positions)
    i, j = np.array([(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in mol.GetBonds()]).T
    lengths = [np.linalg.norm(x[i] - x[j], axis=1) for x in (positions, moved)]
    np.testing.assert_allclose(*lengths, atol=0.01)
    other = Chem.Mol(mol)
    other.GetConformer().SetPositions(moved)
    assert rdMolAlign.AlignMol(other, mol) < 0.05


@pytest.mark.parametrize("smiles", UNKNOWN_TO_UFF)
def test_selenium_in_aromatic_rings_stays_flat(smiles):
    mol = Chem.Mol(full_mol(smiles))
    assert rdDistGeom.EmbedMolecule(mol, randomSeed=1) == 0
    moved = relaxed(smiles, mol.GetConformer().GetPositions())
    assert np.linalg.svd(moved - moved.mean(0))[1][2] < 1e-2
    se = next(a for a in mol.GetAtoms() if a.GetSymbol() == "Se")
    for neighbor in se.GetNeighbors():
        assert 1.75 < np.linalg.norm(moved[se.GetIdx()] - moved[neighbor.GetIdx()]) < 2.0
    u, v = (moved[n.GetIdx()] - moved[se.GetIdx()] for n in se.GetNeighbors())
    assert 80 < np.degrees(np.arccos(u @ v / np.linalg.norm(u) / np.linalg.norm(v))) < 100


def test_iodine_with_three_neighbors_stays_a_t():
    """Angles of 90 and of 180 degrees are both minima, so that the shape is that of the structure that is relaxed."""
    smiles = "Cl[I](Cl)c1ccccc1"
    mol = Chem.Mol(full_mol(smiles))
    assert rdDistGeom.EmbedMolecule(mol, randomSeed=1) == 0
    positions = mol.GetConformer().GetPositions()
    across = np.cross(positions[3] - positions[1], [0.3, 0.5, 0.8])
    across *= 2.3 / np.linalg.norm(across)
    positions[0], positions[2] = positions[1] + across, positions[1] - across
    moved = relaxed(smiles, positions)
    arms = [moved[k] - moved[1] for k in (0, 2, 3)]
    cosines = sorted(u @ v / np.linalg.norm(u) / np.linalg.norm(v) for u, v in ((arms[0], arms[1]), (arms[0], arms[2]), (arms[1], arms[2])))
    assert cosines[0] < -0.9
    assert max(map(abs, cosines[1:])) < 0.2


@pytest.mark.parametrize("smiles", ["FS(F)(F)(F)(F)c1ccccc1", "FP(F)(F)(F)F"])
def test_what_neither_covers(smiles):
    with pytest.raises(UntypedError, match=r"neither MMFF94 nor the fallback covers [SP] with [56] neighbors"):
        fallback_parameters(smiles)


def test_equilibrated_charges():
    """Signs and sums; equivalent atoms alike; the same each time; in line with MMFF94's where it has any."""
    for smiles, total in (("OB(O)c1ccccc1", 0), ("F[B-](F)(F)F", -1), ("C[Se]C", 0), ("O=[As](O)(O)c1ccccc1", 0)):
        charges = equilibrated_charges(full_mol(smiles))
        assert charges.sum() == pytest.approx(total, abs=1e-9)
        assert np.array_equal(charges, equilibrated_charges(full_mol(smiles)))
    oxygen, boron, other, *_ = equilibrated_charges(full_mol("OB(O)c1ccccc1"))
    assert boron > 0 > oxygen == other
    ours, theirs = (np.concatenate([of(s) for s in ("NC(N)=O", "CC(=O)O", "Oc1ccccc1", "CF")]) for of in (fallback_charges, mmff_charges))
    assert np.corrcoef(ours, theirs)[0, 1] > 0.85


def fallback_charges(smiles):
    return fallback_parameters(smiles).charges


def mmff_charges(smiles):
    return mmff_parameters(smiles).charges


def test_charges_of_two_atoms_far_apart():
    """Far apart only electronegativity and hardness count: charge flows until X + J q is one number, against the Coulomb attraction."""
    charges = charges_at(["H", "F"], np.array([[0.0, 0, 0], [1e4, 0, 0]]), 0.0)
    assert charges[1] == pytest.approx((4.528 - 10.874) / (2 * 6.9452 + 2 * 7.474), rel=1e-3)
