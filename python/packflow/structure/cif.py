"""CIF files, ASE atoms and pymatgen structures <-> Sites and Crystal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import gemmi
import numpy as np
from scipy.spatial import cKDTree

from packflow.elements import SYMBOLS
from packflow.errors import InputError, StructureError
from packflow.structure.crystal import Crystal
from packflow.structure.mmcif import GROUP_TAGS, OPERATION_TAGS, core_block, is_mmcif
from packflow.structure.molecule import one_molecule
from packflow.structure.p1_cif import p1_block
from packflow.structure.sites import Sites
from packflow.structure.stated_bonds import with_stated_bonds

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

NUMBER_TAGS = tuple(
    [f"_cell_length_{k}" for k in "abc"]
    + [f"_cell_angle_{k}" for k in ("alpha", "beta", "gamma")]
    + [f"_atom_site_fract_{k}" for k in "xyz"]
    + ["_atom_site_occupancy"]
)
SYMMETRY_TAGS = (*OPERATION_TAGS, *GROUP_TAGS)
SMILES_TAGS = ("_chemical_identifier_smiles", "_iucr_chemical_identifier_smiles", "_chemical_compound_smiles")
FULL_OCCUPANCY = 0.999
# Å; listed atoms that symmetry maps onto each other
COINCIDENT = 0.05


def blocks_of(text: str) -> list[gemmi.cif.Block]:
    """The data blocks of a CIF or mmCIF that list atoms, all with the names of core CIF.

    Raises:
        StructureError: the text is not CIF, or no block lists atoms.
    """
    try:
        document = gemmi.cif.read_string(text)
    except (ValueError, RuntimeError) as error:
        raise StructureError("not readable as CIF", " ".join(str(error).split())) from error
    blocks = [core_block(block) if is_mmcif(block) else block for block in document]
    blocks = [block for block in blocks if block.find_values("_atom_site_fract_x")]
    if not blocks:
        raise StructureError("no atoms", "no data block lists fractional coordinates")
    return blocks


def sites_of(block: gemmi.cif.Block, name: str) -> Sites:
    """All atoms of a CIF block's unit cell: symmetry expanded, atoms on special positions once, with bonds where they are stated.

    Raises:
        StructureError: disorder, no symmetry, coordinates or cell missing, unsupported elements.
    """
    return with_stated_bonds(without_coincident(expanded_sites(block, name)), block)


def expanded_sites(block: gemmi.cif.Block, name: str) -> Sites:
    """As `sites_of`, but with every atom that the file lists, also where two are at one place."""
    for tag in NUMBER_TAGS:
        column = block.find_values(tag)
        for row in range(len(column)):
            column[row] = column.str(row) or "?"
    if not any(block.find_values(tag) for tag in SYMMETRY_TAGS):
        raise StructureError("no symmetry", "neither operations nor a space group are stated")
    try:
        structure = gemmi.make_small_structure_from_block(block)
    except RuntimeError as error:
        raise StructureError("no valid cell", " ".join(str(error).split())) from error
    if structure.symops:
        try:
            n_operations = len({gemmi.Op(op).wrap().triplet() for op in structure.symops})
        except RuntimeError as error:
            raise StructureError("invalid symmetry", f"an operation cannot be read: {error}") from error
        if len(structure.cell.images) + 1 != n_operations:
            raise StructureError("invalid symmetry", f"the {n_operations} stated operations do not form a group")
    elif structure.spacegroup is None:
        raise StructureError("no symmetry", f"space group {structure.spacegroup_hm!r} is not known and no operations are stated")
    if any(site.occ < FULL_OCCUPANCY or site.disorder_group for site in structure.sites):
        raise StructureError("disorder", "some atoms are not fully occupied")
    atoms = structure.get_all_unit_cell_sites()
    cell = structure.cell
    smiles = next((column.str(0) for tag in SMILES_TAGS if (column := block.find_values(tag))), None)
    return Sites(
        name=name,
        atomic_numbers=np.array([a.element.atomic_number for a in atoms], dtype=np.int64),
        fractional=np.array([a.fract.tolist() for a in atoms], dtype=np.float64).reshape(-1, 3),
        lattice=np.array([cell.a, cell.b, cell.c, cell.alpha, cell.beta, cell.gamma]),
        smiles=one_molecule(smiles) if smiles else None,
    )


def without_coincident(sites: Sites) -> Sites:
    """Drop repeats of the same atom, as in a file that lists a whole molecule which symmetry completes once more."""
    lengths = sites.lattice[:3]
    # twice, because the first remainder of a tiny negative number rounds to 1
    wrapped = sites.fractional % 1.0 % 1.0
    pairs = cKDTree(wrapped * lengths, boxsize=lengths).query_pairs(COINCIDENT, p=np.inf, output_type="ndarray")
    same = sites.atomic_numbers[pairs[:, 0]] == sites.atomic_numbers[pairs[:, 1]]
    keep = np.ones(len(sites.atomic_numbers), dtype=bool)
    keep[pairs[same].max(1)] = False
    return sites if keep.all() else Sites(sites.name, sites.atomic_numbers[keep], sites.fractional[keep], sites.lattice, sites.smiles)


def read_cif(path: str | Path) -> list[Sites]:
    """All structures of a CIF or mmCIF file, one per data block that lists atoms.

    Raises:
        InputError: the file does not exist, or as `sites_of`.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} is not a file")
    blocks = blocks_of(path.read_text(errors="replace"))
    return [sites_of(block, path.name if len(blocks) == 1 else f"{path.name}#{block.name}") for block in blocks]


def cif_text(crystal: Crystal, name: str) -> str:
    """CIF of a crystal in P1 with cell, labelled atoms (molecules whole) and bonds.

    Args:
        crystal: Heavy atoms of one unit cell.
        name: Of the data block; characters that a block name cannot hold become "_".
    """
    numbers, bonds = crystal.template.atomic_numbers, crystal.template.bond_index[:, ::2]
    return p1_block(name, crystal.template, numbers, crystal.fractional, crystal.lattice, bonds).as_string()


def to_ase(crystal: Crystal) -> Atoms:
    """ASE atoms of the heavy atoms, in the crystal's own frame."""
    from ase import Atoms

    return Atoms(numbers=crystal.template.atomic_numbers, positions=crystal.positions, cell=crystal.cell, pbc=True)


def to_pymatgen(crystal: Crystal) -> Structure:
    """Structure of pymatgen with the heavy atoms, in the crystal's own frame."""
    from pymatgen.core import Structure

    species = [SYMBOLS[z] for z in crystal.template.atomic_numbers.tolist()]
    return Structure(crystal.cell, species, crystal.positions, coords_are_cartesian=True)


def from_ase(atoms: Atoms, name: str = "ase", smiles: str | None = None) -> Sites:
    """Sites of periodic ASE atoms, in any frame."""
    if not atoms.pbc.all():
        raise InputError(f"atoms must be periodic in three directions, got pbc {atoms.pbc.tolist()}")
    return Sites(name, atoms.numbers.astype(np.int64), atoms.get_scaled_positions(wrap=False), np.asarray(atoms.cell.cellpar()), smiles)


def from_pymatgen(structure: Structure, name: str = "pymatgen", smiles: str | None = None) -> Sites:
    """Sites of an ordered pymatgen structure, in any frame."""
    if not structure.is_ordered:
        raise StructureError("disorder", "some sites of the pymatgen structure are not fully occupied")
    numbers = np.array(structure.atomic_numbers, dtype=np.int64)
    return Sites(name, numbers, np.asarray(structure.frac_coords), np.asarray(structure.lattice.parameters), smiles)
