"""Finite differences -> reference -> CPU kernel -> CUDA. That the energies are MMFF94's is tested in tests/potential."""

from dataclasses import replace

import pytest
import torch

from packflow.ops import BondedTerms, bonded, reference_bonded

# None, too few, around the partial sums, several rounds of them.
SIZES = [0, 1, 4, 5, 21, 22, 60, 0, 130]
# Relative to the largest number; energies and forces of random places reach 1e4.
TOLERANCE = 1e-12


def assert_same(got, expected, tolerance=TOLERANCE):
    for one, other in zip(got, expected, strict=True):
        scale = float(other.abs().max()) if other.numel() else 1.0
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance * scale)


@pytest.fixture
def batch(random_bonded):
    return random_bonded(SIZES)


def test_every_kind_is_tried(batch):
    assert batch[2].kind.unique().tolist() == [0, 1, 2, 3, 4, 5]
    assert set(batch[2].parameters[batch[2].kind == 2, 1].tolist()) == {1.0, 4.0}


def test_reference_gradients(random_bonded):
    positions, atom_ptr, terms = random_bonded([12, 6])
    assert torch.autograd.gradcheck(lambda x: reference_bonded.bonded_energy(x, terms), positions.requires_grad_(), eps=1e-6, rtol=1e-5)
    found = reference_bonded.bonded(positions, terms, atom_ptr)
    (gradient,) = torch.autograd.grad(reference_bonded.bonded_energy(positions, terms).sum(), positions)
    torch.testing.assert_close(found.forces, -gradient, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("axes", [(0, 0), (1, 2), (2, 0)])
def test_virial_is_the_derivative_by_strain(batch, axes):
    positions, atom_ptr, terms = batch
    strain, step = torch.zeros(3, 3, dtype=torch.float64), 1e-6
    strain[axes] += step / 2
    strain[axes[::-1]] += step / 2
    energies = [bonded(positions + sign * positions @ strain, terms, atom_ptr).energy for sign in (1, -1)]
    found = bonded(positions, terms, atom_ptr).virial
    slope = (energies[0] - energies[1]) / (2 * step)
    torch.testing.assert_close(found[:, axes[0], axes[1]], slope, rtol=1e-6, atol=1e-5)
    assert torch.equal(found, found.transpose(1, 2))


def test_kernel_equals_reference(batch):
    positions, atom_ptr, terms = batch
    assert_same(bonded(positions, terms, atom_ptr), reference_bonded.bonded(positions, terms, atom_ptr))


def test_forces_add_up_to_nothing(batch):
    positions, atom_ptr, terms = batch
    forces = bonded(positions, terms, atom_ptr).forces
    sums = torch.stack([part.sum(0) for part in forces.split(SIZES)])
    assert sums.abs().max() < 1e-12 * forces.abs().max()


def test_a_structure_does_not_depend_on_the_batch_or_the_threads(batch):
    positions, atom_ptr, terms = batch
    expected = bonded(positions, terms, atom_ptr)
    torch.set_num_threads(3)
    try:
        got = bonded(positions, terms, atom_ptr)
    finally:
        torch.set_num_threads(1)
    for one, other in zip(got, expected, strict=True):
        assert torch.equal(one, other)
    for s, (first, last) in enumerate(zip(atom_ptr.tolist(), atom_ptr.tolist()[1:], strict=False)):
        alone = terms.select(torch.tensor([s]), atom_ptr)
        energy, forces, virial = bonded(positions[first:last], alone, torch.tensor([0, last - first], dtype=torch.int32))
        assert torch.equal(energy[0], expected.energy[s])
        assert torch.equal(forces, expected.forces[first:last])
        assert torch.equal(virial[0], expected.virial[s])


def test_select_and_join(batch):
    positions, atom_ptr, terms = batch
    chosen = torch.tensor([6, 2, 2, 0, 8])
    picked = terms.select(chosen, atom_ptr)
    parts = [terms.select(torch.tensor([s]), atom_ptr) for s in chosen.tolist()]
    ends = [0, *torch.tensor(SIZES)[chosen].cumsum(0).tolist()]
    joined = BondedTerms.join(parts, ends[:-1])
    for name in ("kind", "atoms", "parameters", "term_ptr"):
        assert torch.equal(getattr(picked, name), getattr(joined, name)), name
    rows = torch.cat([torch.arange(atom_ptr[s], atom_ptr[s + 1]) for s in chosen.tolist()])
    got = bonded(positions[rows], picked, torch.tensor(ends, dtype=torch.int32))
    expected = bonded(positions, terms, atom_ptr)
    assert torch.equal(got.energy, expected.energy[chosen])
    assert torch.equal(got.forces, expected.forces[rows])


def test_places_list_every_atom_of_every_term(batch):
    _, _, terms = batch
    pointers, places = terms.places
    n_atoms = torch.tensor([2, 3, 3, 3, 4, 4])[terms.kind.long()]
    assert sorted(places.tolist()) == [4 * t + k for t, n in enumerate(n_atoms.tolist()) for k in range(n)]
    for atom, (first, last) in enumerate(zip(pointers.tolist(), pointers.tolist()[1:], strict=False)):
        mine = places[first:last].long()
        assert mine.tolist() == sorted(mine.tolist())
        assert (terms.atoms.flatten()[mine] == atom).all()


def test_straight_and_flat_molecules_have_finite_forces():
    """An angle of 180 degrees, atoms in one line about a torsion, a bond at right angles to its plane."""
    line = torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0], [1, 0, 1]], dtype=torch.float64)
    kinds = [1, 2, 3, 5]
    atoms = torch.tensor([[0, 1, 2, 3]] * 4 + [[0, 1, 3, 4]], dtype=torch.int32)
    parameters = torch.tensor([[2.0, 120, 0, 0, 0], [2, 1, -1, 0, 0], [1, 1, 1, 1, 120], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]]).double()
    terms = BondedTerms(torch.tensor([*kinds, 4], dtype=torch.uint8), atoms, parameters, torch.tensor([0, 5], dtype=torch.int32))
    found = bonded(line, terms, torch.tensor([0, 5], dtype=torch.int32))
    assert all(x.isfinite().all() for x in found)


