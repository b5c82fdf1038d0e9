"""Crystals in the files that the released code makes of mmCIF: a list of records, written by torch.save."""

from __future__ import annotations

import io
import pickle
import re
import struct
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from packflow.data.source import RECORD_FILE, ZIP_ERRORS, read_bytes
from packflow.errors import StructureError
from packflow.structure.bonds import bonds_between
from packflow.structure.cif import without_coincident
from packflow.structure.molecule import one_molecule
from packflow.structure.sites import Sites
from packflow.structure.stated_bonds import usable

# What is taken from a record. Their Cartesian coordinates are zero where their code could not make molecules whole.
NUMBERS, FRACTIONAL, LATTICE = "atom_types", "frac_coords", "lattice_1"
NEEDED = (NUMBERS, FRACTIONAL, LATTICE)
EDGES = "edge_index"
# What torch.load raises for bytes that are an intact archive but make no sense.
NONSENSE = (EOFError, ValueError, LookupError, AttributeError, TypeError, AssertionError, struct.error)


@dataclass(frozen=True)
class Record:
    """What is used of an entry of the list.

    refcode: "" where it is not stated.
    smiles:  of the whole cell, molecules joined by dots; "" where it is not stated.
    tensors: by key: atomic numbers [n_atoms], fractional coordinates [n_atoms, 3], lattice parameters in Å and degrees [6], directed
             bonds [2, n_edges]; those that the entry has, of whatever shape.
    """

    refcode: str
    smiles: str
    tensors: dict[str, Tensor]

    @classmethod
    def of(cls, entry: object) -> Record:
        """An empty record of what is no dictionary."""
        found = entry if isinstance(entry, dict) else {}
        refcode, smiles = (value if isinstance(value := found.get(key), str) else "" for key in ("refcode", "smiles"))
        return cls(refcode, smiles, {key: found[key] for key in (*NEEDED, EDGES) if isinstance(found.get(key), Tensor)})


def read_records(source: Path, name: str) -> list[Record]:
    """The records of one file, with what is taken from them; their tensors stay on disk unless the file is in an archive.

    Args:
        source: Folder, archive or file.
        name: One of `list_files(source)`.

    Raises:
        StructureError: the file contains pickled code, which is not run, is damaged, or holds no list of dictionaries.
    """
    path = source / name if source.is_dir() else source
    on_disk = path.suffix.lower() == RECORD_FILE
    records = load(path if on_disk else io.BytesIO(read_bytes(source, name)))
    if not isinstance(records, list):
        raise StructureError("no records", f"wanted is a list of dictionaries with {', '.join(NEEDED)}, got a {type(records).__name__}")
    return [Record.of(entry) for entry in records]


def load(file: Path | io.BytesIO) -> object:
    """What torch.save wrote, made of tensors and plain values only; raises StructureError as `read_records`."""
    try:
        with zipfile.ZipFile(file) as archive:
            # torch does not compare checksums
            damaged = archive.testzip()
        if isinstance(file, io.BytesIO):
            file.seek(0)
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=isinstance(file, Path)) if damaged is None else None
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL (\S+)", str(error))
        what = f"it calls {code[1]}" if code else "its values are no tensors and plain values"
        raise StructureError("pickled code", f"{what}; only tensors and plain values are read") from error
    except (*ZIP_ERRORS, *NONSENSE) as error:
        raise StructureError("not readable as torch.save file", str(error).partition("\n")[0]) from error
    if damaged is not None:
        raise StructureError("not readable as torch.save file", f"{damaged} in it is damaged")
    return content


def sites_of_record(record: Record, title: str) -> Sites:
    """All atoms of a record's cell, those that it lists twice once, with the bonds that it states where these are usable.

    Args:
        record: One of `read_records`.
        title: What the structure is called.

    Raises:
        StructureError: an entry is missing or misshapen, or as `Sites`.
    """
    missing = [key for key in NEEDED if key not in record.tensors]
    if missing:
        raise StructureError("no record", f"wanted is a dictionary with tensors {', '.join(NEEDED)}, missing is {', '.join(missing)}")
    numbers, fractional, lattice = (array_of(record.tensors[key]) for key in NEEDED)
    if numbers.ndim != 1 or not np.isfinite(numbers).all() or fractional.shape != (len(numbers), 3) or lattice.size != 6:
        shapes = ", ".join(str(array.shape) for array in (numbers, fractional, lattice))
        raise StructureError("no record", f"{', '.join(NEEDED)} must be numbers of shapes (n,), (n, 3), (6,), got {shapes}")
    sites = Sites(title, numbers.astype(np.int64), fractional, lattice.reshape(6), one_molecule(record.smiles) or None)
    edges = record.tensors.get(EDGES)
    return without_coincident(sites if edges is None else with_edges(sites, array_of(edges)))


def with_edges(sites: Sites, edges: np.ndarray) -> Sites:
    """The same sites with the bonds of directed edges [2, n_edges], if these are usable."""
    if edges.ndim != 2 or len(edges) != 2 or not edges.size or not ((edges >= 0) & (edges < len(sites.atomic_numbers))).all():
        return sites
    bonds = bonds_between(edges.T.astype(np.int64), sites.fractional, sites.cell)
    return replace(sites, bonds=bonds) if usable(sites, bonds) else sites


def array_of(tensor: Tensor) -> np.ndarray:
    """A tensor's values in float64; raises StructureError for a kind of tensor that has none."""
    if tensor.is_complex():
        raise StructureError("no record", "a tensor holds complex numbers")
    try:
        return tensor.detach().to(torch.float64).numpy()
    except (RuntimeError, TypeError) as error:
        raise StructureError("no record", f"a tensor cannot be read: {' '.join(str(error).split())}") from error
