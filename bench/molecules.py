"""Crystals with all their atoms as `nonbonded` takes them: whole molecules, charges, types, and which pairs are bonded."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace

import gemmi
import numpy as np
import torch
from cases import OPEN_CRYSTALS, random_cells, spread_atoms
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components
from torch import Tensor

from packflow.elements import COVALENT_RADII
from packflow.ops import neighbors

FEWEST, MOST = 40, 300  # atoms with hydrogens
NEAREST = 0.6  # Å; disordered sites are nearer
BOND_TOLERANCE = 0.3  # Å beyond the covalent radii
ELEMENTS = ("H", "C", "N", "O", "F", "S", "Cl")
# Roughly those of MMFF94: distance of least energy (Å) and its depth (kcal/mol), of like atoms; charge before neutralising (e).
RADII, DEPTHS, CHARGES = (
    (2.97, 3.94, 3.79, 3.55, 3.36, 4.18, 4.09),
    (0.022, 0.067, 0.07, 0.06, 0.04, 0.2, 0.2),
    (0.1, 0.05, -0.4, -0.5, -0.2, -0.2, -0.1),
)
KCAL_PER_MOL = 4.184 / 96.4853  # eV


@dataclass(frozen=True)
class Molecules:
    """The arguments of `nonbonded`, with the same names and shapes."""

    positions: Tensor
    cell: Tensor
    atom_ptr: Tensor
    periodic: Tensor
    charges: Tensor
    types: Tensor
    radius: Tensor
    epsilon: Tensor
    molecule: Tensor
    special_ptr: Tensor
    special_index: Tensor
    special_scale: Tensor

    @property
    def arguments(self) -> tuple[Tensor, ...]:
        """In the order of `nonbonded`."""
        return tuple(self.__dict__.values())

    def moved(self, positions: Tensor, cell: Tensor) -> Molecules:
        """The same molecules elsewhere."""
        return replace(self, positions=positions, cell=cell)


def tables() -> tuple[Tensor, Tensor]:
    """Radii and depths of pairs of elements, the same for pairs within molecules. [2, n_elements, n_elements]"""
    radii, depths = torch.tensor(RADII, dtype=torch.float64), KCAL_PER_MOL * torch.tensor(DEPTHS, dtype=torch.float64)
    radius, epsilon = (radii[:, None] + radii) / 2, (depths[:, None] * depths).sqrt()
    return torch.stack([radius, radius]), torch.stack([epsilon, epsilon])


def read(text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Positions, cell and elements of a crystal; None if its size, elements or sites will not do."""
    structure = gemmi.make_small_structure_from_block(gemmi.cif.read_string(text).sole_block())
    if len(structure.sites) > MOST:
        return None
    sites = structure.get_all_unit_cell_sites()
    symbols = ["H" if site.element.name == "D" else site.element.name for site in sites]
    if not FEWEST <= len(sites) <= MOST or "H" not in symbols or not set(symbols) <= set(ELEMENTS):
        return None
    positions = np.array([structure.cell.orthogonalize(site.fract).tolist() for site in sites])
    cell = np.array(structure.cell.orth.mat.tolist()).T
    near = neighbors(*(torch.from_numpy(x) for x in (positions, cell[None])), torch.tensor([0, len(sites)], dtype=torch.int32), NEAREST)
    return None if near.pair_index.shape[1] else (positions, cell, np.array([ELEMENTS.index(s) for s in symbols]))


def whole(positions: np.ndarray, cell: np.ndarray, elements: np.ndarray) -> tuple[np.ndarray, np.ndarray, csr_array] | None:
    """Positions with molecules whole, the molecule of each atom, and the bonds; None for a polymer."""
    n = len(positions)
    found = neighbors(torch.from_numpy(positions), torch.from_numpy(cell[None]), torch.tensor([0, n], dtype=torch.int32), 2.6)
    (i, j), shifts = found.pair_index.numpy(), found.cell_shifts.numpy()
    radii = np.array([COVALENT_RADII[s] for s in ELEMENTS])[elements]
    length = np.linalg.norm(positions[j] - positions[i] + shifts @ cell, axis=1)
    bonded = length < radii[i] + radii[j] + BOND_TOLERANCE
    i, j, shifts = i[bonded], j[bonded], shifts[bonded]
    step = {(a, b): s for a, b, s in zip(i.tolist(), j.tolist(), shifts, strict=True)}
    bonds = coo_array((np.ones(len(i)), (i, j)), shape=(n, n)).tocsr()
    n_molecules, molecule = connected_components(bonds, directed=False)
    moved = np.zeros((n, 3))
    for k in range(n_molecules):
        order, before = breadth_first_order(bonds, np.flatnonzero(molecule == k)[0])
        for atom in order[1:]:
            moved[atom] = moved[before[atom]] + step[before[atom], atom]
    if len(step) < len(i) or any((moved[b] - moved[a] != s).any() for (a, b), s in step.items()):
        return None
    return positions + moved @ cell, molecule, bonds


