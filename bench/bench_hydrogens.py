"""`add_hydrogens` against the plain way: RDKit's AddHs on each copy of a molecule alone, one thread.

Three comparisons. Placing alone, with the same positions. Then all of `add_hydrogens` but turning, which besides packs
cells, refuses broken ones and looks for clashes, against the same plain loop, which does none of that. Then with turning against
without, which says what turning costs (a ratio below 1). The packings are boxes of 18 Å3 per heavy atom with one molecule, turned at
random, in each: what turning costs depends on how many atoms a hydrogen has around it.
"""

from __future__ import annotations

import numpy as np
import torch
from cases import VOLUME_PER_ATOM
from harness import compare, smallest
from rdkit import Chem
from rdkit.Chem import AllChem

from packflow import Crystal, Molecule, Template
from packflow.relax.hydrogens import Hydrogenated, add_hydrogens
from packflow.relax.hydrogens_placement import place_hydrogens
from packflow.structure.full import full_mol
from packflow.structure.molecule import heavy_atom_mol

# rigid, flexible, with few rotors and with many: aspirin, paracetamol, pentaerythritol, serine, naphthalene, sucrose
SMILES = (
    "CC(=O)Oc1ccccc1C(=O)O",
    "CC(=O)Nc1ccc(O)cc1",
    "OCC(CO)(CO)CO",
    "[NH3+][C@@H](CO)C(=O)[O-]",
    "c1ccc2ccccc2c1",
    "OC[C@H]1O[C@@](CO)(O[C@H]2O[C@H](CO)[C@@H](O)[C@H](O)[C@H]2O)[C@@H](O)[C@@H]1O",
)
COPIES = (2, 4, 8)
# Å; ours hands RDKit coordinates of nine digits
TOLERANCE = 1e-8


def embedded(smiles: str) -> np.ndarray:
    """Heavy atoms of a conformer, centred. [n_heavy, 3]"""
    mol = Chem.Mol(full_mol(smiles))
    AllChem.EmbedMolecule(mol, randomSeed=1)
    x = mol.GetConformer().GetPositions()[: heavy_atom_mol(smiles).GetNumAtoms()]
    return x - x.mean(0)


def packing(smiles: str, n_copies: int, rng: np.random.Generator) -> Crystal:
    """One molecule in each of a row of boxes."""
    template = Template(Molecule.from_smiles(smiles), n_copies)
    x = embedded(smiles)
    side = (VOLUME_PER_ATOM * len(x)) ** (1 / 3)
    copies = []
    for k in range(n_copies):
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        turn *= np.sign(np.linalg.det(turn))
        copies.append(x @ turn + side * np.array([k, 0, 0]))
    return Crystal(template, np.concatenate(copies), np.array([n_copies * side, side, side, 90, 90, 90]))


def copy_by_copy(crystals: list[Crystal]) -> list[np.ndarray]:
    """The molecule is read once; each of its copies goes through RDKit alone."""
    mols = {crystal.template.molecule.smiles: heavy_atom_mol(crystal.template.molecule.smiles) for crystal in crystals}
    results = []
    for crystal in crystals:
        mol = mols[crystal.template.molecule.smiles]
        copies = []
        for heavy in crystal.positions.reshape(crystal.template.n_copies, -1, 3):
            conformer = Chem.Conformer(len(heavy))
            conformer.Set3D(True)
            conformer.SetPositions(np.ascontiguousarray(heavy))
            mol.RemoveAllConformers()
            mol.AddConformer(conformer)
            copies.append(Chem.AddHs(mol, addCoords=True).GetConformer().GetPositions())
        results.append(np.concatenate(copies))
    return results


def together(crystals: list[Crystal]) -> list[np.ndarray]:
    """All copies of a molecule, of whatever crystal, in one call."""
    by_molecule: dict[str, list[Crystal]] = {}
    for crystal in crystals:
        by_molecule.setdefault(crystal.template.molecule.smiles, []).append(crystal)
    placed = {}
    for smiles, some in by_molecule.items():
        n_heavy = some[0].template.molecule.n_atoms
        copies = place_hydrogens(smiles, np.concatenate([c.positions.reshape(-1, n_heavy, 3) for c in some]))
        parts = np.split(copies, np.cumsum([c.template.n_copies for c in some])[:-1])
        placed.update({id(c): part.reshape(-1, 3) for c, part in zip(some, parts, strict=True)})
    return [placed[id(c)] for c in crystals]


def check_placed(ours: list[np.ndarray], theirs: list[np.ndarray]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        assert np.abs(one - other).max() < TOLERANCE


def check_same(ours: list[Hydrogenated], theirs: list[np.ndarray]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        assert one.structure is not None, one.problem
        assert np.abs(one.structure.positions - other).max() < TOLERANCE


def check_heavy(ours: list[Hydrogenated], theirs: list[Hydrogenated]) -> None:
    """Turning leaves the heavy atoms, and no more clashes than there were."""
    for one, other in zip(ours, theirs, strict=True):
        assert one.structure is not None, one.problem
        template = one.structure.template
        both = [r.structure.positions.reshape(template.n_copies, -1, 3)[:, : template.molecule.n_atoms] for r in (one, other)]
        assert np.array_equal(*both)
    assert sum(len(r.clash_distances) for r in ours) <= sum(len(r.clash_distances) for r in theirs)


def main() -> None:
    torch.set_num_threads(1)
    quick = smallest()
    rng = np.random.default_rng(0)
    crystals = [packing(s, n, rng) for s in SMILES for n in COPIES for _ in range(1 if quick else 12)]
    # random orientations can lay one atom on another; such a crystal is refused, which is the tests' business
    crystals = [crystal for crystal, result in zip(crystals, add_hydrogens(crystals, turn=False), strict=True) if not result.problem]
    n_copies = sum(crystal.template.n_copies for crystal in crystals)
    case = f"{len(crystals)} crystals, {n_copies} molecules"
    compare(
        "hydrogens",
        f"{case}, placed",
        "RDKit, each copy",
        lambda: together(crystals),
        lambda: copy_by_copy(crystals),
        check_placed,
        ("crystals", len(crystals)),
        packages=("rdkit",),
        quick=quick,
    )
    compare(
        "hydrogens",
        f"{case}, checked",
        "RDKit, each copy",
        lambda: add_hydrogens(crystals, turn=False),
        lambda: copy_by_copy(crystals),
        check_same,
        ("crystals", len(crystals)),
        packages=("rdkit",),
        quick=quick,
    )
    compare(
        "hydrogens",
        f"{case}, turned",
        "not turned",
        lambda: add_hydrogens(crystals),
        lambda: add_hydrogens(crystals, turn=False),
        check_heavy,
        ("crystals", len(crystals)),
        packages=("rdkit",),
        quick=quick,
    )


if __name__ == "__main__":
    main()
