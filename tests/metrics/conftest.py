"""Structures that metrics are tested on: made by hand, measured, and the same crystal written in other ways."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from packflow.structure import AtomsBatch
from packflow.structure.cif import read_cif
from packflow.structure.recognize import recognize

PARITY = Path(__file__).parents[3] / "shared" / "parity" / "metrics_own.json"
# dimethyl sulfoxide, urea, a triazine, benzene, a bromoisoxazole
MEASURED = ("2242302", "2019369", "2012828", "4501703", "7221763")


@pytest.fixture(scope="session")
def structure():
    """A function that makes a batch of one structure; `bonds` are pairs, each once, None where unknown."""

    def make(atomic_numbers, positions, cell, bonds=None, dtype=torch.float64):
        n = len(atomic_numbers)
        pairs = torch.tensor(bonds or [], dtype=torch.int64).reshape(-1, 2)
        return AtomsBatch(
            atomic_numbers=torch.tensor(atomic_numbers, dtype=torch.int64),
            positions=torch.as_tensor(positions, dtype=dtype).reshape(n, 3),
            cell=torch.as_tensor(cell, dtype=dtype).reshape(1, 3, 3),
            atom_ptr=torch.tensor([0, n], dtype=torch.int32),
            bond_index=torch.cat([pairs, pairs.flip(1)]).T.contiguous(),
            has_bonds=torch.tensor([bonds is not None]),
            n_hydrogens=torch.zeros(n, dtype=torch.int64),
        )

    return make


@pytest.fixture(scope="session")
def crystals(cif_folder, smiles_of):
    """Measured crystals, molecules whole."""
    return [recognize(read_cif(cif_folder / f"{cod}.cif")[0], smiles_of[cod]) for cod in MEASURED]


@pytest.fixture(scope="session")
def measured(crystals):
    """The same as one batch."""
    return AtomsBatch.from_crystals(crystals)


@pytest.fixture(scope="session")
def noisy(measured):
    """The measured crystals with atoms 0.2 Å off and cells strained by 2 %."""
    generator = torch.Generator().manual_seed(1)
    strain = torch.eye(3) + 0.02 * torch.randn(len(measured), 3, 3, generator=generator, dtype=torch.float64)
    positions = torch.einsum("ni,nij->nj", measured.positions, strain[measured.structure_index])
    noise = 0.2 * torch.randn(positions.shape, generator=generator, dtype=torch.float64)
    return replace(measured, positions=positions + noise, cell=measured.cell @ strain)


def _rotated(atoms):
    q, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64))
    return replace(atoms, positions=atoms.positions @ q + torch.tensor([3.0, -40.0, 0.7], dtype=torch.float64), cell=atoms.cell @ q)


def _rewrapped(atoms):
    shift = torch.randint(-1, 2, atoms.positions.shape, generator=torch.Generator().manual_seed(3)).double()
    return replace(atoms, positions=atoms.positions + torch.einsum("nk,nkl->nl", shift, atoms.cell[atoms.structure_index]))


def _other_basis(atoms):
    basis = torch.tensor([[1, 1, 0], [0, 1, 2], [0, 0, -1]], dtype=torch.float64)
    return replace(atoms, cell=basis @ atoms.cell)


def _supercell(atoms):
    doubled = []
    for s in range(len(atoms)):
        one = atoms.select(torch.tensor([s]))
        copy = replace(one, positions=one.positions + one.cell[0, 1])
        both = AtomsBatch.join([one, copy])
        cell = one.cell * torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64)[:, None]
        doubled.append(replace(both, cell=cell, atom_ptr=both.atom_ptr[[0, 2]], has_bonds=one.has_bonds))
    return AtomsBatch.join(doubled)


def _reordered(atoms):
    generator = torch.Generator().manual_seed(4)
    key = atoms.structure_index + torch.rand(len(atoms.positions), generator=generator, dtype=torch.float64)
    order = key.argsort()
    place = order.argsort()
    moved = {name: getattr(atoms, name)[order] for name in ("atomic_numbers", "positions", "n_hydrogens")}
    return replace(atoms, bond_index=place[atoms.bond_index].flip(1), **moved)


@pytest.fixture(params=[_rotated, _rewrapped, _other_basis, _supercell, _reordered], ids=lambda f: f.__name__[1:])
def rewritten(request):
    """A function that writes the same structures in another way: frame, images of the atoms, cell, number of cells, order of atoms."""
    return request.param


@pytest.fixture(scope="session")
def released():
    """Inputs and numbers of the released code."""
    if not PARITY.exists():
        pytest.skip("the released code's numbers (../shared/parity) are not here")
    return json.loads(PARITY.read_text())["cases"]
