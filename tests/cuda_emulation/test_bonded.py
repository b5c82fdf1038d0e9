"""The CUDA kernel of bonded, run on the CPU, against the CPU kernel: the same bits, since both use one mathematical library here."""

import pytest
import torch

from packflow.ops import bonded

# None, too few, around the threads of a block, several rounds of them.
SIZES = [0, 1, 4, 21, 22, 63, 64, 65, 3, 130, 2]


@pytest.fixture
def emulated(run_arguments):
    """Energy, forces and virial of the emulated `bonded` for each order of the threads."""

    def emulated(positions, atom_ptr, terms, **options):
        pointers, places = terms.places
        n = len(atom_ptr) - 1

        def unset(*shape):
            return torch.full(shape, torch.nan, dtype=torch.float64)

        batch = {
            "positions": positions,
            "atom_ptr": atom_ptr,
            "kind": terms.kind,
            "atoms": terms.atoms,
            "parameters": terms.parameters,
            "term_ptr": terms.term_ptr,
            "n_structures": n,
            "energy": unset(n),
            "forces": unset(len(positions), 3),
            "virial": unset(n, 3, 3),
        }
        gather = {"pointers": pointers, "n_atoms": len(pointers) - 1, "places": places, "gradients": unset(len(terms), 4, 3)}
        arguments = {f"batch.{name}": x for name, x in batch.items()} | {f"gather.{name}": x for name, x in gather.items()}
        results = run_arguments("bonded", torch.float64, arguments, **options)
        return [[result[f"batch.{name}"] for name in ("energy", "forces", "virial")] for result in results]

    return emulated


def assert_same(got, expected):
    for one, other in zip(got, expected, strict=True):
        assert torch.equal(one, other)


def test_emulated_equals_the_cpu_kernel(emulated, random_bonded):
    positions, atom_ptr, terms = random_bonded(SIZES)
    for got in emulated(positions, atom_ptr, terms):
        assert_same(got, bonded(positions, terms, atom_ptr))


@pytest.mark.parametrize("sizes", [[], [1], [5, 0, 30]], ids=str)
def test_under_sanitizers(emulated, random_bonded, sizes):
    positions, atom_ptr, terms = random_bonded(sizes)
    for got in emulated(positions, atom_ptr, terms, sanitize=True):
        assert_same(got, bonded(positions, terms, atom_ptr))


def test_a_missing_barrier_is_found(emulated, random_bonded):
    positions, atom_ptr, terms = random_bonded([65, 40])
    change = ("bonded.cu", "__syncthreads();\n\n  for (int64_t atom", "for (int64_t atom")
    expected = bonded(positions, terms, atom_ptr)
    assert not all(torch.equal(got[1], expected.forces) for got in emulated(positions, atom_ptr, terms, change=change))
