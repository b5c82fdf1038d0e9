"""Gas-phase references, and energies that can be computed by hand."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from ase.units import kJ, mol

from packflow.potential.lennard_jones import LennardJones, PreparedLennardJones
from packflow.rank.conformers import ConformerConfig, conformers
from packflow.rank.lattice_energy import (
    KJ_MOL_PER_EV,
    GasConfig,
    GasPhase,
    best_conformer,
    lattice_energy_kj_mol,
    relative_energy_kj_mol,
)
from packflow.relax.relax import RelaxConfig, relax
from packflow.structure.full import FullBatch

FEW = GasConfig(ConformerConfig(6))


@dataclass
class Counting:
    """Lennard-Jones that counts the structures it is prepared for, and knows nothing of the molecules in `unknown`."""

    unknown: tuple[str, ...] = ()
    prepared: list[str] = field(default_factory=list)
    name: str = "counting"

    def prepare(self, batch):
        self.prepared += [template.molecule.smiles for template in batch.templates]
        problems = ["no parameters" if t.molecule.smiles in self.unknown else "" for t in batch.templates]
        return PreparedCounting(LennardJones().prepare(batch), problems)


@dataclass
class PreparedCounting:
    """What `Counting` prepares."""

    inner: PreparedLennardJones
    problems: list[str]

    def select(self, structures):
        return PreparedCounting(self.inner.select(structures), [self.problems[s] for s in structures.tolist()])

    def evaluate(self, positions, cell):
        return self.inner.evaluate(positions, cell)


def test_energies_by_hand():
    assert pytest.approx(mol / kJ, rel=1e-7) == KJ_MOL_PER_EV
    assert lattice_energy_kj_mol(-10.0, 4, -1.5) == pytest.approx(-96.48533212)
    assert relative_energy_kj_mol(-10.0, 4, -2.75) == pytest.approx(0.25 * 96.48533212)
    assert np.isnan(lattice_energy_kj_mol(-10.0, 4, np.nan))


def test_reference_is_the_lowest_minimum():
    smiles = "OCCO"
    found = GasPhase(LennardJones(), FEW).references([smiles])[smiles]
    starts = conformers(smiles, FEW.conformers)
    ends = list(relax(LennardJones(), starts, FEW.relax))
    assert (found.n_conformers, found.n_usable, found.problem) == (12, 12, "")
    assert found.energy == min(end.energy for end in ends)
    assert max(end.energy for end in ends) > found.energy + 1e-3
    batch = FullBatch.pack([found.structure])
    there = LennardJones().prepare(batch).evaluate(batch.positions, batch.cell)
    assert float(there.energy) == pytest.approx(found.energy, abs=1e-12)
    assert float(there.forces.norm(dim=1).max()) < FEW.relax.fmax


def test_each_molecule_is_computed_once_whatever_its_smiles():
    potential = Counting()
    gas = GasPhase(potential, FEW)
    first = gas.references(["OC", "CO", "CC"])
    assert sorted(set(potential.prepared)) == ["CC", "CO"]
    assert first["OC"] is first["CO"]
    n = len(potential.prepared)
    assert gas.references(["C(O)[H]"])["C(O)[H]"] is first["CO"]
    assert len(potential.prepared) == n
    alone = GasPhase(LennardJones(), FEW).references(["CC"])["CC"]
    assert alone.energy == first["CC"].energy


def test_molecule_without_parameters():
    found = GasPhase(Counting(unknown=("CO",)), FEW).references(["CO", "CC"])
    assert np.isnan(found["CO"].energy)
    assert found["CO"].structure is None
    assert found["CO"].problem == "none of 12 conformers is usable; the first: no parameters"
    assert found["CC"].problem == ""


def test_too_few_steps():
    config = replace(FEW, relax=RelaxConfig(cell="fixed", fmax=1e-9, max_steps=1))
    found = GasPhase(LennardJones(), config).references(["OCCO"])["OCCO"]
    assert found.problem == "none of 12 conformers is usable; the first: not converged after 1 steps"


def test_broken_and_inverted_conformers_do_not_count(ended):
    """The lowest has lost a hydrogen, the next is a diastereomer, the next not converged: the fourth is the reference."""
    smiles, other = "C[C@@H](O)[C@H](N)C", "C[C@H](O)[C@H](N)C"
    good, worse, *_ = conformers(smiles, ConformerConfig(2))
    torn = good.positions.copy()
    torn[-1] += 5.0
    wrong = replace(conformers(other, ConformerConfig(1))[0], template=good.template)
    ends = [
        ended(worse, energy=-1.0),
        ended(replace(good, positions=torn), energy=-5.0),
        ended(wrong, energy=-4.0),
        ended(good, energy=-3.0, converged=False),
        ended(good, energy=-2.0),
    ]
    found = best_conformer(smiles, ends)
    assert (found.energy, found.structure, found.n_usable) == (-2.0, good, 2)
    assert "as if bonded" in best_conformer(smiles, ends[1:2]).problem or "Å long" in best_conformer(smiles, ends[1:2]).problem
    assert "another stereoisomer" in best_conformer(smiles, ends[2:3]).problem


def test_no_geometry():
    assert best_conformer("CC", []).problem == "RDKit finds no geometry of the molecule"


def test_no_molecules():
    assert GasPhase(LennardJones()).references([]) == {}


@pytest.mark.parametrize("relaxation", [RelaxConfig(), RelaxConfig.of_hydrogens()])
def test_cell_must_be_fixed(relaxation):
    with pytest.raises(ValueError, match="relax must move all atoms in a fixed cell"):
        GasConfig(relax=relaxation)


def test_lattice_energy_of_a_dimer_far_apart(apart):
    """Two molecules in a huge cell do not see each other: no lattice energy."""
    reference = GasPhase(LennardJones(), FEW).references(["CC"])["CC"]
    crystal = apart([reference.structure, reference.structure], length=60.0)
    batch = FullBatch.pack([crystal])
    energy = float(LennardJones().prepare(batch).evaluate(batch.positions, batch.cell).energy)
    assert lattice_energy_kj_mol(energy, 2, reference.energy) == pytest.approx(0.0, abs=1e-6)
    assert torch.isfinite(batch.positions).all()
