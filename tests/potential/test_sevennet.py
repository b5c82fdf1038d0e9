"""SevenNet-0 with D3(BJ): weights and parameters come with the packages, so the numbers are theirs."""

import importlib.util
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from packflow.errors import InputError
from packflow.potential import potential_of
from packflow.potential.ase import AseCalculator, ase_atoms
from packflow.potential.d3 import D3
from packflow.potential.foreign import PreparedForeign
from packflow.potential.sevennet import SevenNet
from packflow.structure.full import FullBatch

SEVENN, DFTD3 = (importlib.util.find_spec(name) is not None for name in ("sevenn", "dftd3"))
needs_both = pytest.mark.skipif(not (SEVENN and DFTD3), reason="sevenn or dftd3 is not installed: pip install 'packflow-csp[sevennet]'")
needs_dftd3 = pytest.mark.skipif(not DFTD3, reason="dftd3 is not installed: pip install 'packflow-csp[sevennet]'")
# torch warns of what sevenn and e3nn use
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def sevennet():
    return potential_of("sevennet")


@pytest.fixture(scope="module")
def bare():
    """Without D3, which takes most of the time and is tested alone."""
    return SevenNet(dispersion=False)


class Dispersion:
    """D3 alone as a potential."""

    name, cutoff, max_atoms, device = "d3", 10.0, 100, torch.device("cpu")

    def __init__(self):
        self.compute = D3("pbe").compute

    def prepare(self, batch):
        return PreparedForeign(self, batch, [""] * len(batch))


@needs_both
def test_single(sevennet, mixed, check_single):
    check_single(sevennet, mixed, 2e-5)


@needs_both
def test_derivatives(bare, mixed, check_derivatives):
    """As good as float32 lets it be: the differences are of energies of 70 eV."""
    check_derivatives(bare, mixed, 2e-3, step=2e-3)


@needs_dftd3
def test_derivatives_of_d3(mixed, check_derivatives):
    """The energy has jumps of 1e-8 eV, where a pair comes within dftd3's cutoff of 60 Bohr."""
    check_derivatives(Dispersion(), mixed, 2e-3, step=2e-3)


@needs_both
def test_failures(bare, mixed, check_failures):
    check_failures(bare, mixed, 2e-5)


@needs_both
def test_numbers_of_the_packages(sevennet, mixed):
    """As the sum of their own calculators, in crystals and in vacuum."""
    from ase.calculators.mixing import SumCalculator
    from dftd3.ase import DFTD3
    from sevenn.calculator import SevenNetCalculator

    network, dispersion = SevenNetCalculator("7net-0", device="cpu"), DFTD3(method="PBE", damping="d3bj")
    found = sevennet.prepare(mixed).evaluate(mixed.positions, mixed.cell)
    for s, structure in enumerate(mixed.split()):
        atoms = ase_atoms(structure)
        atoms.calc = SumCalculator([network, dispersion])
        assert found.energy[s].item() == pytest.approx(atoms.get_potential_energy(), rel=1e-6)
        np.testing.assert_allclose(found.forces[mixed.structure_index == s].numpy(), atoms.get_forces(), atol=1e-4)
        if structure.cell is not None:
            np.testing.assert_allclose(found.stress[s].numpy(), atoms.get_stress(voigt=False), atol=2e-6)
        atoms.calc = AseCalculator(sevennet, structure)
        assert found.energy[s].item() == pytest.approx(atoms.get_potential_energy(), rel=1e-6)


@needs_both
def test_without_hydrogens(bare, mixed):
    """Heavy atoms alone."""
    heavy = mixed.atomic_numbers > 1
    ends = torch.cat([torch.zeros(1, dtype=torch.int64), heavy.cumsum(0)])[mixed.atom_ptr.long()]
    batch = replace(mixed, atomic_numbers=mixed.atomic_numbers[heavy], positions=mixed.positions[heavy], atom_ptr=ends.int())
    found = bare.prepare(batch).evaluate(batch.positions, batch.cell)
    assert found.problems == ["", "", ""]
    again = bare.prepare(mixed).evaluate(mixed.positions, mixed.cell)
    assert found.energy[1] == pytest.approx(again.energy[1].item(), abs=1e-5), "carbon dioxide has no hydrogens"
    assert (found.energy[[0, 2]] > again.energy[[0, 2]]).all()


