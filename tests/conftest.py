"""Shared by all tests: one thread, a seed, NaN in unwritten memory, random crystals."""

import csv
import itertools
from pathlib import Path

import gemmi
import numpy as np
import pytest
import torch

from packflow.data.prepare import PrepareConfig, prepare
from packflow.ops import BondedTerms
from packflow.structure.bonds import TOLERANCE, radii_of
from packflow.structure.cif import blocks_of

CELL_KEYS = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Tests may share the machine: torch and, through it, our kernels use one thread."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def poison_empty(monkeypatch):
    """torch.empty returns NaN, True or the largest integer, so an element that a kernel forgets to write shows up."""

    def poisoned(make):
        def wrapper(*args, **kwargs):
            out = make(*args, **kwargs)
            if out.requires_grad:
                return out
            if out.is_floating_point() or out.is_complex():
                return out.fill_(float("nan"))
            return out.fill_(True if out.dtype == torch.bool else torch.iinfo(out.dtype).max)

        return wrapper

    monkeypatch.setattr(torch, "empty", poisoned(torch.empty))
    monkeypatch.setattr(torch, "empty_like", poisoned(torch.empty_like))


@pytest.fixture
def generator():
    """A seeded source of random numbers."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def random_crystals():
    """A function that makes positions, cell, atom_ptr and radii of crystals with the given numbers of atoms.

    Atoms lie anywhere within three cells of the origin; cells are skewed by `skew` times their length.
    """

    def make(sizes, seed=0, dtype=torch.float64, volume_per_atom=18.0, skew=0.25):
        generator = torch.Generator().manual_seed(seed)
        counts = torch.tensor(sizes)
        length = (volume_per_atom * counts.clamp(min=1)) ** (1 / 3)
        shape = torch.eye(3) + skew * torch.randn(len(sizes), 3, 3, generator=generator)
        cell = (shape * length[:, None, None]).to(dtype)
        fractional = 6 * torch.rand(int(counts.sum()), 3, generator=generator, dtype=dtype) - 3
        positions = torch.einsum("ni,nij->nj", fractional, cell.repeat_interleave(counts, dim=0))
        atom_ptr = torch.tensor([0, *counts.cumsum(0).tolist()], dtype=torch.int32)
        radii = torch.tensor([0.31, 0.76, 0.71, 0.66, 1.05], dtype=dtype)
        return positions, cell, atom_ptr, radii[torch.randint(len(radii), (len(positions),), generator=generator)]

    return make


@pytest.fixture(scope="session")
def molecular_batch():
    """A function that makes the arguments of `nonbonded`, by name, for structures of chain molecules that do not overlap.

    Each structure has `n_molecules` chains of `length` atoms, neutral together; the second neighbours along a chain do not interact, the
    third are scaled. `in_vacuum` are structures that are not periodic.
    """
    steps = torch.tensor(list(itertools.product(range(-2, 3), repeat=3)), dtype=torch.float64)

    def place(chain, cell, taken, random):
        """The chain somewhere in the cell at least 2 Å from all images of what is taken, and its own images; None if it did not fit."""
        for _ in range(200):
            rotation = torch.linalg.qr(torch.randn(3, 3, generator=random, dtype=torch.float64)).Q
            moved = chain @ rotation + torch.rand(3, generator=random, dtype=torch.float64) @ cell
            others = torch.cat(
                [(taken[:, None] + steps @ cell).reshape(-1, 3), (moved[:, None] + steps[steps.any(1)] @ cell).reshape(-1, 3)]
            )
            if float(torch.cdist(moved, others).min()) > 2.0:
                return moved
        return None

    def structure(n_molecules, length, random, volume_per_atom):
        while True:
            edge = (volume_per_atom * max(1, n_molecules * length)) ** (1 / 3)
            cell = edge * (torch.eye(3, dtype=torch.float64) + 0.25 * torch.randn(3, 3, generator=random, dtype=torch.float64))
            chain = torch.tensor([[0.0, 0.6, 0.0], [0.0, -0.6, 0.3]], dtype=torch.float64)[torch.arange(length) % 2]
            chain = chain + 1.1 * torch.arange(length)[:, None] * torch.tensor([1.0, 0.0, 0.1], dtype=torch.float64)
            taken = torch.zeros(0, 3, dtype=torch.float64)
            for _ in range(n_molecules):
                moved = place(chain, cell, taken, random)
                taken = taken if moved is None else torch.cat([taken, moved])
            if len(taken) == n_molecules * length:
                return taken, cell
            volume_per_atom *= 1.1

    def make(shapes, seed=0, in_vacuum=(), volume_per_atom=18.0, n_types=4):
        random = torch.Generator().manual_seed(seed)
        made = [structure(*shape, random, volume_per_atom) for shape in shapes]
        ends = list(itertools.accumulate([n * length for n, length in shapes], initial=0))
        lengths = [length for n, length in shapes for _ in range(n)]
        molecule = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths, dtype=torch.int64))
        n_atoms = len(molecule)
        charges = 0.3 * torch.randn(n_atoms, generator=random, dtype=torch.float64)
        for first, last in itertools.pairwise(ends):
            charges[first:last] -= charges[first:last].mean()
        index, scale, pointers = [], [], [0]
        for i in range(n_atoms):
            for j in range(max(0, i - 3), min(n_atoms, i + 4)):
                if j != i and molecule[i] == molecule[j]:
                    index.append(j)
                    scale.append([0.0, 0.0] if abs(i - j) < 3 else [1.0, 0.75])
            pointers.append(len(index))
        radius = 3.0 + torch.rand(2, n_types, n_types, generator=random, dtype=torch.float64)
        epsilon = 0.001 + 0.004 * torch.rand(2, n_types, n_types, generator=random, dtype=torch.float64)
        return {
            "positions": torch.cat([torch.zeros(0, 3, dtype=torch.float64), *(x for x, _ in made)]),
            "cell": torch.stack([cell for _, cell in made]) if made else torch.zeros(0, 3, 3, dtype=torch.float64),
            "atom_ptr": torch.tensor(ends, dtype=torch.int32),
            "periodic": torch.tensor([s not in in_vacuum for s in range(len(shapes))], dtype=torch.bool),
            "charges": charges,
            "types": torch.randint(n_types, (n_atoms,), generator=random).int(),
            "radius": (radius + radius.mT) / 2,
            "epsilon": (epsilon + epsilon.mT) / 2,
            "molecule": molecule.int(),
            "special_ptr": torch.tensor(pointers, dtype=torch.int32),
            "special_index": torch.tensor(index, dtype=torch.int32),
            "special_scale": torch.tensor(scale, dtype=torch.float64).reshape(-1, 2),
        }

    return make


@pytest.fixture(scope="session")
def cif_folder():
    """A few small open crystals from the Crystallography Open Database; see tests/data/regenerate.py."""
    return Path(__file__).parent / "data" / "cif"


@pytest.fixture(scope="session")
def mmcif_of():
    """A function that writes the structure of a CIF file as the released code's mmCIF: listed atoms, operations, bonds, a SMILES."""

    steps = np.array(list(itertools.product(range(-2, 3), repeat=3)))

    def bond_rows(structure):
        sites = list(structure.sites)
        to_cartesian = np.array(structure.cell.orth.mat.tolist())
        radii = radii_of(np.array([site.element.atomic_number for site in sites]))
        rows = []
        for i, j in itertools.combinations_with_replacement(range(len(sites)), 2):
            if sites[i].element.atomic_number == sites[j].element.atomic_number == 1:
                continue
            for n, op in enumerate(structure.symops, 1):
                moved = np.array(gemmi.Op(op).apply_to_xyz(sites[j].fract.tolist())) + steps
                lengths = np.linalg.norm((moved - sites[i].fract.tolist()) @ to_cartesian.T, axis=1)
                near = steps[(lengths > 0.5) & (lengths < radii[i] + radii[j] + TOLERANCE)]
                rows += [(sites[i].label, sites[j].label, f"{n}_{''.join(str(5 + x) for x in step)}") for step in near]
        return rows

    def write(path, smiles=None, bonds=True):
        structure = gemmi.make_small_structure_from_block(blocks_of(path.read_text())[0])
        lines = [f"data_{path.stem}", *([f"_chemical_identifier_smiles '{smiles}'"] if smiles else [])]
        lines += [f"_cell.{key} {value}" for key, value in zip(CELL_KEYS, structure.cell.parameters, strict=True)]
        lines += ["loop_", "_pdbx_struct_oper_list.id", "_pdbx_struct_oper_list.symmetry_operation"]
        lines += [f"{n} {op.replace(' ', '')}" for n, op in enumerate(structure.symops, 1)]
        lines += ["loop_", *(f"_atom_site.{key}" for key in ("id", "type_symbol", "label_atom_id", "fract_x", "fract_y", "fract_z"))]
        lines += [
            f"{n} {site.element.name} {site.label} {' '.join(f'{x:.6f}' for x in site.fract.tolist())}"
            for n, site in enumerate(structure.sites, 1)
        ]
        rows = bond_rows(structure) if bonds else []
        columns = ("id", "conn_type_id", "ptnr1_label_atom_id", "ptnr2_label_atom_id", "ptnr1_symmetry", "ptnr2_symmetry")
        lines += ["loop_", *(f"_struct_conn.{key}" for key in columns)] if rows else []
        lines += [f"{n} covale {one} {other} 1_555 {code}" for n, (one, other, code) in enumerate(rows, 1)]
        return "\n".join(lines) + "\n"

    return write


