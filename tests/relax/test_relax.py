"""Relaxation of sets: independence of company, every way to end, stages, symmetry, trajectories."""

from dataclasses import dataclass, replace

import ase.io
import numpy as np
import pytest
import spglib
import torch

from packflow import Molecule, Template
from packflow.potential.interface import Evaluation
from packflow.potential.lennard_jones import LennardJones
from packflow.potential.mmff import Mmff
from packflow.relax import fire, lbfgs
from packflow.relax.relax import GPA_PER_EV_A3, RelaxConfig, relax
from packflow.relax.trajectory import Recorder, write_trajectory
from packflow.structure.cif import read_cif
from packflow.structure.full import FullBatch, FullStructure, full_numbers
from packflow.structure.full_sites import full_structure

FIRE = RelaxConfig(optimizer=fire.FireConfig(), cell="frechet", max_stress_gpa=None)
LBFGS = RelaxConfig()


@pytest.fixture(scope="module")
def crystals(cif_folder, smiles_of):
    """All test crystals as they were measured, with their hydrogens."""
    return [full_structure(read_cif(cif_folder / f"{name}.cif")[0], smiles) for name, smiles in smiles_of.items()]


@pytest.fixture(scope="module")
def relaxed(crystals):
    """The crystals at minima, by L-BFGS."""
    return by_index(relax(LennardJones(), FullBatch.pack(crystals), LBFGS))


def by_index(results):
    results = sorted(results, key=lambda r: r.index)
    assert [r.index for r in results] == list(range(len(results)))
    return results


def moved(crystal, size, seed=0):
    """The crystal with its atoms displaced at random by about `size` Å."""
    return replace(crystal, positions=crystal.positions + np.random.default_rng(seed).normal(scale=size, size=crystal.positions.shape))


@dataclass(frozen=True)
class Broken:
    """Lennard-Jones, but structures whose number of copies is in `copies` are not evaluated as they should be after some evaluations."""

    copies: int
    kind: str
    after: int
    name: str = "broken"

    def prepare(self, batch):
        return PreparedBroken(self, LennardJones().prepare(batch), [t.n_copies for t in batch.templates], [0])


class PreparedBroken:
    def __init__(self, broken, inner, n_copies, calls):
        self.broken, self.inner, self.n_copies, self.calls = broken, inner, n_copies, calls
        hit = [n == broken.copies and broken.kind == "prepare" for n in n_copies]
        self.problems = ["no parameters for it" if h else "" for h in hit]

    def select(self, rows):
        return PreparedBroken(self.broken, self.inner.select(rows), [self.n_copies[k] for k in rows.tolist()], self.calls)

    def evaluate(self, positions, cell):
        found = self.inner.evaluate(positions, cell)
        self.calls[0] += 1
        if self.calls[0] <= self.broken.after:
            return found
        hit = torch.tensor([n == self.broken.copies for n in self.n_copies])
        energy, forces, stress, problems = found.energy.clone(), found.forces.clone(), found.stress.clone(), list(found.problems)
        if self.broken.kind == "problem":
            problems = ["cannot be evaluated there" if h else p for h, p in zip(hit.tolist(), problems, strict=True)]
            energy[hit] = torch.nan
        elif self.broken.kind == "energy":
            energy[hit] = torch.nan
        elif self.broken.kind == "forces":
            forces[hit[self.inner.owner]] = torch.inf
        elif self.broken.kind == "stress":
            # a tension of 1 eV/Å3, which no crystal holds
            energy[hit] -= torch.linalg.det(cell).abs()[hit]
            stress[hit] -= torch.eye(3, dtype=torch.float64)
        return Evaluation(energy, forces, stress, problems)


@pytest.mark.parametrize("config", [FIRE, LBFGS, replace(LBFGS, keep_symmetry=True)], ids=["fire", "lbfgs", "symmetry"])
def test_the_way_of_a_structure_does_not_depend_on_its_company(crystals, config):
    """To the last bit: alone, all at once, and in small sets that refill from pools that are read in turn."""
    config = replace(config, fmax=0.15, max_steps=60)
    crystals = crystals[:10]
    together = by_index(relax(LennardJones(), FullBatch.pack(crystals), config))
    refilled = by_index(relax(LennardJones(), iter(crystals), replace(config, max_atoms=70, compact_share=0.0)))
    assert len({r.n_steps for r in together}) > 3
    for k, crystal in enumerate(crystals):
        (alone,) = relax(LennardJones(), [crystal], config)
        for other in (together[k], refilled[k]):
            assert np.array_equal(alone.structure.positions, other.structure.positions), k
            assert np.array_equal(alone.structure.cell, other.structure.cell)
            assert (alone.energy, alone.n_steps, alone.converged) == (other.energy, other.n_steps, other.converged)


