"""Crystals for the periodic ops, and what an independent library says of them."""

import itertools
import zipfile
from pathlib import Path

import gemmi
import numpy as np
import pytest
import torch
import vesin

from packflow.elements import COVALENT_RADII

OPEN_CRYSTALS = Path(__file__).parents[3] / "shared" / "data" / "open_crystals.zip"
N_MEASURED = 520


@pytest.fixture(scope="session")
def cell_of():
    """A function from lattice parameters to the cell, rows a, b, c."""

    def make(a, b, c, alpha, beta, gamma):
        return torch.tensor(gemmi.UnitCell(a, b, c, alpha, beta, gamma).orth.mat.tolist(), dtype=torch.float64).T.contiguous()

    return make


@pytest.fixture(scope="session")
def crystal():
    """A function that makes positions, cell and atom_ptr of one crystal."""

    def make(cell, positions):
        positions = torch.as_tensor(positions, dtype=torch.float64).reshape(-1, 3)
        return positions, torch.as_tensor(cell, dtype=torch.float64)[None], torch.tensor([0, len(positions)], dtype=torch.int32)

    return make


@pytest.fixture(scope="session")
def join():
    """A function that makes one batch of several; what follows atom_ptr is per atom."""

    def make(*batches):
        sizes = torch.cat([b[2].diff() for b in batches])
        atom_ptr = torch.tensor([0, *sizes.cumsum(0).tolist()], dtype=torch.int32)
        positions, cell = (torch.cat([b[k] for b in batches]) for k in (0, 1))
        return positions, cell, atom_ptr, *(torch.cat(x) for x in zip(*(b[3:] for b in batches), strict=True))

    return make


@pytest.fixture(scope="session")
def as_dtype():
    """A function that converts the numbers of a batch and leaves pointers alone."""
    return lambda batch, dtype: tuple(x.to(dtype) if x.is_floating_point() else x for x in batch)


@pytest.fixture(scope="session")
def periodic_cases(crystal, cell_of):
    """Ugly crystals by name: positions, cell and atom_ptr."""
    cube = 10 * torch.eye(3)
    return {
        "one atom": crystal(cube, [1, 2, 3]),
        "one atom, thin cell": crystal(torch.diag(torch.tensor([1.0, 9.0, 9.0])), [1, 2, 3]),
        "one atom, images slide past each other": crystal([[1.0, 0, 0], [0.5, 0.5, 0], [0, 0, 9]], [0, 0, 0]),
        "simple cubic, many equal distances": crystal(2 * torch.eye(3), [0.3, 0.3, 0.3]),
        "face-centred": crystal(4 * torch.eye(3), [[0, 0, 0], [2, 2, 0], [2, 0, 2], [0, 2, 2]]),
        "coincident atoms": crystal(cube, [[1, 2, 3], [1, 2, 3], [4, 4, 4]]),
        "coincident but for a lattice vector": crystal(cube, [[1, 2, 3], [-9, 12, 33]]),
        "atoms on faces, edges and corners": crystal(cube, [[0, 0, 0], [10, 3, 3], [5, 0, 10], [0, 0, 5], [-10, 3, 3.5]]),
        "far outside the cell": crystal(cube, [[1e5 + 1, 2, 3], [1.5, 2, -2e5 + 3], [5, 5, 5]]),
        "angles of 30 degrees": crystal(cell_of(9, 9, 9, 30, 30, 30), [[0, 0, 0], [0.5, 0.2, 0.1], [6, 4, 2]]),
        "angle of 150 degrees": crystal(cell_of(9, 12, 9, 90, 150, 90), [[0, 0, 0], [-7.0, 12, 4.5]]),
        "left-handed": crystal(torch.diag(torch.tensor([10.0, 10, -10])), [[0, 0, 0.4], [0, 0, -0.5]]),
        "a molecule in much vacuum": crystal(80 * torch.eye(3), [[0, 0, 0], [1.4, 0, 0], [2.1, 1.2, 0], [1.4, 2.4, 0.1]]),
    }


@pytest.fixture(scope="session")
def vesin_pairs():
    """A function from a batch and a cutoff to rows i, j, Sa, Sb, Sc in the order of `neighbors`. [n_pairs, 5]"""

    def pairs(positions, cell, atom_ptr, cutoff):
        rows = [np.zeros((0, 5), dtype=np.int64)]
        for crystal, (first, last) in enumerate(itertools.pairwise(atom_ptr.tolist())):
            if first == last:
                continue
            neighbors = vesin.NeighborList(cutoff=cutoff, full_list=True)
            i, j, shifts = neighbors.compute(positions[first:last].double().numpy(), cell[crystal].double().numpy(), True, "ijS")
            rows.append(np.column_stack([first + i.astype(np.int64), first + j.astype(np.int64), shifts]))
        table = np.concatenate(rows)
        return torch.from_numpy(table[np.lexsort(table.T[::-1])])

    return pairs


@pytest.fixture(scope="session")
def measured_crystals(crystal):
    """Measured and predicted crystals with their hydrogens: positions, cell, atom_ptr and radii of each."""
    if not OPEN_CRYSTALS.exists():
        pytest.skip(f"{OPEN_CRYSTALS} is not on this machine")
    batches = []
    with zipfile.ZipFile(OPEN_CRYSTALS) as archive:
        names = sorted(n for n in archive.namelist() if n.endswith(".cif"))
        for name in names[:: max(1, len(names) // N_MEASURED)][:N_MEASURED]:
            structure = gemmi.make_small_structure_from_block(gemmi.cif.read_string(archive.read(name).decode()).sole_block())
            sites = structure.get_all_unit_cell_sites()
            symbols = ["H" if site.element.name == "D" else site.element.name for site in sites]
            positions = [structure.cell.orthogonalize(site.fract).tolist() for site in sites]
            batch = crystal(torch.tensor(structure.cell.orth.mat.tolist()).double().T, positions)
            batches.append((*batch, torch.tensor([COVALENT_RADII[s] for s in symbols], dtype=torch.float64)))
    return batches
