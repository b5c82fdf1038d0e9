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