def test_results_come_as_they_are_ready_and_input_is_read_as_needed(crystals):
    read = []

    def source():
        for k, crystal in enumerate(crystals * 2):
            read.append(k)
            yield crystal

    results = relax(Mmff(), source(), replace(LBFGS, max_atoms=60))
    first = next(results)
    assert len(read) < 2 * len(crystals)
    everything = [first, *results]
    assert sorted(r.index for r in everything) == list(range(2 * len(crystals)))
    assert [r.index for r in everything] != sorted(r.index for r in everything)
    for r in everything:
        assert r.structure.template is crystals[r.index % len(crystals)].template
        first = next(x for x in everything if x.index == r.index % len(crystals))
        assert r.n_steps == first.n_steps
        # the same crystal, relaxed in other company; neighbour lists that several share are summed in another order
        assert np.allclose(r.structure.positions, first.structure.positions, rtol=0, atol=1e-8)


def test_nothing_to_relax():
    assert list(relax(LennardJones(), [])) == []
    assert list(relax(LennardJones(), FullBatch.pack([]))) == []


def test_converged_means_what_it_says(crystals, relaxed):
    for before, r in zip(crystals, relaxed, strict=True):
        assert r.converged
        assert not r.problem
        batch = FullBatch.pack([r.structure])
        found = LennardJones().prepare(batch).evaluate(batch.positions, batch.cell)
        # of the mean force of a molecule rounding is left
        assert float(found.energy[0]) == pytest.approx(r.energy, rel=1e-12)
        assert float(found.forces.norm(dim=1).max()) == pytest.approx(r.max_force, rel=1e-9)
        assert np.allclose(found.stress[0].numpy(), r.stress, rtol=1e-9)
        assert r.max_force < 0.05
        assert np.abs(r.stress).max() * GPA_PER_EV_A3 < 0.1
        start = FullBatch.pack([before])
        assert r.energy < float(LennardJones().prepare(start).evaluate(start.positions, start.cell).energy[0])


def test_without_a_limit_on_stress_more_of_it_is_left(crystals):
    left = [np.abs(r.stress).max() * GPA_PER_EV_A3 for r in relax(LennardJones(), crystals, replace(LBFGS, max_stress_gpa=None))]
    assert max(left) > 0.3


def test_both_optimizers_return_to_the_minimum(crystals):
    """Displaced from it, by MMFF: energies to what fmax leaves, 1e-4 eV per atom."""
    rigid = [crystals[k] for k in (0, 4, 6, 11, 12, 14)]
    minima = by_index(relax(Mmff(), rigid, replace(LBFGS, fmax=0.002, max_stress_gpa=0.01)))
    starts = [moved(r.structure, 0.02, r.index) for r in minima]
    for config in (LBFGS, FIRE):
        found = by_index(relax(Mmff(), starts, replace(config, fmax=0.01, max_stress_gpa=None)))
        for r, minimum in zip(found, minima, strict=True):
            assert r.converged
            assert -1e-6 < (r.energy - minimum.energy) / len(r.structure.positions) < 1e-4


def test_lbfgs_needs_far_fewer_evaluations(crystals):
    """From the experimental geometries, by MMFF, forces and stress; FIRE is not even done after 300 steps."""
    quick = by_index(relax(Mmff(), crystals, LBFGS))
    slow = by_index(relax(Mmff(), crystals, replace(FIRE, max_stress_gpa=0.1, max_steps=300)))
    assert all(r.converged for r in quick)
    assert sum(r.converged for r in slow) < len(crystals)
    assert 8 * sum(r.n_steps for r in quick) < sum(r.n_steps for r in slow)
    assert sum(r.energy for r in quick) < sum(r.energy for r in slow)


