"""The op by itself: threads, arguments. What it computes is compared with oxtalign in tests/metrics."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from packflow.ops import MolecularPackings, MoleculeKinds, packing_similarity

# two kinds of one species whose atoms come in another order, and a third of another
ELEMENT, ROLE = [0, 1, 1, 2, 1, 0, 2, 1, 3, 3], [0, 1, 2, 3, 1, 0, 3, 2, 4, 4]
SHAPE = np.array([[0.0, 0, 0], [1.4, 0, 0], [-0.5, 1.3, 0.1], [-0.6, -0.7, 1.1]])
ORDER = [1, 0, 3, 2]


def kinds_of():
    return MoleculeKinds(*(torch.tensor(x, dtype=torch.int32) for x in (ELEMENT, ROLE, [0, 4, 8, 10], [0, 0, 1])))


def packings_of(n_structures=6, n_molecules=3, seed=0):
    rng = np.random.default_rng(seed)
    positions, kind, cells = [], [], []
    for _ in range(n_structures):
        cell = np.diag(rng.uniform(6, 8, 3)) + np.tril(rng.uniform(-1, 1, (3, 3)), -1)
        cells.append(cell)
        for _ in range(n_molecules):
            kind.append(int(rng.integers(2)))
            shape = SHAPE[ORDER] if kind[-1] else SHAPE
            positions.append((shape - SHAPE.mean(0)) @ Rotation.random(random_state=rng).as_matrix() + rng.random(3) @ cell)
    return MolecularPackings(
        positions=torch.from_numpy(np.concatenate(positions)),
        cell=torch.from_numpy(np.stack(cells)),
        kind=torch.tensor(kind, dtype=torch.int32),
        molecule_ptr=torch.arange(n_structures + 1) * n_molecules,
        reach=torch.full((n_structures,), 4, dtype=torch.int32),
    )


def all_pairs(n):
    return torch.cartesian_prod(torch.arange(n), torch.arange(n))


def test_a_structure_lies_on_itself():
    n_matched, rmsd = packing_similarity(kinds_of(), packings_of(), torch.arange(6)[:, None].expand(6, 2))
    assert n_matched.tolist() == [15] * 6
    assert rmsd.max() < 1e-9
    n_matched, _ = packing_similarity(kinds_of(), packings_of(), all_pairs(6))
    assert 1 <= int(n_matched.min()) < 15


def test_threads_change_nothing(monkeypatch):
    pairs = all_pairs(6)
    alone = packing_similarity(kinds_of(), packings_of(), pairs)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    shared = packing_similarity(kinds_of(), packings_of(), pairs)
    assert [x.tolist() for x in alone] == [x.tolist() for x in shared]


def test_a_species_that_the_other_lacks_matches_nothing():
    kinds, packings = kinds_of(), packings_of(2, 1)
    other = torch.tensor([[0.0, 0, 0], [1.2, 0, 0]], dtype=torch.float64)
    mixed = replace(
        packings, positions=torch.cat([packings.positions[:4], other]), kind=torch.tensor([packings.kind[0], 2], dtype=torch.int32)
    )
    n_matched, rmsd = packing_similarity(kinds, mixed, torch.tensor([[0, 1]]))
    assert n_matched.tolist() == [0]
    assert rmsd.isnan().all()


def test_nothing_to_compare():
    n_matched, rmsd = packing_similarity(kinds_of(), packings_of(), torch.zeros(0, 2, dtype=torch.int64))
    assert n_matched.shape == rmsd.shape == (0,)


def refused(match, n_molecules=15, tolerance=1.0, pairs=None, kinds=None, **changes):
    packings = replace(packings_of(), **changes)
    with pytest.raises(ValueError, match=match):
        packing_similarity(kinds or kinds_of(), packings, all_pairs(6) if pairs is None else pairs, n_molecules, tolerance)


def test_bad_arguments():
    x = packings_of()
    refused("n_molecules must be an integer of at least 1, got 0", n_molecules=0)
    refused("tolerance must be a positive number", tolerance=-1.0)
    refused("pairs must have shape", pairs=torch.zeros(3, dtype=torch.int64))
    refused("pairs must lie between 0 and 5, got 0 to 6", pairs=torch.tensor([[0, 6]]))
    refused("positions must have shape", positions=x.positions[1:])
    refused(r"positions must lie within 1e\+09 Å, got nan", positions=x.positions * torch.nan)
    refused(r"cell must lie within 1e\+09 Å, got ", cell=x.cell * 1e12)
    refused("kind must lie between 0 and 2, got 3 to 3", kind=torch.full_like(x.kind, 3))
    refused("molecule_ptr must rise from 0 to 18", molecule_ptr=x.molecule_ptr * 0)
    refused("reach must be at least 1 cell, got 0", reach=x.reach * 0)
    refused("role 1 must have atoms of one element", kinds=replace(kinds_of(), role=kinds_of().role.clamp(min=1)))
    refused("species 0 must have one composition", kinds=replace(kinds_of(), species=kinds_of().species * 0))
