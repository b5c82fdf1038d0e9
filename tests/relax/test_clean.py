"""Planted defects are mended, the rest stays as it is, and nobody depends on anybody."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from packflow.metrics import clash_percent, density
from packflow.ops import amd
from packflow.relax.clean import clean, clean_crystals
from packflow.relax.clean_centers import FLATTEST, Centers
from packflow.relax.clean_layout import Layout
from packflow.relax.clean_steps import GROWTH, Motion
from packflow.relax.clean_volume import PLAUSIBLE, VOLUMES, expected_volume
from packflow.relax.clean_wanted import TOLERANCE, NearPairs, nearest_allowed
from packflow.structure import AtomsBatch, Crystal, CrystalBatch, Molecule, Template
from packflow.structure.cif import read_cif
from packflow.structure.recognize import recognize

# propane, triazine, urea, pentaerythritol, fumarate, DMSO, benzene, bromoisoxazole, benzyl alcohol
CODS = ("1511801", "2012828", "2019369", "2022073", "2203632", "2242302", "4501703", "7221763", "7238218")


@pytest.fixture(scope="module")
def measured(cif_folder, smiles_of):
    """Measured crystals, all of them clean."""
    return [recognize(read_cif(cif_folder / f"{cod}.cif")[0], smiles_of[cod]) for cod in CODS]


@pytest.fixture(scope="module")
def damaged(measured):
    """The same with whole molecules displaced by 0.6 Å, turned and deformed: every one has something to mend."""
    rng = np.random.default_rng(0)
    return [_damaged(crystal, rng) for crystal in measured]


def _damaged(crystal, rng):
    n = crystal.template.molecule.n_atoms
    x = crystal.positions.reshape(-1, n, 3)
    center = x.mean(1, keepdims=True)
    turn = np.linalg.qr(rng.normal(size=(len(x), 3, 3)))[0]
    turn *= np.linalg.det(turn)[:, None, None]
    x = (x - center) @ turn + center + 0.6 * rng.normal(size=center.shape) + 0.1 * rng.normal(size=x.shape)
    x = x.reshape(-1, 3)
    return Crystal(crystal.template, x - x.mean(0), crystal.lattice)


def _distances(crystal):
    i, j = crystal.template.pair_index
    return np.linalg.norm(crystal.positions[i] - crystal.positions[j], axis=1)


def _in_range(crystal, slack=1e-6):
    """Whether all near pairs are within their range and its tolerance, from the template alone."""
    apart, low, high = crystal.template.pair_features.astype(float).T
    tolerance = np.array(TOLERANCE)[apart.astype(int) - 1] + slack
    d = _distances(crystal)
    return bool(((d >= low - tolerance) & (d <= high + tolerance)).all())


def _sides(crystal):
    batch = CrystalBatch.pack([crystal])
    positions = torch.from_numpy(crystal.positions)
    found = Centers.of(batch.template, positions)
    return found.side * found.volumes(positions)


def _amd(crystals):
    atoms = AtomsBatch.from_crystals(crystals)
    return amd(atoms.positions, atoms.cell, atoms.atom_ptr, 40)


def test_clean_crystals_stay_to_the_bit(measured):
    same, report = clean_crystals(measured)
    assert all(a is b for a, b in zip(same, measured, strict=True))
    assert not report.changed.any()
    assert report.finished.all()
    batch = CrystalBatch.pack(measured)
    found = clean(batch).crystals
    assert torch.equal(found.positions, batch.positions)
    assert torch.equal(found.lattice, batch.lattice)


def test_damage_is_mended_and_a_second_time_nothing_is_done(damaged):
    mended, report = clean_crystals(damaged)
    assert report.changed.all()
    assert report.finished.all(), report
    assert (report.contacts_before + report.near_before > 0).all()
    assert (report.contacts_after + report.near_after == 0).all()
    assert all(_in_range(crystal) for crystal in mended)
    assert (clash_percent(AtomsBatch.from_crystals(mended)) == 0).all()
    assert max(abs(c.positions.mean(0)).max() for c in mended) < 1e-9
    assert not clean_crystals(mended)[1].changed.any()
    # and in float32, where coordinates are rounded on the way out
    found = clean(CrystalBatch.pack(damaged))
    assert found.crystals.positions.dtype == torch.float32
    assert not clean(found.crystals).report.changed.any()


def test_crystals_stop_when_they_are_clean(damaged):
    """More steps change nothing for those that were clean before."""
    few, report = clean_crystals(damaged, max_steps=60)
    many, _ = clean_crystals(damaged, max_steps=120)
    assert report.finished.sum() >= 6
    for one, other, finished in zip(few, many, report.finished.tolist(), strict=True):
        if finished:
            assert np.array_equal(one.positions, other.positions)


def test_limits_of_contacts_by_hand():
    """C to C, C to O, O to N, in Å, from Bondi's radii."""
    numbers = torch.tensor([6, 6, 8, 7])
    i, j = torch.tensor([[0, 1, 2], [1, 2, 3]])
    wanted = [0.85 * 3.4, 0.85 * 3.22, 0.8 * 3.07]
    assert nearest_allowed(numbers, i, j).tolist() == pytest.approx(wanted)


