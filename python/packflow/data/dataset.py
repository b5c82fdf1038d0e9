"""Crystals on disk, memory-mapped: positions and lattices as arrays, everything else in two tables."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from packflow.data.columns import Columns
from packflow.data.rows import Rows
from packflow.errors import InputError
from packflow.structure import Crystal, Molecule, Template

FORMAT = 1
MANIFEST = "dataset.json"
ARRAYS = ("positions.npy", "lattice.npy")
TABLES = ("crystals.parquet", "molecules.parquet")
KNOWN = ("name", "molecule_index", "n_copies", "n_atoms", "split")
N_MOLECULES_KEPT = 16_384  # about 3 kB each


@dataclass(frozen=True)
class CrystalDataset:
    """Crystals of a dataset folder; `dataset[i]` is a Crystal. Tables are read by the column, when it is first asked for.

    path:         the folder.
    table:        columns of the crystals that are always there.
    notes:        further columns by name, `space_group` and `z_prime` among them, each [n_crystals].
    smiles:       of each molecule, `str`. [n_molecules]
    atom_rows:    positions of all crystals' atoms on disk, Å. [n_atoms of all crystals, 3] float32
    lattice_rows: lattices on disk, Å and degrees. [n_crystals, 6] float64
    """

    path: Path
    table: Columns
    notes: Columns
    smiles: Sequence[str]
    atom_rows: Rows
    lattice_rows: Rows

    def __len__(self) -> int:
        """Number of crystals."""
        return len(self.lattice_rows)

    @property
    def positions(self) -> np.ndarray:
        """Cartesian, Å, crystal after crystal; memory-mapped. [n_atoms of all crystals, 3] float32"""
        return self.atom_rows.array

    @property
    def lattice(self) -> np.ndarray:
        """a, b, c in Å, alpha, beta, gamma in degrees; memory-mapped. [n_crystals, 6] float64"""
        return self.lattice_rows.array

    @property
    def name(self) -> np.ndarray:
        """Of each crystal's source file. [n_crystals] str"""
        return self.table["name"]

    @property
    def molecule_index(self) -> np.ndarray:
        """Row of `smiles`. [n_crystals] int64"""
        return self.table["molecule_index"]

    @property
    def n_copies(self) -> np.ndarray:
        """Molecules per unit cell. [n_crystals] int64"""
        return self.table["n_copies"]

    @property
    def n_atoms(self) -> np.ndarray:
        """Heavy atoms per unit cell. [n_crystals] int64"""
        return self.table["n_atoms"]

    @property
    def split(self) -> np.ndarray:
        """ "train", "validation" or "test". [n_crystals] str"""
        return self.table["split"]

    @cached_property
    def atom_ptr(self) -> np.ndarray:
        """First atom of each crystal, then the number of all. [n_crystals + 1] int64"""
        return np.concatenate([[0], np.cumsum(self.n_atoms)])

    def __getitem__(self, index: int) -> Crystal:
        """Crystal number `index`, 0 to len - 1."""
        if not 0 <= index < len(self):
            raise IndexError(f"index must be 0 to {len(self) - 1}, got {index}")
        first, last = self.atom_ptr[index : index + 2].tolist()
        positions = self.atom_rows.read(first, last).astype(np.float64)
        return Crystal(self.template(index), positions, self.lattice_rows.read(index, index + 1)[0].copy())

    def template(self, index: int) -> Template:
        """Template of crystal number `index`."""
        return Template(molecule_of(self.smiles[self.molecule_index[index]]), int(self.n_copies[index]))

    def indices(self, split: str) -> np.ndarray:
        """Numbers of the crystals in a split."""
        return np.flatnonzero(self.split == split)

    @classmethod
    def open(cls, path: str | Path) -> CrystalDataset:
        """Open a folder that `packflow prepare` wrote.

        Raises:
            InputError: it is not a dataset, of another format, or a file is missing or truncated.
        """
        path = Path(path)
        check_manifest(path)
        crystals, molecules = (path / name for name in TABLES)
        positions, lattice = (Rows(path / name) for name in ARRAYS)
        table, smiles = Columns(crystals, KNOWN), Columns(molecules, ("smiles",)).texts("smiles")
        if len(positions) != int(table["n_atoms"].sum()) or len(lattice) != len(table["n_atoms"]):
            raise InputError(f"{path} is corrupt: its tables and arrays disagree; run packflow prepare again")
        return cls(path, table, Columns(crystals, without=KNOWN), smiles, positions, lattice)


@lru_cache(maxsize=N_MOLECULES_KEPT)
def molecule_of(smiles: str) -> Molecule:
    """The molecule of a SMILES; the last ones are kept."""
    return Molecule.from_smiles(smiles)


def check_manifest(path: Path) -> None:
    """Refuse a folder whose files are not those that its manifest lists, with their sizes."""
    if not (path / MANIFEST).is_file():
        raise InputError(f"{path} is not a PackFlow dataset ({MANIFEST} is missing); make one with packflow prepare")
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        version, sizes = manifest["format"], manifest["bytes"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(f"{path / MANIFEST} is corrupt; run packflow prepare again") from error
    if version != FORMAT:
        raise InputError(f"{path} has dataset format {version}, this version reads {FORMAT}; run packflow prepare again")
    for name, size in sizes.items():
        found = (path / name).stat().st_size if (path / name).is_file() else None
        if found != size:
            state = "missing" if found is None else f"truncated or changed ({found} bytes instead of {size})"
            raise InputError(f"{path / name} is {state}; run packflow prepare again")


def write_dataset(
    path: Path,
    crystals: Sequence[Crystal],
    columns: Mapping[str, Sequence[Any]],
    molecule_columns: Mapping[str, Sequence[str]],
    settings: Mapping[str, object],
    texts: Mapping[str, str],
) -> None:
    """Write crystals as a dataset folder; nothing appears at `path` unless all of it was written.

    Args:
        path: Folder that does not exist yet.
        crystals: At least one; each of a molecule in molecule_columns["smiles"].
        columns: Text and number columns of the crystals, `name` and `split` among them.
        molecule_columns: Text columns of the molecules, `smiles` among them.
        settings: How they were chosen; kept in the manifest.
        texts: Contents of further files by name, for people to read.
    """
    place = {smiles: k for k, smiles in enumerate(molecule_columns["smiles"])}
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    table = {
        **columns,
        "molecule_index": [place[c.template.molecule.smiles] for c in crystals],
        "n_copies": [c.template.n_copies for c in crystals],
        "n_atoms": [c.template.n_atoms for c in crystals],
    }
    pq.write_table(pa.table(table), partial / TABLES[0])
    pq.write_table(pa.table(dict(molecule_columns)), partial / TABLES[1])
    np.save(partial / ARRAYS[0], np.concatenate([c.positions for c in crystals]).astype(np.float32))
    np.save(partial / ARRAYS[1], np.stack([c.lattice for c in crystals]))
    for name, text in texts.items():
        (partial / name).write_text(text, encoding="utf-8", newline="")
    sizes = {name: (partial / name).stat().st_size for name in (*TABLES, *ARRAYS)}
    manifest = {"format": FORMAT, "n_crystals": len(crystals), "n_molecules": len(place), "settings": dict(settings), "bytes": sizes}
    (partial / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    partial.rename(path)