def specials(bonds: csr_array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Atoms one to three bonds apart: how many each atom has, which, and their factors."""
    one = bonds.astype(bool).astype(int)
    two, n = one @ one, bonds.shape[0]
    near, far = ((one + two).toarray() > 0) & ~np.eye(n, dtype=bool), (two @ one).toarray() > 0
    far &= ~near & ~np.eye(n, dtype=bool)
    atoms, others = np.nonzero(near | far)
    scale = np.where(near[atoms, others][:, None], [0.0, 0.0], [1.0, 0.75])
    return np.bincount(atoms, minlength=n), others, scale


def pack(crystals: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, csr_array]]) -> Molecules:
    """One batch of crystals: positions, cell, elements, molecules, bonds."""
    charges, molecule, counts, index, scale = [], [], [], [], []
    first = n_molecules = 0
    for positions, _, elements, of_molecule, bonds in crystals:
        q = np.array(CHARGES)[elements]
        charges.append(q - (np.bincount(of_molecule, q) / np.bincount(of_molecule))[of_molecule])
        molecule.append(of_molecule + n_molecules)
        n, others, factors = specials(bonds)
        counts.append(n)
        index.append(others + first)
        scale.append(factors)
        first, n_molecules = first + len(positions), n_molecules + of_molecule.max() + 1
    sizes = [len(x[0]) for x in crystals]
    radius, epsilon = tables()
    return Molecules(
        positions=torch.from_numpy(np.concatenate([x[0] for x in crystals])),
        cell=torch.from_numpy(np.stack([x[1] for x in crystals])),
        atom_ptr=torch.tensor(np.append(0, np.cumsum(sizes)), dtype=torch.int32),
        periodic=torch.ones(len(crystals), dtype=torch.bool),
        charges=torch.from_numpy(np.concatenate(charges)),
        types=torch.from_numpy(np.concatenate([x[2] for x in crystals])).int(),
        radius=radius,
        epsilon=epsilon,
        molecule=torch.from_numpy(np.concatenate(molecule)).int(),
        special_ptr=torch.tensor(np.append(0, np.cumsum(np.concatenate(counts))), dtype=torch.int32),
        special_index=torch.from_numpy(np.concatenate(index)).int(),
        special_scale=torch.from_numpy(np.concatenate(scale)),
    )


def synthetic(n_crystals: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, csr_array]]:
    """Spread atoms of no molecule, where the measured crystals are not at hand."""
    generator = torch.Generator().manual_seed(0)
    sizes = torch.randint(FEWEST, MOST, (n_crystals,), generator=generator)
    cells = (random_cells(sizes, generator) * 0.8).double()
    crystals = []
    for n, cell in zip(sizes.tolist(), cells, strict=True):
        positions = spread_atoms(n, generator).double() @ cell
        elements = torch.multinomial(torch.tensor([0.5, 0.35, 0.05, 0.1]), n, replacement=True, generator=generator)
        crystals.append((positions.numpy(), cell.numpy(), elements.numpy(), np.arange(n), csr_array((n, n))))
    return crystals


def molecules(n_crystals: int) -> tuple[str, Molecules]:
    """A name, and that many crystals spread over the open set; synthetic ones where it is not at hand."""
    if not OPEN_CRYSTALS.exists():
        batch = pack(synthetic(n_crystals))
        return f"{n_crystals} synthetic, {len(batch.positions)} atoms", batch
    crystals = []
    with zipfile.ZipFile(OPEN_CRYSTALS) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".cif"))
        for name in names[:: len(names) // (12 * n_crystals)]:
            crystal = read(archive.read(name).decode())
            made = crystal and whole(*crystal)
            if crystal and made:
                crystals.append((made[0], crystal[1], crystal[2], made[1], made[2]))
    crystals.sort(key=lambda x: len(x[0]))
    batch = pack([crystals[k * (len(crystals) - 1) // max(1, n_crystals - 1)] for k in range(n_crystals)])
    return f"{n_crystals} measured, {len(batch.positions)} atoms", batch
