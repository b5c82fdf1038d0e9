"""UMA by fairchem-core, with random weights: the released ones are gated. Random ones have all that the adapter can get wrong."""

import importlib.util
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from packflow.errors import InputError
from packflow.potential import potential_of
from packflow.potential.ase import AseCalculator, ase_atoms
from packflow.potential.uma import Uma, wrapped
from packflow.structure.full import FullBatch

needs_fairchem = pytest.mark.skipif(
    importlib.util.find_spec("fairchem") is None, reason="fairchem-core is not installed: pip install 'packflow-csp[uma]'"
)
# fairchem-core and e3nn warn of what they do themselves
pytestmark = pytest.mark.filterwarnings("ignore")

CHANNELS = 16
BACKBONE = {
    "model": "fairchem.core.models.uma.escn_moe.eSCNMDMoeBackbone",
    "moe_dropout": 0.0,
    "moe_layer_type": "pytorch",
    "num_experts": 4,
    "use_composition_embedding": True,
    "use_global_embedding": False,
    "max_num_elements": 100,
    "sphere_channels": CHANNELS,
    "edge_channels": CHANNELS,
    "hidden_channels": CHANNELS,
    "lmax": 2,
    "mmax": 2,
    "otf_graph": True,
    "max_neighbors": 300,
    "cutoff": 6.0,
    "distance_function": "gaussian",
    "num_distance_basis": 64,
    "regress_forces": True,
    "regress_stress": True,
    "direct_forces": False,
    "num_layers": 2,
    "norm_type": "rms_norm_sh",
    "act_type": "gate",
    "ff_type": "spectral",
    "chg_spin_emb_type": "rand_emb",
    "cs_emb_grad": True,
    "model_version": 1.1,
    "always_use_pbc": False,
}
MODULE = "fairchem.core.units.mlip_unit.mlip_unit"


def task(dataset, level, quantity, dim):
    found = {
        "_target_": f"{MODULE}.Task",
        "name": f"{dataset}_{quantity}",
        "level": level,
        "property": quantity,
        "out_spec": {"_target_": f"{MODULE}.OutputSpec", "dim": dim, "dtype": "float32"},
        "normalizer": {"_target_": "fairchem.core.modules.normalization.normalizer.Normalizer", "mean": 0.0, "rmsd": 1.0},
        "datasets": [dataset],
        "metrics": ["mae"],
    }
    if quantity == "energy":
        references = {"_target_": "torch.DoubleTensor", "_args_": [[-0.5 * z for z in range(100)]]}
        where = "fairchem.core.modules.normalization.element_references.ElementReferences"
        found["element_references"] = {"_target_": where, "element_references": references}
    return found


@pytest.fixture(scope="module")
def write_checkpoint(tmp_path_factory):
    """A function that writes a small checkpoint in fairchem's format with random weights for the given training set."""

    def write(dataset="omc"):
        import hydra
        from fairchem.core.units.mlip_unit.api.inference import MLIPInferenceCheckpoint

        head = {
            "module": "fairchem.core.models.uma.escn_moe.DatasetSpecificSingleHeadWrapper",
            "head_cls": "fairchem.core.models.uma.escn_md.MLP_EFS_Head",
            "dataset_names": [dataset],
            "head_kwargs": {"wrap_property": False},
        }
        config = {
            "_target_": "fairchem.core.models.base.HydraModel",
            "model_id": "UMA-1.1-random",
            "pass_through_head_outputs": True,
            "otf_graph": True,
            "backbone": BACKBONE | {"dataset_list": [dataset]},
            "heads": {"energyandforcehead": head},
        }
        torch.manual_seed(0)
        state = hydra.utils.instantiate(config).state_dict()
        averaged = {f"module.{name}": value for name, value in state.items()} | {"n_averaged": torch.tensor(0)}
        tasks = [task(dataset, "system", "energy", [1]), task(dataset, "atom", "forces", [3]), task(dataset, "system", "stress", [1, 9])]
        path = tmp_path_factory.mktemp("uma") / f"{dataset}.pt"
        torch.save(MLIPInferenceCheckpoint(config, state, averaged, tasks), path)
        return path

    return write


@pytest.fixture(scope="module")
def checkpoint(write_checkpoint):
    return write_checkpoint()


