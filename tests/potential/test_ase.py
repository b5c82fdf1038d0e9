"""ASE's calculators as potentials, and potentials as ASE's calculators."""

import numpy as np
import pytest
import torch
from ase.calculators.calculator import CalculationFailed, Calculator, CalculatorSetupError, PropertyNotImplementedError, all_changes
from ase.calculators.lj import LennardJones
from ase.filters import FrechetCellFilter
from ase.md.verlet import VelocityVerlet
from ase.optimize import FIRE
from ase.stress import voigt_6_to_full_3x3_stress

from packflow import Molecule, Template
from packflow.errors import InputError
from packflow.potential.ase import AseCalculator, AsePotential, ase_atoms
from packflow.structure.full import FullBatch, FullStructure


def soft():
    """Smooth at its cutoff, and weak where atoms are bonded."""
    return LennardJones(sigma=1.5, epsilon=0.01, rc=5.0, smooth=True)


class WithoutStress(Calculator):
    """A spring from each atom to the origin; no stress."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": 0.5 * (self.atoms.positions**2).sum(), "forces": -self.atoms.positions}


class Moody(WithoutStress):
    """Raises at carbon dioxide, or gives no number, and can do nothing from then on."""

    made = 0

    def __init__(self, returns=None):
        super().__init__()
        Moody.made += 1
        self.returns, self.broken = returns, False

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        if self.returns is None and (self.broken or len(self.atoms) == 3):
            self.broken = True
            raise KeyError("no parameters\nfor this")
        if len(self.atoms) == 3:
            self.results["energy"] = self.returns


def test_single(mixed, check_single):
    check_single(AsePotential(soft()), mixed, 1e-12)


def test_derivatives(mixed, check_derivatives):
    check_derivatives(AsePotential(soft), mixed, 1e-5, step=1e-4)


def test_failures(mixed, check_failures):
    check_failures(AsePotential(soft()), mixed, 1e-12)


def test_numbers_of_ase(mixed):
    found = AsePotential(soft()).prepare(mixed).evaluate(mixed.positions, mixed.cell)
    for s, structure in enumerate(mixed.split()):
        atoms = ase_atoms(structure)
        atoms.calc = soft()
        assert atoms.pbc.all() == (structure.cell is not None)
        assert found.energy[s].item() == pytest.approx(atoms.get_potential_energy(), abs=1e-12)
        np.testing.assert_allclose(found.forces[mixed.structure_index == s].numpy(), atoms.get_forces(), atol=1e-12)
        if structure.cell is not None:
            np.testing.assert_allclose(found.stress[s].numpy(), atoms.get_stress(voigt=False), atol=1e-12)


def test_a_calculator_without_stress(mixed):
    found = AsePotential(WithoutStress()).prepare(mixed).evaluate(mixed.positions, mixed.cell)
    assert found.problems == ["", "", ""]
    assert found.energy.isfinite().all()
    assert torch.equal(found.stress.isnan().all(2).all(1), mixed.periodic)
    assert (found.stress[1] == 0).all()


def test_a_calculator_that_raises(mixed):
    Moody.made = 0
    found = AsePotential(Moody, name="moody").prepare(mixed).evaluate(mixed.positions, mixed.cell)
    assert found.problems == ["", "moody raised KeyError: 'no parameters\\nfor this'", ""]
    assert found.energy.isfinite().tolist() == [True, False, True]
    assert torch.equal(found.forces.isfinite().all(1), mixed.structure_index != 1)
    assert Moody.made == 2, "one that raised is replaced where there is a factory"


def test_an_instance_is_kept(mixed):
    found = AsePotential(Moody()).prepare(mixed).evaluate(mixed.positions, mixed.cell)
    assert [bool(problem) for problem in found.problems] == [False, True, True]


@pytest.mark.parametrize("returned", [np.nan, np.inf])
def test_a_calculator_that_gives_no_number(mixed, returned):
    found = AsePotential(lambda: Moody(returned)).prepare(mixed).evaluate(mixed.positions, mixed.cell)
    assert found.problems == ["", "energy, forces and stress must be finite, but are not", ""]
    assert found.forces[mixed.structure_index == 1].isnan().all()


def test_our_mistakes_are_not_hidden(mixed):
    prepared = AsePotential(soft()).prepare(mixed)
    with pytest.raises(ValueError, match="positions must have shape"):
        prepared.evaluate(mixed.positions[:, :2], mixed.cell)


def test_interrupts_are_not_hidden(mixed):
    def interrupt(self, *arguments):
        raise KeyboardInterrupt

    calculator = soft()
    calculator.calculate = interrupt
    with pytest.raises(KeyboardInterrupt):
        AsePotential(calculator).prepare(mixed).evaluate(mixed.positions, mixed.cell)


@pytest.mark.parametrize("wrong", ["emt", 3, lambda: "emt"])
def test_no_calculator(wrong):
    with pytest.raises(InputError, match="calculator must be an ASE calculator, or make one when called, got"):
        AsePotential(wrong)


def test_empty():
    batch = FullBatch.pack([])
    found = AsePotential(soft()).prepare(batch).evaluate(batch.positions, batch.cell)
    assert found.energy.shape == (0,)
    assert found.forces.shape == (0, 3)
    assert found.problems == []


def test_there_and_back(mixed):
    """A calculator behind a potential behind a calculator is the calculator."""
    potential = AsePotential(soft())
    for structure in mixed.split():
        ours, theirs = ase_atoms(structure), ase_atoms(structure)
        ours.calc, theirs.calc = AseCalculator(potential, structure), soft()
        for atoms in (ours, theirs):
            atoms.rattle(0.05, seed=3)
        assert ours.get_potential_energy() == pytest.approx(theirs.get_potential_energy(), abs=1e-12)
        assert ours.get_potential_energy(force_consistent=True) == ours.get_potential_energy()
        np.testing.assert_allclose(ours.get_forces(), theirs.get_forces(), atol=1e-12)
        if structure.cell is not None:
            np.testing.assert_allclose(ours.get_stress(), theirs.get_stress(), atol=1e-12)
            np.testing.assert_allclose(voigt_6_to_full_3x3_stress(ours.get_stress()), ours.get_stress(voigt=False), atol=1e-12)
        else:
            with pytest.raises(PropertyNotImplementedError):
                ours.get_stress()


def test_ase_relaxes_with_our_potential(loose):
    """The same steps as with the calculator itself, cell included."""
    structure = loose("NC=O", 2, 5.5, 3)
    ends = []
    for calculator in (AseCalculator(AsePotential(soft()), structure), soft()):
        atoms = ase_atoms(structure)
        atoms.calc = calculator
        before = atoms.get_potential_energy()
        FIRE(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-6, steps=20)
        assert atoms.get_potential_energy() < before - 1e-3
        ends.append(np.concatenate([atoms.positions, atoms.cell[:]]))
    np.testing.assert_allclose(*ends, atol=1e-9)


def test_molecular_dynamics_conserves_the_energy(loose):
    structure = loose("O=C=O")
    atoms = ase_atoms(structure)
    atoms.calc = AseCalculator(AsePotential(WithoutStress()), structure)
    before = atoms.get_total_energy()
    VelocityVerlet(atoms, timestep=0.01).run(50)
    assert atoms.get_kinetic_energy() > 1.0
    assert atoms.get_total_energy() == pytest.approx(before, rel=1e-4)


def test_a_calculator_of_ours_refuses_other_atoms(loose):
    structure = loose("NC=O", 2, 5.5, 3)
    atoms = ase_atoms(structure)
    atoms.calc = AseCalculator(AsePotential(soft()), structure)
    atoms.get_potential_energy()
    atoms.pbc = [True, True, False]
    with pytest.raises(CalculatorSetupError, match=r"pbc of the atoms must be True throughout, got \[True, True, False\]"):
        atoms.get_potential_energy()
    atoms.pbc = True
    atoms.numbers[0] = 6
    with pytest.raises(CalculatorSetupError, match="atoms must have the atomic numbers"):
        atoms.get_potential_energy()


def test_a_problem_is_an_error_of_ase(loose):
    structure = loose("O=C=O")
    calculator = AseCalculator(AsePotential(Moody), structure)
    with pytest.raises(CalculationFailed, match="ase raised KeyError: 'no parameters"):
        calculator.get_property("energy", ase_atoms(structure))


def test_a_structure_that_cannot_be_computed_anywhere():
    class Choosy:
        name = "choosy"

        def prepare(self, batch):
            prepared = AsePotential(soft()).prepare(batch)
            prepared.problems[0] = "no parameters"
            return prepared

    structure = FullStructure(Template(Molecule.from_smiles("C"), 1), np.zeros((5, 3)), None)
    with pytest.raises(InputError, match="structure must be one that potential choosy can compute: no parameters"):
        AseCalculator(Choosy(), structure)
