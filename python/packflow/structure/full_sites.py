"""From the atoms of a unit cell, hydrogens included, to a structure in the atom order of its molecule."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from packflow.errors import StructureError
from packflow.structure.bonds import TOLERANCE, PeriodicBonds, close_pairs, find_bonds, radii_of
from packflow.structure.full import FullStructure, full_mol
from packflow.structure.recognize import assign, perceive_smiles
from packflow.structure.sites import Sites


def full_structure(sites: Sites, smiles: str | None = None) -> FullStructure:
    """The crystal of one kind of molecule that the sites hold, with its hydrogens where they are listed.

    Heavy atoms are matched as by `recognize`; each hydrogen belongs to the heavy atom that it fits best. Molecules are whole, their mean
    atom in the cell; the cell has c along z.

    Args:
        sites: Contents of a unit cell.
        smiles: Of the molecule; else that of the sites; else it is perceived from the hydrogens and distances.

    Raises:
        StructureError: as `recognize`, and if an atom has not as many hydrogens as in the molecule.
    """
    near = find_bonds(sites.atomic_numbers, sites.fractional, sites.cell)
    if sites.bonds is not None:
        with suppress(StructureError):
            return _bonded_structure(sites, sites.bonds, smiles or sites.smiles)
    return _bonded_structure(sites, near, smiles or sites.smiles)


def _bonded_structure(sites: Sites, bonds: PeriodicBonds, smiles: str | None) -> FullStructure:
    """As `full_structure`, with the given bonds of all sites."""
    smiles = smiles or perceive_smiles(sites, bonds)
    template, order, whole = assign(sites, bonds, smiles)
    heavy_order = order.reshape(template.n_copies, -1)
    hydrogens = hydrogens_of(sites)
    wanted = [[n.GetIdx() for n in atom.GetNeighbors() if n.GetAtomicNum() == 1] for atom in full_mol(smiles).GetAtoms()]
    fractional = np.empty((template.n_copies, len(wanted), 3))
    for copy, heavy in enumerate(heavy_order.tolist()):
        for atom, site in enumerate(heavy):
            found = hydrogens.get(site, [])
            if len(found) != len(wanted[atom]):
                raise StructureError("hydrogens", _mismatch(sites, smiles, site, atom, len(found), len(wanted[atom])))
            fractional[copy, atom] = whole[site]
            for place, (hydrogen, shift) in zip(wanted[atom], found, strict=True):
                fractional[copy, place] = whole[site] + sites.fractional[hydrogen] + shift - sites.fractional[site]
    fractional -= np.floor(fractional.mean(1, keepdims=True))
    return FullStructure(template, fractional.reshape(-1, 3) @ sites.cell, sites.cell)


def _mismatch(sites: Sites, smiles: str, site: int, atom: int, n_found: int, n_wanted: int) -> str:
    if sites.heavy.all():
        return f"none are listed, {smiles} has some"
    symbol = full_mol(smiles).GetAtomWithIdx(atom).GetSymbol()
    return f"site {site} ({symbol}) has {n_found}, atom {atom} of {smiles} has {n_wanted}"


def hydrogens_of(sites: Sites) -> dict[int, list[tuple[int, np.ndarray]]]:
    """Hydrogens of each heavy atom that has any, in the order of the sites, each at the atom that it fits best.

    Returns:
        Sites of hydrogens, and the cell shift that puts each beside its atom.
    """
    found: dict[int, list[tuple[int, np.ndarray]]] = {}
    if sites.heavy.all():
        return found
    pairs, distance = close_pairs(sites.atomic_numbers, sites.fractional, sites.cell)
    hydrogen, other = np.concatenate([pairs.index, pairs.index[:, ::-1]]).T
    # shifts of the heavy atom seen from the hydrogen; the other way round for its return
    shift = np.concatenate([pairs.shift, -pairs.shift])
    radii = radii_of(sites.atomic_numbers)
    excess = np.tile(distance, 2) - radii[hydrogen] - radii[other]
    bound = ~sites.heavy[hydrogen] & sites.heavy[other] & (excess < TOLERANCE)
    hydrogen, other, shift, excess = hydrogen[bound], other[bound], shift[bound], excess[bound]
    best_first = np.lexsort((excess, hydrogen))
    _, first = np.unique(hydrogen[best_first], return_index=True)
    for k in best_first[first].tolist():
        found.setdefault(int(other[k]), []).append((int(hydrogen[k]), -shift[k]))
    return found