@pytest.fixture(scope="module")
def uma(checkpoint):
    return potential_of(f"uma:{checkpoint}")


@needs_fairchem
def test_single(uma, mixed, check_single):
    check_single(uma, mixed, 2e-5)


@needs_fairchem
def test_derivatives(checkpoint, mixed, check_derivatives):
    check_derivatives(Uma(checkpoint, dtype=torch.float64), mixed, 1e-6, step=1e-4)


@needs_fairchem
def test_float32_is_near_float64(uma, checkpoint, mixed):
    """To the rounding of float32: of energies of -100 eV, most of it those of the elements, and of forces up to 0.1 eV/Å."""
    found = uma.prepare(mixed).evaluate(mixed.positions, mixed.cell)
    exact = Uma(checkpoint, dtype=torch.float64).prepare(mixed).evaluate(mixed.positions, mixed.cell)
    torch.testing.assert_close(found.energy, exact.energy, rtol=1e-6, atol=0)
    torch.testing.assert_close(found.forces, exact.forces, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.stress, exact.stress, rtol=0, atol=1e-7)


@needs_fairchem
def test_failures(uma, mixed, check_failures):
    check_failures(uma, mixed, 2e-5)


@needs_fairchem
def test_numbers_of_fairchem(uma, checkpoint, mixed):
    """As fairchem's own calculator, in vacuum and in crystals, whose atoms lie outside the cell."""
    from fairchem.core import FAIRChemCalculator
    from fairchem.core.units.mlip_unit import load_predict_unit

    calculator = FAIRChemCalculator(load_predict_unit(checkpoint, inference_settings="batch", device="cpu"), task_name="omc")
    found = uma.prepare(mixed).evaluate(mixed.positions, mixed.cell)
    for s, structure in enumerate(mixed.split()):
        atoms = ase_atoms(structure)
        atoms.calc = calculator
        assert found.energy[s].item() == pytest.approx(atoms.get_potential_energy(), abs=1e-5)
        np.testing.assert_allclose(found.forces[mixed.structure_index == s].numpy(), atoms.get_forces(), atol=1e-6)
        if structure.cell is not None:
            np.testing.assert_allclose(found.stress[s].numpy(), atoms.get_stress(voigt=False), atol=1e-7)
        atoms.calc = AseCalculator(uma, structure)
        assert found.energy[s].item() == pytest.approx(atoms.get_potential_energy(), abs=1e-5)


@needs_fairchem
def test_without_hydrogens(uma, mixed):
    """Heavy atoms alone, as the paper's reward has them: as fairchem's calculator on the same atoms."""
    from fairchem.core import FAIRChemCalculator

    heavy = mixed.atomic_numbers > 1
    ends = torch.cat([torch.zeros(1, dtype=torch.int64), heavy.cumsum(0)])[mixed.atom_ptr.long()]
    batch = replace(mixed, atomic_numbers=mixed.atomic_numbers[heavy], positions=mixed.positions[heavy], atom_ptr=ends.int())
    found = uma.prepare(batch).evaluate(batch.positions, batch.cell)
    assert found.problems == ["", "", ""]
    atoms = ase_atoms(mixed.split()[0])
    del atoms[[atom.index for atom in atoms if atom.symbol == "H"]]
    assert len(atoms) == ends[1]
    atoms.calc = FAIRChemCalculator(uma._unit, task_name="omc")
    assert found.energy[0].item() == pytest.approx(atoms.get_potential_energy(), abs=1e-5)
    np.testing.assert_allclose(found.forces[: ends[1]].numpy(), atoms.get_forces(), atol=1e-6)


@needs_fairchem
def test_the_origin_does_not_matter(uma, mixed):
    """Nor do digits get lost far from it."""
    prepared = uma.prepare(mixed)
    near = prepared.evaluate(mixed.positions, mixed.cell)
    far = mixed.positions + 300 * mixed.cell.sum(1)[mixed.structure_index]
    found = prepared.evaluate(far, mixed.cell)
    torch.testing.assert_close(found.energy, near.energy, rtol=0, atol=2e-5)
    torch.testing.assert_close(found.forces, near.forces, rtol=0, atol=2e-5)