def test_planted_clash_is_pushed_apart(measured):
    """One urea moved into its neighbour: the molecules go apart and keep their shape."""
    urea = measured[2]
    n = urea.template.molecule.n_atoms
    x = urea.positions.copy()
    x[:n] += 0.8 * (x[n : 2 * n].mean(0) - x[:n].mean(0))
    clashing = Crystal(urea.template, x - x.mean(0), urea.lattice)
    assert clash_percent(AtomsBatch.from_crystals([clashing])) > 0
    (mended,), report = clean_crystals([clashing])
    assert report.finished.all()
    assert report.near_before.item() == 0
    assert clash_percent(AtomsBatch.from_crystals([mended])) == 0
    assert abs(_distances(mended) - _distances(urea)).max() < 0.15
    assert np.array_equal(mended.lattice, urea.lattice) or report.volume_percent.item() > 0


def test_planted_long_bond_is_drawn_to_its_length(measured):
    """A hydroxyl oxygen 0.6 Å off along its bond comes back; distances that were right stay nearly so."""
    crystal = measured[8]
    i, j = crystal.template.bond_index
    oxygen = int(np.flatnonzero(crystal.template.atomic_numbers == 8)[0])
    carbon = int(j[i == oxygen][0])
    x = crystal.positions.copy()
    along = x[oxygen] - x[carbon]
    x[oxygen] += 0.6 * along / np.linalg.norm(along)
    stretched = Crystal(crystal.template, x - x.mean(0), crystal.lattice)
    assert not _in_range(stretched)
    (mended,), report = clean_crystals([stretched])
    assert report.finished.all()
    assert report.near_before.item() > 0
    before, after = (np.linalg.norm(c.positions[oxygen] - c.positions[carbon]) for c in (stretched, mended))
    assert before > 1.9
    assert 1.25 < after < 1.6
    change = abs(_distances(mended) - _distances(crystal))
    torsion = crystal.template.pair_features[:, 0] == 3
    assert change[~torsion].max() < 0.15
    assert change[torsion].max() < 0.4


@pytest.mark.parametrize("edges", [0.6, 0.85, 1.3, 2.5])
def test_cell_of_implausible_volume_is_rescaled(measured, edges):
    """Lattice vectors and centroids together, as a wrong scale of the sampler would have it; molecules stay whole."""
    scaled = []
    for crystal in measured:
        n = crystal.template.molecule.n_atoms
        x = crystal.positions.reshape(-1, n, 3)
        x = x + (edges - 1) * x.mean(1, keepdims=True)
        scaled.append(Crystal(crystal.template, x.reshape(-1, 3), crystal.lattice * np.r_[[edges] * 3, 1, 1, 1]))
    mended, report = clean_crystals(scaled)
    assert report.changed.all()
    assert report.finished.all()
    atoms, known = AtomsBatch.from_crystals(mended), AtomsBatch.from_crystals(measured)
    ratio = torch.linalg.det(atoms.cell).abs() / expected_volume(atoms)
    assert ((ratio > PLAUSIBLE[0]) & (ratio < PLAUSIBLE[1])).all()
    assert (density(atoms) / density(known) - 1).abs().max() < 0.2
    assert np.allclose([c.lattice[3:] for c in mended], [c.lattice[3:] for c in measured])
    assert report.near_before.sum() == 0
    assert max(abs(_distances(a) - _distances(b)).max() for a, b in zip(mended, measured, strict=True)) < 0.4
    assert torch.allclose(report.volume_percent, 100 * (torch.linalg.det(atoms.cell) / torch.linalg.det(known.cell) / edges**3 - 1))