@pytest.mark.parametrize("config", [FIRE, LBFGS], ids=["fire", "lbfgs"])
def test_steps_are_counted_and_limited(crystals, config):
    results = by_index(relax(LennardJones(), crystals[:4], replace(config, fmax=1e-9, max_steps=3)))
    assert all((r.n_steps, r.converged, r.problem) == (3, False, "") for r in results)
    at_start = by_index(relax(LennardJones(), crystals[:4], replace(config, max_steps=0)))
    for r, crystal in zip(at_start, crystals, strict=False):
        assert np.allclose(r.structure.positions, crystal.positions, rtol=0, atol=1e-12)
        assert r.n_steps == 0


@pytest.mark.parametrize("config", [FIRE, LBFGS], ids=["fire", "lbfgs"])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("prepare", "no parameters for it"),
        ("problem", "cannot be evaluated there"),
        ("energy", "energy, forces or stress are not finite"),
        ("forces", "energy, forces or stress are not finite"),
        ("stress", "the cell left the range of 0.25 to 4 times its first volume"),
    ],
)
def test_a_structure_with_a_problem_is_marked_and_the_others_go_on(crystals, config, kind, reason):
    """Its last good geometry is kept, the one before the problem; others end as without it, to the last bit."""
    after = 0 if kind == "prepare" else 5
    some, copies = crystals[:6], 2
    hit = [c.template.n_copies == copies for c in some]
    assert 0 < sum(hit) < len(some)
    config = replace(config, max_steps=400 if kind == "stress" else 20, fmax=1e-6)
    good = by_index(relax(LennardJones(), some, config))
    recorder = Recorder()
    bad = by_index(relax(Broken(copies, kind, after), some, config, observe=recorder))
    for k, h in enumerate(hit):
        if not h:
            assert np.array_equal(bad[k].structure.positions, good[k].structure.positions)
            assert not bad[k].problem
            continue
        assert bad[k].problem == reason
        assert not bad[k].converged
        if kind == "prepare":
            assert np.array_equal(bad[k].structure.positions, some[k].positions)
            assert np.isnan(bad[k].energy)
        elif kind == "stress":
            ratio = np.linalg.det(bad[k].structure.cell) / np.linalg.det(some[k].cell)
            assert 3.0 < ratio < 4.0
        else:
            assert bad[k].n_steps == 4
            last_good = recorder.frames[k][4]
            assert bad[k].energy == last_good.energy
            assert np.array_equal(bad[k].structure.positions, last_good.structure.positions)


def test_atoms_at_one_place_are_a_problem_of_their_structure_alone(crystals):
    broken = replace(crystals[3], positions=np.full_like(crystals[3].positions, np.nan))
    flat = FullStructure(crystals[3].template, crystals[3].positions, np.diag([10.0, 10.0, 0.0]))
    results = by_index(relax(LennardJones(), [broken, crystals[0], flat], LBFGS))
    assert [r.converged for r in results] == [False, True, False]
    assert all(r.problem for r in results if not r.converged)


def test_only_hydrogens_move(crystals):
    starts = [moved(c, 0.05, k) for k, c in enumerate(crystals)]
    config = RelaxConfig.of_hydrogens()
    for r in relax(LennardJones(), starts, config):
        before, heavy = starts[r.index], full_numbers(starts[r.index].template) > 1
        assert np.array_equal(r.structure.positions[heavy], before.positions[heavy])
        assert np.array_equal(r.structure.cell, before.cell)
        assert r.n_steps <= 25
        if not heavy.all():
            assert np.abs(r.structure.positions[~heavy] - before.positions[~heavy]).max() > 0.02
            (first,) = relax(LennardJones(), [before], replace(config, max_steps=0))
            assert r.max_force < first.max_force
    by_lbfgs = by_index(relax(LennardJones(), starts, replace(config, optimizer=lbfgs.LbfgsConfig(), max_steps=200)))
    assert all(r.converged for r in by_lbfgs)
    for r, before in zip(by_lbfgs, starts, strict=True):
        heavy = full_numbers(before.template) > 1
        assert np.array_equal(r.structure.positions[heavy], before.positions[heavy])


def test_molecules_in_vacuum(crystals):
    """Beside crystals; they have no cell and no stress."""
    molecules = []
    for c in crystals[1:4]:
        n = len(c.positions) // c.template.n_copies
        molecules.append(FullStructure(Template(c.template.molecule, 1), c.positions[:n], None))
    for config in (FIRE, LBFGS):
        results = by_index(relax(LennardJones(), [crystals[0], *molecules], config))
        assert all(r.converged for r in results)
        assert all(r.structure.cell is None for r in results[1:])
        assert all(np.array_equal(r.stress, np.zeros((3, 3))) for r in results[1:])


