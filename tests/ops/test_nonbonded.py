"""`nonbonded` against its reference, finite differences and what symmetry demands."""

import dataclasses

import pytest
import torch

from packflow import _C
from packflow.ops import NonbondedPairs, nonbonded, nonbonded_tail, reference_nonbonded
from packflow.ops.nonbonded import _launch, _problems_before
from packflow.ops.nonbonded_pairs import find_pairs

# Both sums over reciprocal vectors and pairs end where 1e-9 of a term is left.
TRUNCATED = {"rtol": 1e-6, "atol": 1e-7}
FIELDS = ("van_der_waals", "coulomb", "forces", "stress")


def assert_same(got, expected, **tolerance):
    assert torch.equal(got.problem, expected.problem)
    for field in FIELDS:
        torch.testing.assert_close(
            getattr(got, field), getattr(expected, field), equal_nan=True, **tolerance, msg=lambda m, f=field: f"{f}: {m}"
        )


CASES = {
    "mixed": {"shapes": [(2, 5), (1, 8), (4, 6), (2, 3)], "in_vacuum": (1,)},
    "one atom": {"shapes": [(1, 1)], "volume_per_atom": 30.0},
    "atoms that see their own images": {"shapes": [(1, 2), (1, 1), (2, 2)], "volume_per_atom": 15.0},
    "molecules in vacuum": {"shapes": [(1, 12), (3, 5), (1, 1)], "in_vacuum": (0, 1, 2)},
    "much vacuum": {"shapes": [(1, 5)], "volume_per_atom": 400.0},
}


@pytest.mark.parametrize("cutoff", [5.0, 8.0])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_equals_reference(molecular_batch, case, cutoff):
    batch = molecular_batch(**case)
    assert_same(nonbonded(**batch, cutoff=cutoff), reference_nonbonded.nonbonded(**batch, cutoff=cutoff), **TRUNCATED)


def test_batch_equals_singles_and_empty_structures(molecular_batch):
    batch = molecular_batch([(2, 4), (0, 1), (1, 6)], in_vacuum=(2,))
    together = nonbonded(**batch)
    assert together.energy[1] == 0
    assert torch.equal(together.stress[2], torch.zeros(3, 3, dtype=torch.float64))
    ends = batch["special_ptr"].long()
    for s, (first, last) in enumerate([(0, 8), (8, 8), (8, 14)]):
        atoms, special = slice(first, last), slice(int(ends[first]), int(ends[last]))
        alone = batch | {name: batch[name][atoms] for name in ("positions", "charges", "types", "molecule")}
        alone |= {"cell": batch["cell"][s : s + 1], "periodic": batch["periodic"][s : s + 1]}
        alone |= {"atom_ptr": torch.tensor([0, last - first], dtype=torch.int32)}
        alone |= {"special_ptr": batch["special_ptr"][first : last + 1] - ends[first].int()}
        alone |= {"special_index": batch["special_index"][special] - first, "special_scale": batch["special_scale"][special]}
        got = nonbonded(**alone)
        assert torch.equal(got.energy, together.energy[s : s + 1])
        assert torch.equal(got.forces, together.forces[atoms])
    empty = nonbonded(**molecular_batch([]))
    assert empty.energy.shape == (0,)
    assert empty.forces.shape == (0, 3)