def test_expected_volume_counts_hydrogens(measured):
    """Urea, CH4N2O, two to a cell."""
    atoms = AtomsBatch.from_crystals([measured[2]])
    wanted = 2 * (VOLUMES["C"] + 2 * VOLUMES["N"] + VOLUMES["O"] + 4 * VOLUMES["H"])
    assert expected_volume(atoms).item() == pytest.approx(wanted)


def test_rescaling_moves_molecules_and_deforms_none(measured):
    batch = CrystalBatch.pack(measured[:2])
    positions, factor = batch.positions.double(), torch.tensor([2.0, 1.0], dtype=torch.float64)
    layout = Layout.of(batch.template, positions)
    scaled = layout.scaled(positions, factor)
    one, other = layout.centroids(positions), layout.centroids(scaled)
    assert torch.allclose(other, one * factor[layout.crystal_of, None])
    assert torch.allclose(scaled - other[layout.molecule], positions - one[layout.molecule])


def test_growth_ends_at_the_largest_plausible_volume(measured):
    """Two equal crystals, one of them expected to be so small that there is no room left."""
    batch = CrystalBatch.pack([measured[2]] * 2)
    positions, cell = batch.positions.double(), batch.cell.double()
    layout, volumes = Layout.of(batch.template, positions), torch.linalg.det(cell)
    motion = Motion.at_rest(layout, positions, cell, volumes * torch.tensor([1.0, 1 / PLAUSIBLE[1]]))
    both = torch.ones(2, dtype=torch.bool)
    grown = torch.linalg.det(motion.grown(layout, both).cell) / volumes
    assert grown.tolist() == pytest.approx([(1 + GROWTH) ** 3, 1.0])
    assert torch.equal(motion.grown(layout, ~both).positions, positions)


def test_distances_are_held_and_later_only_kept_in_range(measured):
    """Of a bond from 1.5 to 1.6 Å that was 1.52 Å, and one that was 1.8 Å."""
    range_ = torch.tensor([[1.5, 1.6]] * 3)
    first = torch.tensor([1.52, 1.6, 1.6])
    pairs = NearPairs(torch.zeros(2, 3, dtype=torch.int64), range_, torch.full((3,), 0.2), first, torch.ones(3))
    distance = torch.tensor([1.55, 1.8, 1.4])
    held, outside = pairs.errors(distance, held=True)
    later, _ = pairs.errors(distance, held=False)
    assert torch.allclose(held, torch.tensor([0.03, 0.2, -0.2]), atol=1e-6)
    assert torch.allclose(outside, torch.tensor([0.0, 0.2, -0.1]), atol=1e-6)
    assert torch.equal(later, outside)
    batch = CrystalBatch.pack(measured[7:])
    found = NearPairs.of(batch.template, batch.positions.double())
    i, j = found.index
    distance = (batch.positions[i] - batch.positions[j]).double().norm(dim=1)
    assert torch.allclose(found.first, distance.clamp(*found.range.T))
    assert len(i) == batch.template.pair_index.shape[1] // 2


def test_cell_grows_where_nothing_else_helps():
    """Benzenes in a cell of plausible volume whose shortest axis is 2 Å cannot avoid their own images."""
    benzene = Template(Molecule.from_smiles("c1ccccc1"), 1)
    angle = np.arange(6) * np.pi / 3
    ring = 1.39 * np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)
    flat = Crystal(benzene, ring, np.array([9.0, 6.2, 2.1, 90, 90, 90]))
    (mended,), report = clean_crystals([flat])
    assert not report.finished.any()
    assert report.contacts_after.item() > 0
    assert 0 < report.volume_percent.item() < 5
    assert mended.lattice[0] > 9.0


