"""Crystals on disk, memory-mapped: positions and lattices as arrays, everything else in two tables."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from packflow.errors import InputError
from packflow.structure import Crystal, Template
from packflow.structure.match import molecule_graphs

FORMAT = 1
MANIFEST = "dataset.json"
ARRAYS = ("positions.npy", "lattice.npy")
TABLES = ("crystals.parquet", "molecules.parquet")


@dataclass(frozen=True)
class CrystalDataset:
    """Crystals of a dataset folder; `dataset[i]` is a Crystal.

    path:           the folder.
    smiles:         of each molecule. [n_molecules]
    name:           of each crystal's source file. [n_crystals]
    molecule_index: [n_crystals] int64, row of `smiles`.
    n_copies:       [n_crystals] int64, molecules per unit cell.
    n_atoms:        [n_crystals] int64, heavy atoms per unit cell.
    split:          [n_crystals] "train", "validation" or "test".
    notes:          further columns by name, `space_group` and `z_prime` among them, each [n_crystals].
    positions:      [n_atoms of all crystals, 3] float32, Å, memory-mapped.
    lattice:        [n_crystals, 6] float64, Å and degrees.
    """

    path: Path
    smiles: list[str]
    name: np.ndarray
    molecule_index: np.ndarray
    n_copies: np.ndarray
    n_atoms: np.ndarray
    split: np.ndarray
    notes: dict[str, np.ndarray]
    positions: np.ndarray
    lattice: np.ndarray

    def __len__(self) -> int:
        """Number of crystals."""
        return len(self.n_atoms)

    def __post_init__(self) -> None:
        """Where each crystal's atoms begin."""
        object.__setattr__(self, "atom_ptr", np.concatenate([[0], np.cumsum(self.n_atoms)]))

    def __getitem__(self, index: int) -> Crystal:
        """Crystal number `index`, 0 to len - 1."""
        if not 0 <= index < len(self):
            raise IndexError(f"index must be 0 to {len(self) - 1}, got {index}")
        first, last = self.atom_ptr[index : index + 2]  # type: ignore[attr-defined]
        positions = np.asarray(self.positions[first:last], dtype=np.float64)
        return Crystal(self.template(index), positions, np.array(self.lattice[index]))

    def template(self, index: int) -> Template:
        """Template of crystal number `index`."""
        return Template(molecule_graphs(self.smiles[self.molecule_index[index]])[0], int(self.n_copies[index]))

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
        crystals, molecules = (read_columns(path / name) for name in TABLES)
        positions, lattice = (read_array(path / name) for name in ARRAYS)
        if len(positions) != int(crystals["n_atoms"].sum()) or len(lattice) != len(crystals["n_atoms"]):
            raise InputError(f"{path} is corrupt: its tables and arrays disagree; run packflow prepare again")
        known = ("name", "molecule_index", "n_copies", "n_atoms", "split")
        return cls(
            path=path,
            smiles=molecules["smiles"].tolist(),
            **{key: crystals[key] for key in known},
            notes={key: column for key, column in crystals.items() if key not in known},
            positions=positions,
            lattice=np.asarray(lattice),
        )


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


def read_columns(path: Path) -> dict[str, np.ndarray]:
    """Columns of a Parquet file as arrays."""
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path} cannot be read; run packflow prepare again") from error
    return {name: np.asarray(table[name].to_pylist()) for name in table.column_names}


def read_array(path: Path) -> np.ndarray:
    """A memory-mapped array."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{path} cannot be read; run packflow prepare again") from error


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