def space_group(structure, tolerance=1e-5):
    cell = structure.cell, structure.positions @ np.linalg.inv(structure.cell), full_numbers(structure.template)
    return spglib.get_symmetry_dataset(cell, symprec=tolerance).number


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("config", [FIRE, LBFGS], ids=["fire", "lbfgs"])
def test_symmetry_is_kept(crystals, config):
    """Starts that have it within 0.05 Å, exactly at the end; none of the groups is trivial."""
    starts = [moved(c, 0.003, k) for k, c in enumerate(crystals)]
    measured = [space_group(c, 0.05) for c in crystals]
    assert min(measured) > 1
    results = by_index(relax(LennardJones(), starts, replace(config, keep_symmetry=True, max_steps=150)))
    kept = [space_group(r.structure) for r in results]
    # a relaxation within a group may end in a supergroup of it
    assert sum(k == m for k, m in zip(kept, measured, strict=True)) >= len(crystals) - 1
    without = by_index(relax(LennardJones(), starts, replace(config, max_steps=20)))
    assert sum(space_group(r.structure) == m for r, m in zip(without, measured, strict=True)) <= 2


def test_a_symmetric_start_relaxes_alike_with_and_without(crystals):
    """Forces on a symmetric crystal are symmetric, so that averaging them changes only rounding, until it has grown."""
    exact = [r.structure for r in by_index(relax(LennardJones(), crystals, replace(LBFGS, keep_symmetry=True, max_steps=0)))]
    for crystal, start in zip(crystals, exact, strict=True):
        assert np.abs(crystal.positions - start.positions).max() < 0.02
    config = replace(FIRE, max_steps=40)
    free = by_index(relax(LennardJones(), exact, config))
    kept = by_index(relax(LennardJones(), exact, replace(config, keep_symmetry=True)))
    for a, b in zip(free, kept, strict=True):
        assert a.energy == pytest.approx(b.energy, rel=1e-7)
        assert a.n_steps == b.n_steps


def test_trajectories(crystals, tmp_path):
    recorder = Recorder(every=10)
    results = by_index(relax(LennardJones(), [*crystals[:3], crystals[0]], replace(FIRE, max_atoms=50), observe=recorder))
    for r in results:
        frames = recorder.frames[r.index]
        assert [f.n_steps for f in frames] == [*range(0, r.n_steps, 10), r.n_steps]
        assert frames[-1].energy == r.energy
        assert np.array_equal(frames[-1].structure.positions, r.structure.positions)
        for suffix in ("traj", "extxyz"):
            path = tmp_path / f"{r.index}.{suffix}"
            write_trajectory(path, frames)
            images = ase.io.read(path, ":")
            assert len(images) == len(frames)
            assert np.allclose(images[-1].positions, r.structure.positions, rtol=0, atol=1e-7)
            assert images[-1].get_potential_energy() == pytest.approx(r.energy)
            assert np.allclose(images[-1].get_forces(), frames[-1].forces, rtol=0, atol=1e-7)
            assert np.allclose(images[-1].get_stress(voigt=False), r.stress, rtol=0, atol=1e-7)
    with pytest.raises(ValueError, match="every must be at least 1, got 0"):
        Recorder(0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"moving": "hydrogens"}, "cell must be 'fixed' where only hydrogens move, got 'molecular'"),
        ({"volume_factors": (1.5, 4.0)}, r"volume_factors must be below and above 1, got \(1.5, 4.0\)"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        RelaxConfig(**change)


def test_a_molecule_of_one_template_is_read_from_smiles():
    """A structure far from any minimum, of a molecule in no file: it comes together."""
    template = Template(Molecule.from_smiles("CO"), 2)
    generator = np.random.default_rng(1)
    center = np.repeat([[1.0, 1, 1], [4.5, 4.5, 4.5]], 6, 0)
    start = FullStructure(template, center + generator.normal(scale=0.8, size=(12, 3)), 7.0 * np.eye(3))
    (result,) = relax(LennardJones(), [start])
    assert result.converged
    assert np.linalg.det(result.structure.cell) < 300