def test_coincident_atoms_spoil_their_own_structure_only(batch):
    positions, atom_ptr, terms = batch
    good = bonded(positions, terms, atom_ptr)
    term = int(((terms.kind == 0) & (terms.atoms[:, 0] >= atom_ptr[4]) & (terms.atoms[:, 0] < atom_ptr[5])).nonzero()[0])
    i, j = terms.atoms[term, :2].long()
    moved = positions.clone()
    moved[i] = moved[j]
    found = bonded(moved, terms, atom_ptr)
    assert not found.forces[i].isfinite().all()
    others = [s for s in range(len(SIZES)) if s != 4]
    assert torch.equal(found.energy[others], good.energy[others])


def test_no_structures():
    empty = BondedTerms.join([], [])
    found = bonded(torch.zeros(0, 3, dtype=torch.float64), empty, torch.zeros(1, dtype=torch.int32))
    assert [tuple(x.shape) for x in found] == [(0,), (0, 3), (0, 3, 3)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, p, t: (x.float(), p, t), r"positions must have dtype torch\.float64, got torch\.float32"),
        (lambda x, p, t: (x, p[:-1], t), r"atom_ptr must have shape \(10,\), got \(9,\)"),
        (lambda x, p, t: (x, p + 1, t), "atom_ptr must rise from 0 to 243"),
        (lambda x, p, t: (x, p, replace(t, atoms=t.atoms.long())), r"terms\.atoms must have dtype torch\.int32"),
        (lambda x, p, t: (x, p, replace(t, atoms=t.atoms + 1)), r"terms\.atoms must be atoms of the term's own structure"),
        (lambda x, p, t: (x, p, replace(t, kind=t.kind + 1)), r"terms\.kind must be below 6, got 6"),
        (lambda x, p, t: (x, p, replace(t, term_ptr=t.term_ptr - 1)), r"terms\.term_ptr must rise from 0"),
        (lambda x, p, t: (x, p, replace(t, parameters=t.parameters[:, :4])), r"terms\.parameters must have shape \(\d+, 5\)"),
    ],
)
def test_refused(batch, change, message):
    positions, atom_ptr, terms = change(*batch)
    with pytest.raises(ValueError, match=message):
        bonded(positions, terms, atom_ptr)


@pytest.mark.gpu
def test_cuda_equals_cpu(random_bonded):
    positions, atom_ptr, terms = random_bonded(SIZES * 9)
    got = bonded(positions.cuda(), terms.to("cuda"), atom_ptr.cuda())
    assert_same([x.cpu() for x in got], bonded(positions, terms, atom_ptr))
    again = bonded(positions.cuda(), terms.to("cuda"), atom_ptr.cuda())
    assert all(torch.equal(one, other) for one, other in zip(got, again, strict=True))
