"""A synthetic dataset folder of any size, in the format of packflow prepare and written in seconds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from packflow.data.dataset import ARRAYS, FORMAT, MANIFEST, TABLES

# Substituents of a benzene ring and their heavy atoms: 12^5 different texts, each of a molecule that RDKit has to read.
SUBSTITUENTS = {"C": 1, "CC": 2, "CCC": 3, "OC": 2, "O": 1, "N": 1, "F": 1, "Cl": 1, "C#N": 2, "C(=O)O": 3, "C(=O)N": 3, "S(=O)(=O)N": 4}
N_PLACES, N_RING = 5, 6
KINDS, SPLITS = ("computed", "experimental"), ("train", "validation", "test")
ATOMS_AT_ONCE = 3_000_000


def molecules(n_molecules: int) -> tuple[list[str], np.ndarray]:
    """SMILES and numbers of heavy atoms. [n_molecules], [n_molecules]"""
    parts, sizes = list(SUBSTITUENTS), np.array(list(SUBSTITUENTS.values()))
    ranks = np.random.default_rng(0).permutation(len(parts) ** N_PLACES)[:n_molecules]
    chosen = ranks[:, None] // len(parts) ** np.arange(N_PLACES) % len(parts)
    smiles = ["c1" + "".join(f"c({parts[k]})" for k in row[:-1]) + "c1" + parts[row[-1]] for row in chosen]
    return smiles, N_RING + sizes[chosen].sum(1)


def write(folder: Path, n_crystals: int, n_molecules: int) -> int:
    """Make the folder; returns the number of atoms in it."""
    folder.mkdir()
    random = np.random.default_rng(1)
    smiles, sizes = molecules(n_molecules)
    molecule = random.integers(n_molecules, size=n_crystals)
    n_copies = random.choice([2, 4, 4, 8], size=n_crystals)
    n_atoms = n_copies * sizes[molecule]
    crystals = {
        "name": [f"synthetic_landscape_{k:08d}.cif" for k in range(n_crystals)],
        "split": random.choice(SPLITS, size=n_crystals, p=(0.9, 0.05, 0.05)).tolist(),
        "space_group": random.integers(1, 231, size=n_crystals),
        "z_prime": random.choice([0.5, 1.0, 2.0], size=n_crystals),
        "kind": random.choice(KINDS, size=n_crystals).tolist(),
        "licence": ["CC0"] * n_crystals,
        "molecule_index": molecule,
        "n_copies": n_copies,
        "n_atoms": n_atoms,
    }
    pq.write_table(pa.table(crystals), folder / TABLES[0])
    pq.write_table(pa.table({"smiles": smiles, "family": smiles}), folder / TABLES[1])
    lengths = 5 + 10 * random.random((n_crystals, 3))
    np.save(folder / ARRAYS[1], np.concatenate([lengths, 80 + 20 * random.random((n_crystals, 3))], axis=1))
    positions = np.lib.format.open_memmap(folder / ARRAYS[0], "w+", np.float32, (int(n_atoms.sum()), 3))
    block = random.normal(scale=3.0, size=(ATOMS_AT_ONCE, 3)).astype(np.float32)
    for first in range(0, len(positions), ATOMS_AT_ONCE):
        positions[first : first + ATOMS_AT_ONCE] = block[: len(positions) - first]
    positions.flush()
    sizes_on_disk = {name: (folder / name).stat().st_size for name in (*TABLES, *ARRAYS)}
    (folder / MANIFEST).write_text(json.dumps({"format": FORMAT, "bytes": sizes_on_disk}))
    return len(positions)
