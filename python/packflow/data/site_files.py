"""The structures in a file that `prepare` reads, each with the atoms of its cell."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from packflow.data.csd import is_csd, sites_of_entry
from packflow.data.record_files import read_records, sites_of_record
from packflow.data.source import RECORD_FILE, STRUCTURE_FILES, read_bytes
from packflow.data.structure_files import check_positions, frame_atoms, sites_of_frame, xyz_frames
from packflow.errors import StructureError
from packflow.structure.cif import blocks_of, sites_of
from packflow.structure.sites import Sites

if TYPE_CHECKING:
    from ase import Atoms
    from ase.db.row import AtomsRow

# name of a structure, and the function that makes its sites or raises StructureError
Listed = tuple[str, Callable[[], Sites]]


def structures_in(source: Path, name: str) -> list[Listed]:
    """Structures of one file, at least one.

    A structure is called file#part where the file holds several: the block of a CIF, `name` of an extended-XYZ frame or a database row,
    the refcode of a record; else the place of the frame or record, or the id of the row.

    Args:
        source: Folder, archive or file; or the CSD, whose entries count as files.
        name: One of `list_files(source)` or `list_refcodes(source)`.

    Raises:
        StructureError: the file is of another kind, cannot be read or holds no structures.
    """
    if is_csd(source):
        return [(name, partial(sites_of_entry, name))]
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in STRUCTURE_FILES:
        raise StructureError("not a structure file", f"wanted are {', '.join(STRUCTURE_FILES)}")
    if suffix == RECORD_FILE:
        found = in_records(source, name)
    else:
        readers = {".cif": in_cif, ".mmcif": in_cif, ".db": in_database}
        found = readers.get(suffix, in_xyz)(read_bytes(source, name), name)
    if not found:
        raise StructureError("no atoms", "the file holds no structures")
    return found


def in_cif(content: bytes, name: str) -> list[Listed]:
    """Data blocks that list atoms."""
    blocks = blocks_of(content.decode(errors="replace"))
    titles = [name if len(blocks) == 1 else f"{name}#{block.name}" for block in blocks]
    return [(title, partial(sites_of, block, title)) for title, block in zip(titles, blocks, strict=True)]


def in_xyz(content: bytes, name: str) -> list[Listed]:
    """Frames of an extended-XYZ file."""
    frames = list(xyz_frames(content.decode(errors="replace")))
    titles = [name if len(frames) == 1 else f"{name}#{index}" for index in range(len(frames))]
    return [(title, partial(sites_in_frame, frame, name, title)) for title, frame in zip(titles, frames, strict=True)]


def sites_in_frame(frame: str, file: str, title: str) -> Sites:
    """Sites of one frame, called file#name if it has a name; raises StructureError as `sites_of_frame`."""
    atoms = frame_atoms(frame)
    check_positions(frame)
    own = str(atoms.info.get("name") or "")
    return sites_of_atoms(atoms, f"{file}#{own}" if own else title, str(atoms.info.get("smiles") or ""))


def in_database(content: bytes, name: str) -> list[Listed]:
    """Rows of an ASE database (SQLite), in the order of their ids."""
    from ase.db import connect

    # a copy: SQLite wants a file of its own, also for what an archive holds, and ASE may write to it
    with tempfile.NamedTemporaryFile(suffix=".db") as file:
        file.write(content)
        file.flush()
        try:
            rows = list(connect(file.name, use_lock_file=False).select())
        except (sqlite3.Error, ValueError, KeyError, OSError) as error:
            raise StructureError("not readable as ASE database", " ".join(str(error).split())) from error
    return [(f"{name}#{row.get('name') or row.id}", partial(sites_in_row, row, f"{name}#{row.get('name') or row.id}")) for row in rows]


def in_records(source: Path, name: str) -> list[Listed]:
    """Records of a file of the released code, in their order."""
    records = read_records(source, name)
    titles = [f"{name}#{record.refcode or place}" for place, record in enumerate(records)]
    return [(title, partial(sites_of_record, record, title)) for title, record in zip(titles, records, strict=True)]


def sites_in_row(row: AtomsRow, title: str) -> Sites:
    """Sites of one row; raises StructureError as `sites_of_frame`."""
    return sites_of_atoms(row.toatoms(), title, str(row.get("smiles") or ""))


def sites_of_atoms(atoms: Atoms, title: str, smiles: str) -> Sites:
    """Sites of ASE atoms, in a right-handed cell: the parameters alone would give the mirror image of a left-handed one."""
    if np.linalg.det(atoms.cell) < 0:
        atoms.set_cell(-np.asarray(atoms.cell))
    return sites_of_frame(atoms, title, smiles)