def test_tetrahedral_atoms_keep_their_side():
    """Molecules with stereocenters thrown about: every center is where it was, and none is left flat."""
    template = Template(Molecule.from_smiles("C[C@H](O)[C@@H](N)C(=O)O"), 4)
    rng = np.random.default_rng(3)
    shape = _relaxed_shape(template.molecule.smiles)
    crystals = []
    for _ in range(12):
        turn = np.linalg.qr(rng.normal(size=(4, 3, 3)))[0]
        turn *= np.linalg.det(turn)[:, None, None]
        x = shape @ turn + 8.2 * rng.random(size=(4, 1, 3)) + 0.2 * rng.normal(size=(4, len(shape), 3))
        crystals.append(Crystal(template, x.reshape(-1, 3), np.array([8.2, 8.2, 8.2, 80, 95, 100.0])))
    mended, report = clean_crystals(crystals)
    assert report.changed.sum() >= 11
    for before, after, changed in zip(crystals, mended, report.changed.tolist(), strict=True):
        if changed:
            one, other = _sides(before), _sides(after)
            assert (one * other > 0)[one.abs() > 0.5].all()
            assert (other.abs() > 0.5 * FLATTEST).all()
    assert report.finished.sum() >= 9


def _relaxed_shape(smiles):
    """Heavy atoms of one conformer from RDKit's distance geometry."""
    from rdkit import Chem
    from rdkit.Chem import rdDistGeom

    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    rdDistGeom.EmbedMolecule(mol, randomSeed=7)
    return Chem.RemoveHs(mol).GetConformer().GetPositions()


@pytest.mark.parametrize("held", [True, False])
def test_forces_are_the_gradient(generator, held):
    """Forces are minus the gradient of the penalty, by automatic differentiation, of contacts, distances and centers together."""
    from packflow.relax import clean_centers, clean_push
    from packflow.relax.clean_layout import Contacts
    from packflow.relax.clean_wanted import CONTACT_STIFFNESS, PUSHED_TO

    template = Template(Molecule.from_smiles("CC(N)C(=O)OC"), 2)
    batch = CrystalBatch.pack([Crystal(template, np.random.default_rng(1).normal(size=(14, 3)) * 1.5, np.array([6.0, 6, 7, 80, 85, 95]))])
    positions = batch.positions.double()
    cell = batch.cell.double()
    layout = Layout.of(batch.template, positions)
    moved = positions + 0.3 * torch.randn(positions.shape, generator=generator, dtype=torch.float64)
    contacts = Contacts.of(layout, moved, cell)

    def penalty(x):
        i, j = layout.near.index
        d = (x[j] - x[i]).norm(dim=1)
        wanted = layout.near.first if held else d.clamp(*layout.near.range.T).detach()
        near = (layout.near.stiffness * (d - wanted).square()).sum()
        overlap = (PUSHED_TO * contacts.limit - (x[contacts.j] - x[contacts.i] + contacts.offset).norm(dim=1)).clamp(min=0)
        flat = (clean_centers.PUSHED_TO - layout.centers.volumes(x)).clamp(min=0)
        return near + CONTACT_STIFFNESS * overlap.square().sum() + clean_centers.STIFFNESS * flat.square().sum()

    x = moved.clone().requires_grad_()
    (slope,) = torch.autograd.grad(penalty(x), x)
    arms = moved - layout.centroids(moved)[layout.molecule]
    push = clean_push.Push.of(layout, contacts, moved, cell, arms, held)
    assert len(contacts.i) > 20
    assert (layout.centers.volumes(moved) < clean_centers.PUSHED_TO).any()
    assert torch.allclose(push.forces, -slope, atol=1e-10)


def test_result_does_not_depend_on_the_batch(damaged, measured):
    alone = [clean_crystals([crystal])[0][0] for crystal in damaged]
    together, _ = clean_crystals([*measured, *damaged, *damaged[::-1]])
    in_pieces, report = clean_crystals(damaged, max_atoms=30)
    assert len(report) == len(damaged)
    for one, a, b in zip(alone, together[len(measured) :], in_pieces, strict=False):
        assert np.allclose(one.positions, a.positions, atol=1e-9)
        assert np.allclose(one.lattice, a.lattice, atol=1e-9)
        assert np.allclose(one.positions, b.positions, atol=1e-9)


def _other_images(crystal, rng):
    n = crystal.template.molecule.n_atoms
    shift = np.repeat(rng.integers(-1, 2, size=(crystal.template.n_copies, 3)), n, axis=0) @ crystal.cell
    x = crystal.positions + shift
    return Crystal(crystal.template, x - x.mean(0), crystal.lattice)


