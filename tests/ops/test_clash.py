"""vesin -> reference -> every instruction set of the CPU kernel -> CUDA."""

import importlib
import itertools
import math

import gemmi
import numpy as np
import pytest
import torch
import vesin
from hypothesis import given, settings
from hypothesis import strategies as st

from packflow import _C
from packflow.ops import clash, reference
from packflow.ops._crystals import Crystals

DTYPES = [torch.float32, torch.float64]
SCALES = [0.75, 1.0, 1.3]  # few, some and most atoms are flagged


def launch(positions, cell, atom_ptr, radii, scale, instruction_set):
    """The kernel of one instruction set."""
    kernel = importlib.import_module("packflow.ops.clash")._launch
    return kernel(Crystals.of(positions, cell, atom_ptr), radii, scale, instruction_set)


def vesin_clash(positions, cell, atom_ptr, radii, scale):
    """What `clash` should return, from an independent neighbor list."""
    in_clash = np.zeros(len(positions), dtype=bool)
    positions, cell, radii = (x.double().numpy() for x in (positions, cell, radii))
    pointers = atom_ptr.tolist()
    for crystal, (first, last) in enumerate(itertools.pairwise(pointers)):
        if first == last:
            continue
        r = radii[first:last]
        neighbors = vesin.NeighborList(cutoff=2 * scale * r.max() + 0.01, full_list=True)
        i, j, distance = neighbors.compute(positions[first:last], cell[crystal], True, "ijd")
        in_clash[first + i[distance < scale * (r[i] + r[j])]] = True
    return torch.from_numpy(in_clash)


def cell_of(a, b, c, alpha, beta, gamma):
    return torch.tensor(gemmi.UnitCell(a, b, c, alpha, beta, gamma).orth.mat.tolist(), dtype=torch.float64).T


def crystal(cell, positions, radius=0.76):
    """A batch of one crystal of equal atoms."""
    positions = torch.as_tensor(positions, dtype=torch.float64).reshape(-1, 3)
    cell = torch.as_tensor(cell, dtype=torch.float64)
    radii = torch.full((len(positions),), radius, dtype=torch.float64)
    return positions, cell[None], torch.tensor([0, len(positions)], dtype=torch.int32), radii


CUBE = 10 * torch.eye(3)
# Name: batch, flags at scale 0.75 (cutoff of two atoms 1.14 Å).
NAMED = {
    "one atom, large cell": (crystal(CUBE, [1, 2, 3]), [0]),
    "one atom, clashes with its own image": (crystal(torch.diag(torch.tensor([1.0, 9.0, 9.0])), [1, 2, 3]), [1]),
    "one atom, thin cell whose images slide past each other": (crystal([[1.0, 0, 0], [0.5, 0.5, 0], [0, 0, 9]], [0, 0, 0]), [1]),
    "one atom, image at 1.2 Å": (crystal(torch.diag(torch.tensor([1.2, 9.0, 9.0])), [1, 2, 3]), [0]),
    "two coincident atoms": (crystal(CUBE, [[1, 2, 3], [1, 2, 3]]), [1, 1]),
    "coincident but for a lattice vector": (crystal(CUBE, [[1, 2, 3], [-9, 12, 33]]), [1, 1]),
    "across one face": (crystal(CUBE, [[0.1, 5, 5], [9.5, 5, 5]]), [1, 1]),
    "across a corner, third atom apart": (crystal(CUBE, [[0.2, 0.2, 0.2], [5, 5, 5], [9.9, 9.9, 9.9]]), [1, 0, 1]),
    "far outside the cell": (crystal(CUBE, [[1e5 + 1, 2, 3], [1.5, 2, -2e5 + 3], [5, 5, 5]]), [1, 1, 0]),
    "exactly at the cutoff": (crystal(8 * torch.eye(3), [[1, 1, 1], [2.5, 1, 1]], radius=1.0), [0, 0]),
    "just inside the cutoff": (crystal(8 * torch.eye(3), [[1, 1, 1], [2.5 - 1e-6, 1, 1]], radius=1.0), [1, 1]),
    "angles of 30 degrees": (crystal(cell_of(9, 9, 9, 30, 30, 30), [[0, 0, 0], [0.5, 0.2, 0.1], [6, 4, 2]]), [1, 1, 0]),
    "angle of 150 degrees": (crystal(cell_of(9, 12, 9, 90, 150, 90), [[0, 0, 0], [-7.0, 12, 4.5]]), [1, 1]),
    "left-handed": (crystal(torch.diag(torch.tensor([10.0, 10, -10])), [[0, 0, 0.4], [0, 0, -0.5]]), [1, 1]),
    "radii of zero": (crystal(CUBE, [[1, 2, 3], [1, 2, 3]], radius=0.0), [0, 0]),
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", NAMED)
def test_named_case(name, dtype, as_dtype):
    batch, expected = NAMED[name]
    batch = as_dtype(batch, dtype)
    expected = torch.tensor(expected, dtype=torch.bool)
    assert torch.equal(reference.clash(*batch), expected)
    if name != "exactly at the cutoff":
        assert torch.equal(vesin_clash(*batch, 0.75), expected)
    for instruction_set in _C.instruction_sets():
        assert torch.equal(launch(*batch, 0.75, instruction_set), expected), instruction_set


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_named_cases_in_one_batch(dtype, join, as_dtype):
    batch = as_dtype(join(*(batch for batch, _ in NAMED.values())), dtype)
    expected = torch.tensor([flag for _, flags in NAMED.values() for flag in flags], dtype=torch.bool)
    assert torch.equal(clash(*batch), expected)


# Around the steps of 16 atoms, and where cells are so large that slabs are many.
SIZES = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 300]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("instruction_set", ["baseline", "avx2", "avx512"])
def test_sizes(random_crystals, instruction_set, dtype, scale):
    if instruction_set not in _C.instruction_sets():
        pytest.skip(f"this machine cannot run {instruction_set}")
    batch = random_crystals(SIZES, dtype=dtype)
    flags = launch(*batch, scale, instruction_set)
    assert 0.1 < flags.double().mean() < 0.98
    assert torch.equal(flags, reference.clash(*batch, scale))
    assert torch.equal(flags, vesin_clash(*batch, scale))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_large_crystals(random_crystals, dtype):
    """More than 4,096 atoms: a grid instead of slabs."""
    batch = random_crystals([4400, 40, 4097], dtype=dtype)
    for scale in SCALES:
        expected = vesin_clash(*batch, scale)
        assert 0.1 < expected.double().mean() < 0.98
        for instruction_set in _C.instruction_sets():
            assert torch.equal(launch(*batch, scale, instruction_set), expected)


