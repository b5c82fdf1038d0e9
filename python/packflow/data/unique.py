"""One crystal of those that are the same: duplicates by AMD within a family (paper, section 4.4.1, there by packing similarity)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from packflow.data.candidates import Candidate
from packflow.data.split import family
from packflow.ops import amd, neighbor_radius, problems
from packflow.ops.amd_groups import amd_groups
from packflow.structure import Crystal

# neighbours per atom
K = 100
# heavy atoms whose AMD is asked for at once: some 10 MB
CHUNK_ATOMS = 100_000


def without_duplicates(candidates: Sequence[Candidate], kinds: Sequence[str], tolerance: float) -> list[Candidate]:
    """The same candidates, but a crystal that repeats another is rejected as its duplicate.

    Only crystals whose molecules have one element graph (`split.family`) are compared. Of equal ones the first experimental is kept,
    else the first. Mirror images are equal: distances do not tell them apart.

    Args:
        candidates: Those without a crystal stay as they are.
        kinds: "experimental", or anything else, for each.
        tolerance: Greatest L-infinity distance of two AMDs that are the same, Å; 0 keeps all crystals.
    """
    rows = np.array([k for k, c in enumerate(candidates) if c.crystal is not None], dtype=np.int64)
    if not tolerance or not len(rows):
        return list(candidates)
    molecules = [c.crystal.template.molecule.smiles for c in candidates if c.crystal is not None]
    family_of = {smiles: family(smiles) for smiles in set(molecules)}
    _, kind, counts = np.unique([family_of[smiles] for smiles in molecules], return_inverse=True, return_counts=True)
    several = counts[kind] > 1
    rows, kind = rows[several], kind[several]
    amds = amds_of([crystal for k in rows if (crystal := candidates[k].crystal) is not None])
    is_computed = np.asarray(kinds)[rows] != "experimental"
    priority = np.empty(len(rows))
    priority[np.lexsort([rows, is_computed])] = np.arange(len(rows))
    groups = amd_groups(amds, tolerance, torch.from_numpy(kind.astype(np.int64)), torch.from_numpy(priority))
    found = list(candidates)
    for row, group, distance in zip(rows.tolist(), groups.group.tolist(), groups.distance.tolist(), strict=True):
        kept = row if group < 0 else int(rows[groups.representative[group]])
        if kept != row:
            detail = f"of {candidates[kept].name}, AMD distance {distance:.4f} Å"
            found[row] = candidates[row].rejected("duplicate", detail)
    return found


def amds_of(crystals: Sequence[Crystal], k: int = K) -> Tensor:
    """AMD of the heavy atoms of each crystal, Å; NaN where the cell is too thin to be searched. [n_crystals, k] float64"""
    out = torch.full((len(crystals), k), torch.nan, dtype=torch.float64)
    if not len(crystals):
        return out
    chunk = np.cumsum([c.template.n_atoms for c in crystals]) // CHUNK_ATOMS
    for part in np.split(np.arange(len(crystals)), np.flatnonzero(np.diff(chunk)) + 1):
        arrays = packed([crystals[i] for i in part])
        failed = problems(*arrays, neighbor_radius(arrays[1], arrays[2], k))
        good = part[[not problem for problem in failed]]
        if len(good):
            out[good] = amd(*packed([crystals[i] for i in good]), k)
    return out


def packed(crystals: Sequence[Crystal]) -> tuple[Tensor, Tensor, Tensor]:
    """Positions [n_atoms, 3] and cells [n_crystals, 3, 3] in Å, float64, and the first atom of each crystal [n_crystals + 1]."""
    atom_ptr = np.cumsum([0, *(c.template.n_atoms for c in crystals)]).astype(np.int32)
    positions, cells = np.concatenate([c.positions for c in crystals]), np.stack([c.cell for c in crystals])
    return torch.from_numpy(positions), torch.from_numpy(cells), torch.from_numpy(atom_ptr)