def _other_order(crystal, rng):
    n, copies = crystal.template.molecule.n_atoms, crystal.template.n_copies
    order = rng.permutation(copies)
    return replace(crystal, positions=crystal.positions.reshape(copies, n, 3)[order].reshape(-1, 3))


def _other_axes(crystal, rng):
    """a, b, c become b, c, a, which turns the frame."""
    lattice = crystal.lattice[[1, 2, 0, 4, 5, 3]]
    return Crystal.from_fractional(crystal.template, crystal.fractional[:, [1, 2, 0]], lattice)


@pytest.mark.parametrize("rewrite", [_other_images, _other_order, _other_axes], ids=lambda f: f.__name__[1:])
def test_same_crystal_written_otherwise_is_mended_alike(damaged, rewrite):
    """Compared by AMD, Å. Rounding grows in 100 steps of molecules in contact, to less than 1e-5 Å."""
    rng = np.random.default_rng(5)
    (one, first), (other, second) = clean_crystals(damaged), clean_crystals([rewrite(crystal, rng) for crystal in damaged])
    assert torch.allclose(_amd(one), _amd(other), atol=1e-5)
    assert torch.allclose(first.displacement, second.displacement, atol=1e-5)


def test_what_cannot_be_cleaned_passes_and_is_marked(damaged):
    lost, flat, negative = (replace(damaged[0], positions=damaged[0].positions.copy()) for _ in range(3))
    lost.positions[1, 2] = np.nan
    flat = replace(flat, lattice=np.array([5.0, 5, 5, 90, 90, 179.99]))
    negative = replace(negative, lattice=np.array([-5.0, 5, 5, 90, 90, 90]))
    bad = [lost, flat, negative]
    out, report = clean_crystals([damaged[1], *bad, damaged[2]])
    assert all(a is b for a, b in zip(out[1:4], bad, strict=True))
    assert [bool(p) for p in report.problems] == [False, True, True, True, False]
    assert report.changed.tolist() == [True, False, False, False, True] == report.finished.tolist()
    assert np.allclose(out[0].positions, clean_crystals([damaged[1]])[0][0].positions, atol=1e-9)
    out, report = clean_crystals(bad)
    assert all(a is b for a, b in zip(out, bad, strict=True))
    assert not report.finished.any()


def test_turned_over_crystals_are_given_back(damaged, monkeypatch):
    """A minimiser that mirrors molecules is not believed."""
    from packflow.relax import clean as module

    chiral = Template(Molecule.from_smiles("C[C@H](O)F"), 2)
    x = np.random.default_rng(2).normal(size=(8, 3)) * 2
    crystal = Crystal(chiral, x - x.mean(0), np.array([5.0, 6, 5, 90, 90, 90]))
    settle = module.settle

    def mirrored(layout, motion, max_steps):
        return replace(settle(layout, motion, max_steps), positions=-motion.positions)

    monkeypatch.setattr(module, "settle", mirrored)
    (same,), report = clean_crystals([crystal])
    assert same is crystal
    assert "side" in report.problems[0]
    assert not report.finished.any()
    assert report.near_after.equal(report.near_before)


def test_nothing_at_all():
    assert clean_crystals([])[0] == []
    assert len(clean_crystals([])[1]) == 0


def test_one_atom_molecules():
    """Methane has no bonds, no turns and no shape."""
    methane = Template(Molecule.from_smiles("C"), 2)
    crystal = Crystal(methane, np.array([[0.2, 0, 0], [-0.2, 0, 0]]), np.array([4.2, 4.2, 4.2, 90, 90, 90.0]))
    (mended,), report = clean_crystals([crystal])
    assert report.finished.all()
    assert np.linalg.norm(mended.positions[1] - mended.positions[0]) > 2.8


@pytest.mark.parametrize("steps", [0, 2.5, True])
def test_bad_steps(measured, steps):
    with pytest.raises(ValueError, match="max_steps must be an integer of at least 1"):
        clean_crystals(measured[:1], max_steps=steps)


def test_few_steps_are_no_more_than_that(damaged):
    """After one step no molecule is further than a step goes, and the report says that it is not finished."""
    out, report = clean_crystals(damaged, max_steps=1)
    assert not report.finished.all()
    assert (report.displacement < 0.8).all()
    assert max(np.abs(a.positions - b.positions).max() for a, b in zip(out, damaged, strict=True)) < 0.8