def test_radii_of_zero_in_a_large_crystal(random_crystals):
    """A grid for a cutoff of nothing."""
    positions, cell, atom_ptr, radii = random_crystals([6000])
    assert not clash(positions, cell, atom_ptr, torch.zeros_like(radii)).any()


@pytest.mark.parametrize("volume_per_atom", [0.3, 2.0, 5.0])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_cells_smaller_than_the_cutoff(random_crystals, dtype, volume_per_atom):
    positions, cell, atom_ptr, radii = random_crystals([1, 1, 1, 2, 2, 3, 5, 8], dtype=dtype, volume_per_atom=volume_per_atom)
    radii = radii * 0.6  # else every atom is flagged
    flags = [launch(positions, cell, atom_ptr, radii, 0.75, s) for s in _C.instruction_sets()]
    expected = vesin_clash(positions, cell, atom_ptr, radii, 0.75)
    assert torch.equal(reference.clash(positions, cell, atom_ptr, radii), expected)
    assert all(torch.equal(f, expected) for f in flags)


def test_some_tiny_cells_are_free_of_clashes(random_crystals):
    """The test above would be empty if every flag were set."""
    positions, cell, atom_ptr, radii = random_crystals([1] * 20, volume_per_atom=0.3)
    flags = clash(positions, cell, atom_ptr, radii * 0.6)
    assert 0 < flags.sum() < 20


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    lengths=st.tuples(*[st.floats(0.7, 15)] * 3),
    angles=st.tuples(*[st.floats(25, 155)] * 3),
    n_atoms=st.integers(1, 40),
    scale=st.sampled_from(SCALES),
    seed=st.integers(0, 2**32 - 1),
)
def test_random_cells_against_vesin(lengths, angles, n_atoms, scale, seed, as_dtype):
    cosines = [math.cos(math.radians(x)) for x in angles]
    volume2 = 1 + 2 * math.prod(cosines) - sum(c * c for c in cosines)
    if volume2 < 0.003:
        return  # these angles close no cell, or nearly none
    rng = np.random.default_rng(seed)
    cell = cell_of(*lengths, *angles)
    positions = torch.from_numpy(rng.uniform(-2, 3, (n_atoms, 3))) @ cell
    radii = torch.from_numpy(rng.choice([0.31, 0.76, 1.39], n_atoms))
    batch = positions, cell[None], torch.tensor([0, n_atoms], dtype=torch.int32), radii
    expected = vesin_clash(*batch, scale)
    for instruction_set in _C.instruction_sets():
        assert torch.equal(launch(*batch, scale, instruction_set), expected)
    single = as_dtype(batch, torch.float32)
    assert torch.equal(clash(*single, scale), vesin_clash(*single, scale))


