"""RDKit's own MMFF94s energies, term by term, from the parameters looked up in it."""

import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

from packflow.ops import bonded, nonbonded, reference_bonded
from packflow.potential.mmff_pack import Scales, pack
from packflow.potential.mmff_parameters import KCAL_PER_MOL, UntypedError, mmff_parameters, mmff_terms
from packflow.structure.full import full_mol

MOLECULES = [
    "CC(=O)Oc1ccccc1C(=O)O",
    "NC(N)=O",
    "C#CCO",
    "CC#N",
    "C=C=C",
    "CN=[N+]=[N-]",
    "c1cc[nH]c1",
    "CS(N)(=O)=O",
    "CS(C)=O",
    "O=[N+]([O-])c1ccc(Br)cc1",
    "C1CC1",
    "C1CCC1",
    "C12C3C4C1C5C2C3C45",
    "CP(=O)(O)O",
    "C[Si](C)(C)C",
    "Ic1ccccc1",
    "FC(F)(F)c1ncc[nH]1",
    "[NH3+]CC(=O)[O-]",
    "c1ccsc1",
    "N#Cc1ccccc1C#C",
    "CN(C)c1ccc2cccnc2c1",
    "OC1OC(CO)C(O)C(O)C1O",
    "C[n+]1ccccc1",
    "c1nnn[n-]1",
    "CC(C)=NO",
    "C1=CC=CC=CC=C1",
    "N",
    "O",
    "C1N2CN3CN1CN(C2)C3",
    "CSSC",
    "O=S(=O)(c1ccccc1)N=C",
    "C1OC1",
    "N#CN",
]
BONDED = {"Bond", "Angle", "StretchBend", "Oop", "Torsion"}
TERMS = BONDED | {"VdW", "Ele"}
ENOUGH = 1e-3  # kcal/mol


def perturbed(smiles, seed=0):
    """A conformer with every atom moved by about 0.1 Å."""
    mol = Chem.Mol(full_mol(smiles))
    assert rdDistGeom.EmbedMolecule(mol, randomSeed=7) == 0
    positions = mol.GetConformer().GetPositions() + np.random.default_rng(seed).normal(scale=0.1, size=(mol.GetNumAtoms(), 3))
    mol.GetConformer().SetPositions(positions)
    return mol, torch.from_numpy(positions)


def by_rdkit(mol, terms):
    """MMFF94s energy of some terms, kcal/mol."""
    properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(mol, mmffVariant="MMFF94s")
    for term in TERMS:
        getattr(properties, f"SetMMFF{term}Term")(term in terms)
    field = rdForceFieldHelpers.MMFFGetMoleculeForceField(mol, properties, nonBondedThresh=1e4, ignoreInterfragInteractions=False)
    return field.CalcEnergy()


@pytest.mark.parametrize("smiles", MOLECULES)
def test_energies_are_those_of_rdkit(smiles):
    mol, positions = perturbed(smiles)
    p = pack([mmff_parameters(smiles)], [1], [Scales(0.9, 2.0)], cutoff=10.0)
    for compute in (bonded, reference_bonded.bonded):
        within = compute(positions, p.terms, p.atom_ptr)
        assert float(within.energy) / KCAL_PER_MOL == pytest.approx(by_rdkit(mol, BONDED), abs=ENOUGH)
    arguments = p.charges, p.types, p.radius, p.epsilon, p.molecule, p.special_ptr, p.special_index, p.special_scale
    between = nonbonded(positions, torch.zeros(1, 3, 3, dtype=torch.float64), p.atom_ptr, torch.zeros(1, dtype=torch.bool), *arguments)
    assert float(between.van_der_waals) / KCAL_PER_MOL == pytest.approx(by_rdkit(mol, {"VdW"}), abs=ENOUGH)
    assert float(between.coulomb) / KCAL_PER_MOL == pytest.approx(by_rdkit(mol, {"Ele"}), abs=ENOUGH)


@pytest.mark.parametrize(
    ("term", "kinds"), [("Bond", {0}), ("Angle", {1, 2}), ("StretchBend", {3}), ("Oop", {4}), ("Torsion", {5})], ids=lambda x: str(x)
)
def test_each_kind_is_that_of_rdkit(term, kinds):
    """Errors of different terms cannot cancel. Acetonitrile has linear angles, nitrobenzene planes."""
    seen = 0.0
    for smiles in ("CC#N", "O=[N+]([O-])c1ccc(Br)cc1", "OCC(N)=O"):
        mol, positions = perturbed(smiles, seed=1)
        terms = mmff_parameters(smiles).terms
        rows = torch.tensor([k in kinds for k in terms.kind.tolist()])
        only = type(terms)(
            terms.kind[rows], terms.atoms[rows], terms.parameters[rows], torch.tensor([0, int(rows.sum())], dtype=torch.int32)
        )
        found = bonded(positions, only, torch.tensor([0, len(positions)], dtype=torch.int32))
        expected = by_rdkit(mol, {term})
        assert float(found.energy) / KCAL_PER_MOL == pytest.approx(expected, abs=ENOUGH)
        seen += abs(expected)
    assert seen > 0.1


def test_copies_share_one_look_up():
    assert mmff_parameters("NC(N)=O") is mmff_parameters("NC(N)=O")


@pytest.mark.parametrize(
    ("smiles", "message"), [("OB(O)c1ccccc1", "no atom types"), ("C[Se]C", "no atom types"), ("O=C=O", "charges add up to -1")]
)
def test_untyped_molecules(smiles, message):
    with pytest.raises(UntypedError, match=message):
        mmff_parameters(smiles)


def test_a_missing_parameter_is_no_crash():
    class Silent:
        """Knows bonds but no angles."""

        def GetMMFFBondStretchParams(self, mol, i, j):
            return 0, 5.0, 1.5

        def GetMMFFAngleBendParams(self, mol, i, j, k):
            return None

    with pytest.raises(UntypedError, match=r"no parameters for the angle of atoms \d+, 0 and \d+"):
        list(mmff_terms(Chem.Mol(full_mol("CC")), Silent()))