@needs_both
def test_a_lone_atom(bare, loose):
    """Without any neighbour there are no forces."""
    methane, ends = FullBatch.pack([loose("C")]), torch.tensor([0, 1], dtype=torch.int32)
    carbon = replace(methane, atomic_numbers=methane.atomic_numbers[:1], positions=methane.positions[:1], atom_ptr=ends)
    found = bare.prepare(carbon).evaluate(carbon.positions, carbon.cell)
    assert found.problems == [""]
    assert found.energy.isfinite().all()
    assert (found.forces == 0).all()


@needs_both
def test_an_unknown_element(sevennet, bare, mixed):
    """Named before anything is computed; what is unknown to D3 alone is known without it."""
    numbers = mixed.atomic_numbers.clone()
    numbers[0], numbers[1], numbers[-1] = 84, 85, 95
    batch = replace(mixed, atomic_numbers=numbers)
    prepared = sevennet.prepare(batch)
    assert prepared.problems == ["SevenNet does not know 84, 85", "", "SevenNet does not know 95"]
    assert prepared.select(torch.tensor([2, 1])).problems == ["SevenNet does not know 95", ""]
    found = prepared.evaluate(batch.positions, batch.cell)
    assert found.problems == prepared.problems
    assert found.energy.isfinite().tolist() == [False, True, False]


@needs_both
def test_d3_that_raises(sevennet, mixed, monkeypatch):
    """One structure that dftd3 refuses is marked with its reason."""
    import dftd3.interface

    class Refusing(dftd3.interface.DispersionModel):
        def __init__(self, numbers, *arguments):
            if len(numbers) == 3:
                raise RuntimeError("too close")
            super().__init__(numbers, *arguments)

    monkeypatch.setattr(dftd3.interface, "DispersionModel", Refusing)
    found = sevennet.prepare(mixed).evaluate(mixed.positions, mixed.cell)
    assert found.problems == ["", "dftd3 raised RuntimeError: too close", ""]
    assert found.energy.isfinite().tolist() == [True, False, True]


@needs_dftd3
def test_d3_against_its_formula(loose):
    """Two argon atoms far apart: -C6 / r^6 dominates, so doubling the distance divides by 64."""
    pair = FullBatch.pack([loose("C")])
    energies = []
    for distance in (12.0, 24.0):
        positions = torch.tensor([[0.0, 0, 0], [0, 0, distance]], dtype=torch.float64)
        ends = torch.tensor([0, 2], dtype=torch.int32)
        found = D3("pbe").compute(replace(pair, positions=positions, atomic_numbers=torch.tensor([18, 18]), atom_ptr=ends))
        energies.append(found.energy.item())
        assert found.forces[0, 2] > 0, "they attract"
    assert energies[0] / energies[1] == pytest.approx(64, rel=0.1)


@needs_dftd3
def test_an_unknown_functional():
    with pytest.raises(InputError, match="functional must be one that dftd3 has D3\\(BJ\\) parameters for, got 'nonsense'"):
        D3("nonsense")


@needs_both
def test_files_that_are_no_checkpoint(tmp_path):
    text = tmp_path / "text.pth"
    text.write_text("no pickle")
    for model in (text, "7net-11"):
        with pytest.raises(InputError, match=f"model must be a checkpoint of SevenNet or a name of one, got '{model}'"):
            SevenNet(model)
    with pytest.raises(InputError, match="model must have one level of theory, '7net-mf-0' has"):
        SevenNet("7net-mf-0")


@pytest.mark.parametrize(("module", "missing"), [("sevenn.util", "potential sevennet needs sevenn"), ("dftd3.interface", "D3 needs dftd3")])
def test_without_the_packages(module, missing, monkeypatch):
    if module == "dftd3.interface" and not SEVENN:
        pytest.skip("sevenn is not installed: pip install 'packflow-csp[sevennet]'")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=rf"{missing} \(.*\): pip install 'packflow-csp\[sevennet\]'"):
        potential_of("sevennet")