@needs_fairchem
def test_a_lone_atom_in_vacuum_is_a_problem(uma, loose):
    """fairchem knows such by name of the weights only, and refuses a batch with one: the others are computed without it."""
    pair = FullBatch.pack([loose("NC=O"), loose("C"), loose("O=C=O")])
    atoms = torch.tensor([*range(7), *range(11, 14)])
    alone = replace(
        pair,
        atomic_numbers=pair.atomic_numbers[atoms],
        positions=pair.positions[atoms],
        atom_ptr=torch.tensor([0, 6, 7, 10], dtype=torch.int32),
    )
    found = uma.prepare(alone).evaluate(alone.positions, alone.cell)
    assert found.problems[0] == found.problems[2] == ""
    assert found.problems[1].startswith("uma raised ValueError: Single atom")
    assert found.energy.isnan().tolist() == [False, True, False]


@needs_fairchem
def test_memory_that_does_not_suffice(uma, mixed, monkeypatch):
    """A batch that is too large is computed in halves; fairchem's failure is one structure's only if it fails alone."""
    expected = uma.prepare(mixed).evaluate(mixed.positions, mixed.cell)
    whole, asked = uma._unit.predict, []

    def predict(data):
        asked.append(len(data.natoms))
        if len(data.natoms) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")
        return whole(data)

    monkeypatch.setattr(uma._unit, "predict", predict)
    found = uma.prepare(mixed).evaluate(mixed.positions, mixed.cell)
    assert asked == [3, 1, 2]
    assert found.problems == ["", "", ""]
    torch.testing.assert_close(found.energy, expected.energy, rtol=0, atol=2e-5)
    assert uma.max_atoms == 100
    monkeypatch.setattr(uma, "max_atoms", 20)
    asked.clear()
    uma.prepare(mixed).evaluate(mixed.positions, mixed.cell)
    assert asked == [2, 1]


@needs_fairchem
def test_a_name_that_fairchem_does_not_have():
    with pytest.raises(InputError, match=r"model must be a checkpoint file or one of .*uma-s-1p1.*, got 'uma-xl'"):
        Uma("uma-xl")


@needs_fairchem
def test_weights_that_cannot_be_fetched(monkeypatch):
    """The hub says so with an OSError, whether the licence was not accepted or there is no network."""
    from fairchem.core.calculate import pretrained_mlip
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError

    assert issubclass(GatedRepoError, HfHubHTTPError)
    assert issubclass(HfHubHTTPError, OSError)

    def download(**asked):
        raise LocalEntryNotFoundError(f"no {asked['filename']}\nin the cache")

    monkeypatch.setattr(pretrained_mlip, "hf_hub_download", download)
    with pytest.raises(InputError, match=r"weights of uma-s-1p1 cannot be fetched \(no uma-s-1p1.pt\): accept the licence at .*uma:FILE"):
        potential_of("uma")


@needs_fairchem
def test_files_that_are_no_such_checkpoint(tmp_path, write_checkpoint):
    text, tensor = tmp_path / "text.pt", tmp_path / "tensor.pt"
    text.write_text("no pickle")
    torch.save(torch.zeros(3), tensor)
    for file in (text, tensor):
        with pytest.raises(InputError, match=f"{file} is no checkpoint that fairchem-core reads"):
            Uma(file)
    with pytest.raises(InputError, match=r"must offer energy, forces, stress of task 'omc', offers nothing"):
        Uma(write_checkpoint("omat"))


@pytest.mark.parametrize("name", ["uma", "uma:file.pt"])
def test_without_fairchem(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "fairchem.core", None)
    with pytest.raises(InputError, match=r"potential uma needs fairchem-core \(.*\): pip install 'packflow-csp\[uma\]'"):
        potential_of(name)


def test_wrapped_positions_differ_by_lattice_vectors(mixed):
    cell = torch.where(mixed.periodic[:, None, None], mixed.cell, torch.eye(3, dtype=torch.float64))
    found = wrapped(mixed.positions, cell, mixed.periodic, mixed.structure_index)
    steps = torch.einsum("ni,nij->nj", found - mixed.positions, torch.linalg.inv(cell)[mixed.structure_index])
    inside = torch.einsum("ni,nij->nj", found, torch.linalg.inv(cell)[mixed.structure_index])
    crystals = mixed.periodic[mixed.structure_index]
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-9)
    assert ((inside[crystals] > -1e-9) & (inside[crystals] < 1 + 1e-9)).all()
    assert (steps[~crystals] == 0).all()
