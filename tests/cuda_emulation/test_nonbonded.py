"""The CUDA kernels of nonbonded and ewald, run on the CPU, against the CPU kernels."""

import numpy as np
import pytest
import torch

from packflow.ops import ewald, neighbors, nonbonded
from packflow.ops.ewald import COULOMB, n_waves, split_of, wave_box
from packflow.ops.nonbonded import BUFFER, OVERLAP, SUMS_OF_ATOM, _near
from packflow.ops.nonbonded_pairs import PackedPairs, _packed, find_pairs

CUTOFF = 7.0
# Other orders of additions.
ROUNDING = {"rtol": 1e-10, "atol": 1e-10}


@pytest.fixture
def batch(molecular_batch):
    """Sizes around a warp, cells smaller than the cutoff, vacuum, and a structure without atoms."""
    shapes = [(2, 5), (1, 33), (0, 1), (1, 1), (1, 31), (4, 8), (1, 2)]
    return molecular_batch(shapes, in_vacuum=(1, 6))


def empty_results(batch):
    n_structures, n_atoms = len(batch["cell"]), len(batch["positions"])
    nan = {"fill_value": np.nan, "dtype": np.float64}
    return {
        "energy": np.full((n_structures, 2), **nan),
        "forces": np.full((n_atoms, 3), **nan),
        "strain": np.full((n_structures, 3, 3), **nan),
        "problem": np.zeros(n_structures, dtype=np.uint8),
    }


@pytest.fixture
def emulated(run_arguments):
    """Energy, forces, strain and problem of the emulated `nonbonded` for each order of the threads."""

    def emulated(batch, **options):
        alpha, _ = split_of(CUTOFF)
        rows = batch["periodic"].repeat_interleave(batch["atom_ptr"].diff())
        pairs = neighbors_of(batch)
        counts = {"n_structures": len(batch["cell"]), "n_atoms": len(rows), "n_types": batch["radius"].shape[1]}
        numbers = {"cutoff": np.float64(CUTOFF), "alpha": np.float64(alpha), "coulomb": np.float64(COULOMB)}
        arguments = {f"input.{name}": x for name, x in (batch | counts | numbers).items()}
        arguments |= {"pairs.pair_ptr": pairs.pair_ptr, "pairs.atom": pairs.atom, "pairs.shift": pairs.shift}
        arguments |= {f"output.{name}": x for name, x in empty_results(batch).items()}
        arguments["of_atoms"] = np.full((len(rows), SUMS_OF_ATOM), np.nan)
        results = run_arguments("nonbonded", torch.float64, arguments, **options)
        return [[result[f"output.{name}"] for name in ("energy", "forces", "strain", "problem")] for result in results]

    return emulated


def neighbors_of(batch):
    """The full list, which the GPU wants, up to beyond the cutoff; nothing in vacuum."""
    frame = batch["positions"], batch["cell"], batch["atom_ptr"]
    full = neighbors(*frame, CUTOFF + 0.5)
    periodic = batch["periodic"].repeat_interleave(batch["atom_ptr"].diff())
    kept = periodic[full.pair_index[0]]
    counts = torch.bincount(full.pair_index[0][kept], minlength=len(periodic))
    pair_ptr = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    return PackedPairs(pair_ptr, full.pair_index[1, kept].int(), _packed(full.cell_shifts[kept]))


def on_cpu(batch):
    """The same of the CPU kernel."""
    problem = torch.zeros(len(batch["cell"]), dtype=torch.uint8)
    frame = [batch[k] for k in ("positions", "cell", "atom_ptr", "periodic")]
    near = _near(tuple(batch.values()), CUTOFF, split_of(CUTOFF)[0], find_pairs(*frame, CUTOFF), problem, "")
    return [*near, problem]


@pytest.mark.parametrize("sanitize", [False, True], ids=["all orders", "under sanitizers"])
def test_nonbonded_equals_the_cpu_kernel(emulated, batch, sanitize):
    expected = on_cpu(batch)
    assert not expected[-1].any()
    first = None
    for got in emulated(batch, sanitize=sanitize):
        for one, other in zip(got, expected, strict=True):
            torch.testing.assert_close(one, other, **ROUNDING)
        # No order of threads changes a bit.
        first = first or got
        assert all(torch.equal(one, other) for one, other in zip(got, first, strict=True))


def test_overlap_is_marked(emulated, batch):
    batch["positions"][5] = batch["positions"][0] + 0.1
    for got in emulated(batch):
        assert got[-1].tolist() == [OVERLAP, *6 * [0]]
    assert nonbonded(**batch, cutoff=CUTOFF).problem.tolist() == [OVERLAP, *6 * [0]]


def test_a_forgotten_special_pair_is_found(emulated, batch):
    change = ("nonbonded.cu", "(same && is_special(in, i, int32_t(j)))", "false")
    expected = on_cpu(batch)[0]
    assert not any(torch.allclose(got[0], expected) for got in emulated(batch, change=change))


@pytest.fixture
def emulated_ewald(run_arguments):
    """Energy, forces and strain of the emulated `ewald` for each order of the threads."""

    def emulated_ewald(batch, alpha, k_cutoff, **options):
        box = wave_box(batch["cell"], k_cutoff)
        counts = torch.where(batch["periodic"], n_waves(box), 0)
        wave_ptr = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
        names = ("positions", "cell", "atom_ptr", "periodic", "charges")
        arguments = {f"input.{name}": batch[name] for name in names}
        arguments |= {"input.n_crystals": len(batch["cell"]), "input.n_atoms": len(batch["positions"])}
        numbers = {"alpha": alpha, "k_cutoff": k_cutoff, "coulomb": COULOMB, "buffer": BUFFER}
        arguments |= {f"input.{name}": np.float64(x) for name, x in numbers.items()}
        out = empty_results(batch)
        arguments |= {"output.energy": out["energy"][:, 0].copy(), "output.forces": out["forces"], "output.strain": out["strain"]}
        n_all = int(wave_ptr[-1])
        arguments |= {"waves.box": box.int(), "waves.wave_ptr": wave_ptr, "waves.structure": np.full((n_all, 3), np.nan)}
        arguments |= {"waves.n_waves": n_all}
        results = run_arguments("ewald", torch.float64, arguments, **options)
        return [[result[f"output.{name}"] for name in ("energy", "forces", "strain")] for result in results]

    return emulated_ewald


@pytest.mark.parametrize("sanitize", [False, True], ids=["all orders", "under sanitizers"])
def test_ewald_equals_the_cpu_kernel(emulated_ewald, batch, sanitize):
    alpha, k_cutoff = 0.3, 2.2
    arguments = [batch[name] for name in ("positions", "cell", "atom_ptr", "charges")]
    expected = ewald(*arguments, alpha, k_cutoff, batch["periodic"], BUFFER)
    for energy, forces, strain in emulated_ewald(batch, alpha, k_cutoff, sanitize=sanitize):
        torch.testing.assert_close(energy, expected.energy, **ROUNDING)
        torch.testing.assert_close(forces, expected.forces, **ROUNDING)
        torch.testing.assert_close(strain, expected.strain, **ROUNDING)


def test_nothing_to_do(emulated, emulated_ewald, molecular_batch):
    for shapes in ([], [(0, 1)]):
        batch = molecular_batch(shapes)
        for energy, forces, *_ in emulated(batch) + emulated_ewald(batch, 0.3, 2.0):
            assert energy.shape[0] == len(shapes)
            assert not energy.any()
            assert forces.shape == (0, 3)