@pytest.mark.parametrize("instruction_set", _C.instruction_sets())
def test_instruction_sets_agree(molecular_batch, instruction_set):
    batch = molecular_batch([(2, 5), (1, 30), (6, 6)], in_vacuum=(1,))
    expected = nonbonded(**batch, cutoff=9.0)
    near, frame = tuple(batch.values()), [batch[k] for k in ("positions", "cell", "atom_ptr", "periodic")]
    tail = nonbonded_tail(batch["atom_ptr"], batch["types"], batch["radius"], batch["epsilon"], 9.0)
    problem = _problems_before(*frame, batch["charges"], 9.0)
    got = _launch(near, 9.0, find_pairs(*frame, 9.0), tail, problem, instruction_set)
    assert_same(got, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("scale", [[0.0, 0.0], [1.0, 0.75], [0.3, 1.0]], ids=str)
@pytest.mark.parametrize("in_vacuum", [(), (0,)], ids=["crystal", "vacuum"])
def test_forces_are_minus_the_slope(molecular_batch, in_vacuum, scale):
    batch = molecular_batch([(2, 5)], seed=3, in_vacuum=in_vacuum)
    batch["special_scale"][:] = torch.tensor(scale)
    forces, step = nonbonded(**batch).forces, 1e-4
    for i, axis in [(0, 0), (3, 1), (9, 2)]:
        energies = []
        for sign in (1, -1):
            moved = batch["positions"].clone()
            moved[i, axis] += sign * step
            energies.append(nonbonded(**batch | {"positions": moved}).energy)
        # The error of the difference is step2 times a third derivative of up to some 1e4 eV/Å3.
        torch.testing.assert_close(-(energies[0] - energies[1])[0] / (2 * step), forces[i, axis], rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize(("a", "b"), [(0, 0), (1, 1), (0, 1), (2, 0), (1, 2)])
def test_stress_is_the_slope_with_strain(molecular_batch, a, b):
    batch = molecular_batch([(2, 5)], seed=4)
    stress, step = nonbonded(**batch).stress[0], 1e-5
    torch.testing.assert_close(stress, stress.T)
    energies = []
    for sign in (1, -1):
        deformation = torch.eye(3, dtype=torch.float64)
        deformation[a, b] += sign * step / 2
        deformation[b, a] += sign * step / 2
        strained = {"positions": batch["positions"] @ deformation, "cell": batch["cell"] @ deformation}
        energies.append(nonbonded(**batch | strained).energy)
    slope = (energies[0] - energies[1])[0] / (2 * step) / torch.linalg.det(batch["cell"][0]).abs()
    torch.testing.assert_close(slope, stress[a, b], rtol=1e-5, atol=1e-7)


def supercell(batch, times):
    """The one crystal of the batch repeated along a, b and c."""
    shifts = torch.cartesian_prod(*(torch.arange(n, dtype=torch.float64) for n in times)).reshape(-1, 3)
    n, n_atoms, n_special = len(shifts), len(batch["positions"]), len(batch["special_index"])
    copies = torch.arange(n)
    grown = {name: batch[name].repeat(n) for name in ("charges", "types")}
    grown["positions"] = (batch["positions"] + (shifts @ batch["cell"][0])[:, None]).reshape(-1, 3)
    grown["cell"] = batch["cell"] * torch.tensor(times, dtype=torch.float64)[:, None]
    grown["atom_ptr"] = torch.tensor([0, n * n_atoms], dtype=torch.int32)
    grown["molecule"] = (batch["molecule"] + copies[:, None] * (int(batch["molecule"].max()) + 1)).flatten().int()
    grown["special_index"] = (batch["special_index"] + copies[:, None] * n_atoms).flatten().int()
    grown["special_ptr"] = torch.cat(
        [(batch["special_ptr"][:-1] + copies[:, None] * n_special).flatten(), torch.tensor([n * n_special])]
    ).int()
    grown["special_scale"] = batch["special_scale"].repeat(n, 1)
    return batch | grown


@pytest.mark.parametrize("times", [(2, 1, 1), (1, 3, 1), (2, 1, 2)], ids=str)
def test_supercell(molecular_batch, times):
    batch = molecular_batch([(2, 4)], seed=5)
    one, many = nonbonded(**batch), nonbonded(**supercell(batch, times))
    n = times[0] * times[1] * times[2]
    torch.testing.assert_close(many.energy, n * one.energy, **TRUNCATED)
    torch.testing.assert_close(many.forces, one.forces.repeat(n, 1), **TRUNCATED)
    torch.testing.assert_close(many.stress, one.stress, **TRUNCATED)


def test_choice_of_the_cell_and_of_the_origin(molecular_batch):
    batch = molecular_batch([(2, 5), (3, 3)], seed=6)
    expected = nonbonded(**batch)
    other = torch.tensor([[1.0, 1, 0], [0, 1, 0], [-1, 2, 1]], dtype=torch.float64)
    assert_same(nonbonded(**batch | {"cell": other @ batch["cell"]}), expected, **TRUNCATED)
    moved = batch["positions"] + torch.tensor([3.0, -40.0, 0.7], dtype=torch.float64)
    assert_same(nonbonded(**batch | {"positions": moved}), expected, rtol=1e-8, atol=1e-9)
    # Whole molecules by lattice vectors of their own.
    steps = torch.randint(-2, 3, (5, 3), generator=torch.Generator().manual_seed(0)).double()[batch["molecule"].long()]
    cells = batch["cell"].repeat_interleave(batch["atom_ptr"].diff(), dim=0)
    moved = batch["positions"] + torch.einsum("ni,nij->nj", steps, cells)
    assert_same(nonbonded(**batch | {"positions": moved}), expected, rtol=1e-8, atol=1e-9)
    assert float(expected.forces[:10].sum(0).abs().max()) < 1e-9


@pytest.mark.parametrize("cutoff", [6.0, 9.0, 14.0])
def test_converged_with_the_cutoff(molecular_batch, cutoff):
    """Coulomb hardly depends on it, since only b2 / r3 of its buffer b is cut; van der Waals, with its tail, little."""
    batch = molecular_batch([(4, 6)], seed=7)
    got, far = nonbonded(**batch, cutoff=cutoff), nonbonded(**batch, cutoff=25.0)
    torch.testing.assert_close(got.van_der_waals, far.van_der_waals, rtol=0.05 * (6 / cutoff) ** 3, atol=0)
    torch.testing.assert_close(got.coulomb, far.coulomb, rtol=0, atol=1e-3 * (6 / cutoff) ** 3)


def test_tail_is_the_integral(molecular_batch):
    """Against the trapezoidal rule, and as what a larger cutoff sees of a uniform gas."""
    batch = molecular_batch([(1, 3)])
    r = torch.linspace(5.0, 205.0, 400_001, dtype=torch.float64)
    total = 0.0
    for one in batch["types"].long():
        for other in batch["types"].long():
            parts = reference_nonbonded.van_der_waals(r, batch["radius"][1, one, other], batch["epsilon"][1, one, other])
            total += float(torch.trapezoid(2 * torch.pi * r**2 * parts * (1 - reference_nonbonded.switch(r, 6.0)), r))
    tail = nonbonded_tail(batch["atom_ptr"], batch["types"], batch["radius"], batch["epsilon"], 6.0)
    assert float(tail[0]) == pytest.approx(total, rel=1e-5)


PROBLEMS = {
    "position is NaN": ("positions", 3, torch.nan, "finite"),
    "position is infinite": ("positions", 3, torch.inf, "finite"),
    "cell is NaN": ("cell", 1, torch.nan, "finite"),
    "cell is flat": ("cell", 1, 0.0, "volume"),
    "charged": ("charges", 3, 1.0, "add up to zero"),
}


@pytest.mark.parametrize("case", PROBLEMS.values(), ids=PROBLEMS)
@pytest.mark.parametrize("cached", [False, True], ids=["fresh", "cached"])
def test_problem_is_marked_and_others_go_on(molecular_batch, case, cached):
    name, row, value, reason = case
    batch = molecular_batch([(1, 3), (1, 3), (2, 3)])
    expected = nonbonded(**batch)
    # Atom 3 is the first of structure 1.
    broken = batch | {name: batch[name].clone()}
    broken[name][row] = value
    pairs = NonbondedPairs() if cached else None
    if cached:
        nonbonded(**batch, pairs=pairs)
    got = nonbonded(**broken, pairs=pairs)
    assert [bool(p) for p in got.problem] == [False, True, False]
    assert reason in got.reasons()[1]
    assert got.reasons()[0] == ""
    for field in ("energy", "stress"):
        assert getattr(got, field)[1].isnan().all()
        torch.testing.assert_close(getattr(got, field)[[0, 2]], getattr(expected, field)[[0, 2]], rtol=1e-12, atol=1e-12)
    assert got.forces[3:6].isnan().all()
    torch.testing.assert_close(got.forces[6:], expected.forces[6:], rtol=1e-12, atol=1e-12)
    if cached:
        assert pairs.n_builds == 1
        assert_same(nonbonded(**batch, pairs=pairs), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("distance", [0.0, 0.01, 0.29])
@pytest.mark.parametrize("in_vacuum", [(), (0,)], ids=["crystal", "vacuum"])
def test_overlap_is_marked(molecular_batch, in_vacuum, distance):
    batch = molecular_batch([(2, 3), (2, 3)], in_vacuum=in_vacuum)
    expected = nonbonded(**batch)
    moved = batch["positions"].clone()
    moved[3:6] += moved[0] - moved[3] + torch.tensor([distance, 0, 0], dtype=torch.float64)
    got = nonbonded(**batch | {"positions": moved})
    assert "0.3 Å" in got.reasons()[0]
    assert got.energy[0].isnan()
    assert got.energy[1] == expected.energy[1]
    assert reference_nonbonded.nonbonded(**batch | {"positions": moved}).problem.tolist() == got.problem.tolist()


def test_bonded_atoms_may_coincide(molecular_batch):
    batch = molecular_batch([(1, 4)])
    batch["special_scale"][:] = 0
    batch["positions"][1] = batch["positions"][0]
    got = nonbonded(**batch)
    assert got.problem.tolist() == [0]
    assert got.forces.isfinite().all()


def test_collapsed_cell_is_not_searched(molecular_batch):
    batch = molecular_batch([(1, 5), (1, 5)])
    batch["cell"][0] *= 0.02
    got = nonbonded(**batch)
    assert "volume" in got.reasons()[0]
    assert got.energy[1].isfinite()


def test_cell_is_ignored_in_vacuum(molecular_batch):
    batch = molecular_batch([(1, 5), (1, 5)], in_vacuum=(0,))
    expected = nonbonded(**batch)
    batch["cell"][0] = torch.nan
    assert_same(nonbonded(**batch), expected, rtol=0, atol=0)


def test_result_is_frozen(molecular_batch):
    got = nonbonded(**molecular_batch([(1, 2)]))
    with pytest.raises(dataclasses.FrozenInstanceError):
        got.problem = got.problem


def test_farthest_shifts_are_told_apart(molecular_batch):
    """Molecules a hundred cells from each other, and one too far to be packed."""
    batch = molecular_batch([(2, 3)], seed=8)
    expected = nonbonded(**batch)
    moved = batch["positions"].clone()
    moved[:3] += torch.tensor([50.0, -60.0, 45.0], dtype=torch.float64) @ batch["cell"][0]
    moved[3:] -= torch.tensor([40.0, -55.0, 50.0], dtype=torch.float64) @ batch["cell"][0]
    assert_same(nonbonded(**batch | {"positions": moved}), expected, rtol=1e-7, atol=1e-8)
    moved[:3] += 1000 * batch["cell"][0, 0]
    assert nonbonded(**batch | {"positions": moved}).problem.tolist() == [8]
