"""From the atoms of a unit cell to a crystal: which molecules they are, in the molecule's own atom order."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDetermineBonds
from rdkit.rdBase import BlockLogs

from packflow.errors import InputError, StructureError
from packflow.structure.bonds import PeriodicBonds, find_bonds, whole_molecules
from packflow.structure.crystal import Crystal
from packflow.structure.match import Fragment, element_graph, match, molecule_graphs
from packflow.structure.sites import Sites
from packflow.structure.template import Template


def fragments_of(sites: Sites, bonds: PeriodicBonds, keep: np.ndarray) -> tuple[list[Fragment], np.ndarray]:
    """The molecules made of the sites in `keep` [n_sites], and the cell shifts [n_sites, 3] that make them whole."""
    inside = keep[bonds.index].all(1)
    kept_bonds = PeriodicBonds(bonds.index[inside], bonds.shift[inside])
    molecules, offset = whole_molecules(len(sites.atomic_numbers), kept_bonds)
    positions = (sites.fractional + offset) @ sites.cell
    partners: dict[int, list[int]] = {}
    for i, j in kept_bonds.index.tolist():
        partners.setdefault(i, []).append(j)
    hydrogens = None if sites.heavy.all() else hydrogen_counts(sites, bonds)
    found = []
    for atoms in molecules:
        if keep[atoms[0]]:
            ordered = sorted(atoms)
            place = {atom: k for k, atom in enumerate(ordered)}
            pairs = [(place[i], place[j]) for i in ordered for j in partners.get(i, [])]
            found.append(Fragment(ordered, pairs, positions[ordered], None if hydrogens is None else hydrogens[ordered]))
    return found, offset


def hydrogen_counts(sites: Sites, bonds: PeriodicBonds) -> np.ndarray:
    """Number of hydrogens bonded to each site. [n_sites]"""
    ends = np.concatenate([bonds.index, bonds.index[:, ::-1]])
    to_hydrogen = ends[~sites.heavy[ends[:, 1]], 0]
    return np.bincount(to_hydrogen, minlength=len(sites.atomic_numbers))


def recognize(sites: Sites, smiles: str | None = None) -> Crystal:
    """The crystal of one kind of molecule that the sites hold.

    Bonds that the source states are taken if they make such a crystal; else bonds are found from distances.

    Args:
        sites: Contents of a unit cell.
        smiles: Of the molecule; else that of the sites; else it is perceived from the hydrogens and distances.

    Raises:
        StructureError: molecules of several kinds, infinite networks, or connectivity that differs from the SMILES'.
    """
    near = find_bonds(sites.atomic_numbers, sites.fractional, sites.cell)
    if sites.bonds is not None:
        with suppress(StructureError):
            return bonded_crystal(sites, sites.bonds, smiles or sites.smiles)
    return bonded_crystal(sites, near, smiles or sites.smiles)


def bonded_crystal(sites: Sites, bonds: PeriodicBonds, smiles: str | None) -> Crystal:
    """As `recognize`, with the given bonds of all sites."""
    template, order, fractional = assign(sites, bonds, smiles or perceive_smiles(sites, bonds))
    whole = fractional[order].reshape(template.n_copies, -1, 3)
    wrapped = (whole - np.floor(whole)).reshape(-1, 3)
    return Crystal.from_fractional(template, wrapped, sites.lattice)


def assign(sites: Sites, bonds: PeriodicBonds, smiles: str) -> tuple[Template, np.ndarray, np.ndarray]:
    """Which site is which atom of the template that `smiles` makes of the sites.

    Args:
        sites: Contents of a unit cell.
        bonds: Of all sites, from `find_bonds`.
        smiles: Of the molecule.

    Returns:
        The template, the site of each of its atoms [n_atoms], and fractional coordinates of all sites with molecules whole
        [n_sites, 3].

    Raises:
        StructureError: as `recognize`.
    """
    fragments, offset = fragments_of(sites, bonds, sites.heavy)
    try:
        molecule, *_ = molecule_graphs(smiles)
    except InputError as error:
        raise StructureError("unusable SMILES", str(error)) from error
    order = np.array([atom for fragment in fragments for atom in match(fragment, sites.atomic_numbers, smiles)])
    return Template(molecule, len(fragments)), order, sites.fractional + offset


def perceive_smiles(sites: Sites, bonds: PeriodicBonds) -> str:
    """SMILES of the molecule from its hydrogens and connectivity, by RDKit.

    Raises:
        StructureError: no hydrogens are listed, or no neutral or zwitterionic bond orders fit.
    """
    if sites.heavy.all():
        raise StructureError("no SMILES", "none is given and without hydrogens it cannot be perceived")
    fragments, _ = fragments_of(sites, bonds, np.ones(len(sites.atomic_numbers), dtype=bool))
    fragment = max(fragments, key=lambda f: len(f.atoms))
    mol = element_graph(sites.atomic_numbers[fragment.atoms], fragment.bonds)
    conformer = Chem.Conformer(len(fragment.atoms))
    conformer.SetPositions(np.ascontiguousarray(fragment.positions))
    mol.AddConformer(conformer)
    candidates = [found for order in atom_orders(mol) if (found := with_bond_orders(Chem.RenumberAtoms(mol, order))) is not None]
    if not candidates:
        raise StructureError("no SMILES", "none is given and RDKit finds no bond orders that fit the hydrogens")
    best = min(candidates, key=lambda m: sum(abs(a.GetFormalCharge()) for a in m.GetAtoms()))
    return Chem.MolToSmiles(Chem.RemoveHs(best))


def atom_orders(mol: Chem.Mol) -> list[list[int]]:
    """Orders of the atoms to try: RDKit's search for bond orders depends on it and can miss nitro groups."""
    given = list(range(mol.GetNumAtoms()))
    heavy_first = sorted(given, key=lambda i: -mol.GetAtomWithIdx(i).GetAtomicNum())
    return [given, given[::-1], heavy_first, heavy_first[::-1]]


def with_bond_orders(mol: Chem.Mol) -> Chem.Mol | None:
    """The neutral molecule with bond orders that fit its hydrogens, or None."""
    with BlockLogs():
        try:
            rdDetermineBonds.DetermineBondOrders(mol, charge=0, maxIterations=2000, embedChiral=False)
        except (ValueError, RuntimeError):
            return None
        return mol
