"""AMD and PDD distances against RMSD_15 for the nearest pairs of computed landscapes: where the defaults of `duplicates` come from.

    python bench/duplicate_tolerances.py ../shared/data

reads open_crystals.zip and open_crystals.csv.gz of that folder and prints a line per pair, then the table of docs/duplicates.md.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import itertools
import sys
import zipfile
from pathlib import Path

import numpy as np
import torch

from packflow.errors import StructureError
from packflow.metrics import packing_similarities
from packflow.ops import amd
from packflow.rank.same_pdd import SamePdd
from packflow.structure import AtomsBatch
from packflow.structure.cif import blocks_of, sites_of
from packflow.structure.sites import Sites

# succinic acid, tricyano-dithiino-isothiazole, caffeine, 2-fluorobenzamide
MOLECULES = ("O=C(O)CCC(=O)O", "N#CC1=C(C#N)Sc2c(nsc2C#N)S1", "Cn1c(=O)c2c(ncn2C)n(C)c1=O", "NC(=O)c1ccccc1F")
MOST_FORMS = 400
N_PAIRS = 45
K = 100
EDGES = (0.01, 0.015, 0.02, 0.03, 0.05, 0.1)


def landscape(folder: Path, smiles: str) -> list[Sites]:
    """The forms of one molecule."""
    found = []
    with gzip.open(folder / "open_crystals.csv.gz", "rt") as rows, zipfile.ZipFile(folder / "open_crystals.zip") as archive:
        names = {name.split("/")[-1]: name for name in archive.namelist()}
        for row in csv.DictReader(rows):
            if row["smiles"] == smiles and len(found) < MOST_FORMS:
                text = archive.read(names[row["file"].split("/")[-1]]).decode(errors="replace")
                try:
                    found.append(sites_of(blocks_of(text)[0], row["file"]))
                except StructureError as error:
                    print(f"{row['file']}: {error}", file=sys.stderr)
    return found


def heavy_atoms(forms: list[Sites]) -> AtomsBatch:
    """The forms as a batch."""
    numbers = [torch.from_numpy(s.atomic_numbers[s.heavy]) for s in forms]
    sizes = torch.tensor([0, *(len(n) for n in numbers)])
    return AtomsBatch(
        atomic_numbers=torch.cat(numbers),
        positions=torch.cat([torch.from_numpy(s.fractional[s.heavy] @ s.cell) for s in forms]),
        cell=torch.stack([torch.from_numpy(s.cell) for s in forms]),
        atom_ptr=sizes.cumsum(0).int(),
        bond_index=torch.zeros(2, 0, dtype=torch.int64),
        has_bonds=torch.zeros(len(forms), dtype=torch.bool),
        n_hydrogens=torch.zeros(int(sizes.sum()), dtype=torch.int64),
    )


def nearest_pairs(forms: list[Sites]) -> np.ndarray:
    """AMD distance, PDD distance, matched molecules and RMSD_15 of the nearest pairs. [N_PAIRS, 4]"""
    atoms = heavy_atoms(forms)
    amds = amd(atoms.positions, atoms.cell, atoms.atom_ptr, K)
    distance = torch.nn.functional.pdist(amds, torch.inf)
    nearest = distance.argsort()[:N_PAIRS]
    pairs = torch.triu_indices(len(forms), len(forms), 1)[:, nearest].T
    same = SamePdd(atoms, K, 0.0)
    pdds = [same.distance(i, same.rows([i])[0], j, same.rows([j])[0]) for i, j in pairs.tolist()]
    found = packing_similarities(forms, pairs)
    return np.column_stack([distance[nearest], pdds, found.n_matched, found.rmsd])


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    landscapes = [landscape(folder, smiles) for smiles in MOLECULES]
    rows = np.concatenate([nearest_pairs(forms) for forms in landscapes])
    for row in rows[rows[:, 1].argsort()]:
        print("AMD {:.4f} Å  PDD {:.4f} Å  {:2.0f} of 15  RMSD {:.4f} Å".format(*row))
    full = rows[:, 2] == 15
    print(f"{sum(map(len, landscapes))} forms; AMD distance, pairs, 15 of 15, their median RMSD")
    for low, high in itertools.pairwise(EDGES):
        inside = (low <= rows[:, 0]) & (rows[:, 0] < high)
        print(f"{low} to {high}: {inside.sum()} {(inside & full).sum()} {np.median(rows[inside & full, 3]):.3f}")
    near = rows[:, 1] < 0.05
    worst = rows[near & full, 3].max(initial=0.0)
    print(f"PDD below 0.05 Å: {near.sum()} pairs, {(near & full).sum()} of them 15 of 15, RMSD at most {worst:.3f} Å")


if __name__ == "__main__":
    main()