def test_ragged_batch_with_empty_crystals(random_crystals):
    batch = random_crystals([0, 5, 0, 0, 60, 1, 0])
    positions, cell, atom_ptr, radii = batch
    parts = []
    for c, (first, last) in enumerate(itertools.pairwise(atom_ptr.tolist())):
        alone = torch.tensor([0, last - first], dtype=torch.int32)
        parts.append(clash(positions[first:last], cell[c : c + 1], alone, radii[first:last]))
    assert torch.equal(clash(*batch), torch.cat(parts))
    assert torch.equal(clash(*batch), vesin_clash(*batch, 0.75))


def test_a_hair_within_and_beyond_the_cutoff(join):
    """The float filter must let every pair through that double then decides; 1e-11 Å is far below a float's resolution."""
    rng = np.random.default_rng(0)
    batches, expected = [], []
    for k in range(600):
        cell = torch.from_numpy(30 * np.eye(3) + 6 * rng.normal(size=(3, 3)))
        inside = k % 2 == 0
        direction = rng.normal(size=3)
        step = (1.14 - 1e-11 if inside else 1.14 + 1e-11) * direction / np.linalg.norm(direction)
        first = rng.uniform(0, 1, 3) @ cell.numpy()
        images = rng.integers(-1, 2, 3) @ cell.numpy()
        batches.append(crystal(cell, np.stack([first, first + step + images])))
        expected += [inside, inside]
    batch = join(*batches)
    for instruction_set in _C.instruction_sets():
        assert launch(*batch, 0.75, instruction_set).tolist() == expected


def test_no_crystals_and_no_atoms():
    nothing = torch.zeros(0, 3), torch.zeros(0, 3, 3), torch.zeros(1, dtype=torch.int32), torch.zeros(0)
    assert clash(*nothing).shape == (0,)
    assert clash(torch.zeros(0, 3), torch.eye(3)[None], torch.zeros(2, dtype=torch.int32), torch.zeros(0)).dtype == torch.bool


def test_motions_change_nothing(random_crystals):
    positions, cell, atom_ptr, radii = random_crystals([20, 60, 130])
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)).Q
    owner = torch.repeat_interleave(torch.arange(3), atom_ptr.diff())
    images = torch.randint(-4, 5, (len(positions), 3), generator=torch.Generator().manual_seed(2)).double()
    unimodular = torch.tensor([[1.0, 2, 0], [0, 1, -1], [0, 0, 1]], dtype=torch.float64)
    moved = {
        "rotated": (positions @ rotation, cell @ rotation),
        "inverted": (-positions, -cell),
        "mirrored positions and cell": (positions * torch.tensor([1, 1, -1]), cell * torch.tensor([1, 1, -1])),
        "translated": (positions + torch.tensor([3.3, -20.1, 7.7]), cell),
        "other images": (positions + torch.einsum("ni,nij->nj", images, cell[owner]), cell),
        "other cell of the same lattice": (positions, unimodular @ cell),
    }
    for scale in SCALES:
        expected = clash(positions, cell, atom_ptr, radii, scale)
        for name, (r, c) in moved.items():
            assert torch.equal(clash(r, c, atom_ptr, radii, scale), expected), name


def test_thread_counts(random_crystals):
    batch = random_crystals([37] * 25 + [5] * 12)
    expected = clash(*batch)
    for n_threads in (2, 3, 64):
        torch.set_num_threads(n_threads)
        try:
            assert torch.equal(clash(*batch), expected)
        finally:
            torch.set_num_threads(1)


def test_arguments_need_not_be_contiguous(random_crystals):
    positions, cell, atom_ptr, radii = random_crystals([30, 20])
    strided = positions.T.contiguous().T, cell.mT.contiguous().mT, atom_ptr.repeat_interleave(2)[::2], radii.repeat_interleave(2)[::2]
    assert not any(x.is_contiguous() for x in strided)
    assert torch.equal(clash(*strided), clash(positions, cell, atom_ptr, radii))


@pytest.mark.parametrize("scale", SCALES)
def test_measured_crystals(measured_crystals, join, scale):
    batch = join(*measured_crystals[::2])
    expected = vesin_clash(*batch, scale)
    assert len(expected) > 10_000
    assert {0.75: 0.0, 1.0: 0.01, 1.3: 0.9}[scale] <= expected.double().mean() <= 1
    for instruction_set in _C.instruction_sets():
        assert torch.equal(launch(*batch, scale, instruction_set), expected)


@pytest.mark.gpu
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_cuda_equals_cpu(random_crystals, dtype, scale, join, as_dtype):
    tiny = random_crystals([1, 2, 5], dtype=dtype, volume_per_atom=1.0)
    batch = join(random_crystals([*SIZES, 0, 500], dtype=dtype), tiny, *(as_dtype(b, dtype) for b, _ in NAMED.values()))
    on_gpu = clash(*(x.cuda() for x in batch), scale)
    assert on_gpu.is_cuda
    assert torch.equal(on_gpu.cpu(), clash(*batch, scale))