@pytest.fixture(scope="session")
def smiles_of(cif_folder):
    """SMILES of the test crystals by COD number."""
    with (cif_folder / "table.csv").open(newline="") as lines:
        return {row["file"].removesuffix(".cif"): row["smiles"] for row in csv.DictReader(lines)}


@pytest.fixture(scope="session")
def dataset_folder(cif_folder, tmp_path_factory):
    """A dataset of the test crystals."""
    out = tmp_path_factory.mktemp("dataset") / "crystals"
    prepare(cif_folder, out, PrepareConfig(fractions=(0.6, 0.2, 0.2)), cif_folder / "table.csv", n_jobs=1, progress=False)
    return out


@pytest.fixture(scope="session")
def random_bonded():
    """A function that makes positions, atom_ptr and bonded terms of structures of the given sizes, of all kinds, at random.

    Structures of fewer than four atoms have no terms. Atoms of a term are different ones, about 1.5 Å apart.
    """

    def make(sizes, terms_per_atom=3, seed=0):
        generator = torch.Generator().manual_seed(seed)

        def between(low, high, *shape):
            return low + (high - low) * torch.rand(*shape, generator=generator, dtype=torch.float64)

        counts = torch.tensor(sizes, dtype=torch.int64)
        positions = between(-1, 1, int(counts.sum()), 3) * counts.double().clamp(min=1).repeat_interleave(counts)[:, None] ** (1 / 3)
        atom_ptr = torch.tensor([0, *counts.cumsum(0).tolist()], dtype=torch.int32)
        n_terms = torch.where(counts >= 4, terms_per_atom * counts, 0)
        first, size = (x.repeat_interleave(n_terms) for x in (atom_ptr[:-1].long(), counts))
        atoms = torch.stack([torch.randperm(int(n), generator=generator)[:4] for n in size]) if len(size) else torch.zeros(0, 4).long()
        kind = torch.randint(6, (len(size),), generator=generator, dtype=torch.uint8)
        by_kind = [  # strengths in eV; lengths, angles or multiplicity and sign
            [(1, 30), (1, 2), (0, 0), (0, 0), (0, 0)],
            [(1, 5), (90, 130), (0, 0), (0, 0), (0, 0)],
            [(1, 5), (1, 1), (-1, -1), (0, 0), (0, 0)],
            [(-1, 1), (-1, 1), (1, 2), (1, 2), (90, 130)],
            [(0.1, 1), (0, 0), (0, 0), (0, 0), (0, 0)],
            [(-0.2, 0.2), (-0.2, 0.2), (-0.2, 0.2), (0, 0), (0, 0)],
        ]
        ranges = torch.tensor(by_kind, dtype=torch.float64)[kind.long()]
        parameters = ranges[..., 0] + (ranges[..., 1] - ranges[..., 0]) * between(0, 1, len(size), 5)
        square = (kind == 2).nonzero()[::2, 0]
        parameters[square, 1:3] = torch.tensor([4.0, 1.0], dtype=torch.float64)
        term_ptr = torch.tensor([0, *n_terms.cumsum(0).tolist()], dtype=torch.int32)
        return positions, atom_ptr, BondedTerms(kind, (first[:, None] + atoms).int(), parameters, term_ptr)

    return make
