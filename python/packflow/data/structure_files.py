"""CIF and extended-XYZ files -> entries of a set of structures, whatever is wrong with them."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import gemmi
import numpy as np
import torch

from packflow.data.structure_set import Entry, entry_of
from packflow.errors import InputError, StructureError
from packflow.structure import Template
from packflow.structure.cif import blocks_of, expanded_sites, without_coincident
from packflow.structure.lattice import lattice_from_cell
from packflow.structure.match import molecule_graphs
from packflow.structure.sites import Sites

if TYPE_CHECKING:
    from ase import Atoms

# what ASE raises for lines that are not extended XYZ
XYZ_ERRORS = (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError, StopIteration)
# keys of an extended-XYZ frame that say what it is rather than something about it
XYZ_KEYS = ("name", "smiles", "n_copies")


def cif_entries(text: str, title: str, smiles: str = "") -> list[Entry]:
    """Structures of a CIF, one per data block that lists atoms; an unreadable file is one entry with a problem.

    Args:
        text: Of the file.
        title: What a single structure is called; several are called title#block.
        smiles: Of the molecule; else what the file says.
    """
    try:
        blocks = blocks_of(text)
    except StructureError as error:
        return [Entry(title, smiles, str(error))]
    found = []
    for block in blocks:
        name = title if len(blocks) == 1 else f"{title}#{block.name}"
        try:
            found.append(block_entry(block, name, smiles))
        except StructureError as error:
            found.append(Entry(name, smiles, str(error)))
    return found


def block_entry(block: gemmi.cif.Block, name: str, smiles: str) -> Entry:
    """One structure; raises StructureError as `packflow.structure.cif.sites_of`."""
    n_listed = len(block.find_values("_atom_site_fract_x"))
    sites = expanded_sites(block, name)
    stated = stated_by_cif(block, sites) if len(sites.atomic_numbers) == n_listed else None
    # a file that lists all atoms means them: two at one place are then a clash and not a repeat by symmetry
    if len(sites.atomic_numbers) != n_listed:
        sites = without_coincident(sites)
    return entry_of(replace(sites, smiles=smiles or sites.smiles), stated)


def stated_by_cif(block: gemmi.cif.Block, sites: Sites) -> Template | None:
    """The template of a file written by `cif_text`: its SMILES and Z, if elements and the listed bonds are exactly those."""
    n_copies = block.find_value("_cell_formula_units_Z") or ""
    template = template_of(sites.smiles, gemmi.cif.as_string(n_copies), sites.atomic_numbers)
    if template is None:
        return None
    labels = {label: row for row, label in enumerate(block.find_values("_atom_site_label"))}
    rows = block.find("_geom_bond_atom_site_label_", ["1", "2"])
    bonds = {frozenset((labels.get(first, -1), labels.get(second, -1))) for first, second in rows}
    return template if bonds == {frozenset(pair) for pair in template.bond_index.T.tolist()} else None


def template_of(smiles: str | None, n_copies: object, atomic_numbers: np.ndarray) -> Template | None:
    """n_copies of the SMILES' molecule, if its heavy atoms are, in order, exactly those given. [n_sites]"""
    if not smiles or not str(n_copies).isdecimal() or not int(str(n_copies)):
        return None
    try:
        template = Template(molecule_graphs(smiles)[0], int(str(n_copies)))
    except InputError:
        return None
    heavy = atomic_numbers[atomic_numbers > 1]
    return template if len(heavy) == template.n_atoms and (heavy == template.atomic_numbers).all() else None


def xyz_entries(text: str, title: str, smiles: str = "") -> list[Entry]:
    """Structures of an extended-XYZ file, one per frame.

    A frame's `name` names it, else its place: title#index, or title alone if it is the only one. `smiles` states the molecule;
    with `n_copies` it states that the heavy atoms are that many copies in the SMILES' order. Other numbers and text are columns.

    Args:
        text: Of the file.
        title: Stem of the file.
        smiles: Of the molecule; else what the frame says.
    """
    frames = list(xyz_frames(text))
    found = []
    for index, frame in enumerate(frames):
        name = title if len(frames) == 1 else f"{title}#{index}"
        try:
            found.append(frame_entry(frame, name, smiles))
        except StructureError as error:
            found.append(Entry(name, smiles, str(error)))
    return found or [Entry(title, smiles, "no atoms: the file holds no frames")]


def xyz_frames(text: str) -> Iterator[str]:
    """Text of each frame, so that a broken one does not take the others with it; what follows a bad count is one frame."""
    lines = text.splitlines()
    row = 0
    while row < len(lines):
        count = lines[row].strip()
        if count:
            n_lines = 2 + int(count) if count.isdecimal() else len(lines)
            yield "\n".join(lines[row : row + n_lines]) + "\n"
            row += n_lines
        else:
            row += 1


def frame_entry(frame: str, name: str, smiles: str) -> Entry:
    """One structure; raises StructureError for a frame that is not readable or has no cell."""
    atoms = frame_atoms(frame)
    smiles = smiles or str(atoms.info.get("smiles") or "")
    try:
        check_positions(frame)
        sites = sites_of_frame(atoms, str(atoms.info.get("name") or name), smiles)
        entry = entry_of(sites, template_of(smiles, atoms.info.get("n_copies"), sites.atomic_numbers), np.asarray(atoms.cell))
    except StructureError as error:
        entry = Entry(str(atoms.info.get("name") or name), smiles, str(error))
    numbers = {**atoms.info, **(atoms.calc.results if atoms.calc else {})}
    columns = {key: value for key, value in map(plain, numbers.items()) if key not in XYZ_KEYS and value is not None}
    return replace(entry, columns=columns)


def frame_atoms(frame: str) -> Atoms:
    """ASE's atoms of the text of one frame; raises StructureError for a frame that is not readable."""
    from ase.io.extxyz import read_xyz

    try:
        with warnings.catch_warnings():
            # ASE warns of entries whose type it changes
            warnings.simplefilter("ignore")
            return next(read_xyz(io.StringIO(frame), slice(1)))
    except XYZ_ERRORS as error:
        raise StructureError("not readable as extended XYZ", " ".join(str(error).split())) from error


def check_positions(frame: str) -> None:
    """Refuse a frame that lists no positions: ASE puts all its atoms at the origin."""
    header = frame.split("\n", 2)[1].lower()
    if "properties=" in header and ":pos:" not in header and "=pos:" not in header:
        raise StructureError("missing coordinates", "no positions are listed")


def sites_of_frame(atoms: Atoms, name: str, smiles: str) -> Sites:
    """Sites of ASE atoms, fractional in their own cell."""
    if not atoms.pbc.all():
        raise StructureError("no cell", f"pbc is {atoms.pbc.tolist()}")
    cell = torch.from_numpy(np.array(atoms.cell, dtype=np.float64))
    lattice = lattice_from_cell(cell).numpy()
    volume = float(torch.linalg.det(cell).abs())
    if not 0 < volume < np.inf:
        raise StructureError("no valid cell", f"its volume is {volume} Å3")
    fractional = atoms.positions @ np.linalg.inv(cell.numpy())
    return Sites(name, atoms.numbers.astype(np.int64), fractional, lattice, smiles or None)


def plain(item: tuple[str, object]) -> tuple[str, object]:
    """A number or text as Python has it; None for anything else."""
    key, value = item
    if isinstance(value, np.generic):
        value = value.item()
    return key, value if isinstance(value, str | int | float) else None
