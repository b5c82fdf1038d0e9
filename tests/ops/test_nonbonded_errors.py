"""Arguments that `nonbonded` and `ewald` refuse: the error names them."""

import pytest
import torch

from packflow.ops import ewald, nonbonded

WRONG = {
    "positions": lambda x: x.float(),
    "cell": lambda x: x[:, :2],
    "atom_ptr": lambda x: x.long(),
    "periodic": lambda x: x[:-1],
    "charges": lambda x: x[1:],
    "types": lambda x: x + 10,
    "radius": lambda x: x[0],
    "epsilon": lambda x: x[:, :2],
    "molecule": lambda x: x.double(),
    "special_ptr": lambda x: x.flip(0),
    "special_index": lambda x: x - 100,
    "special_scale": lambda x: x[:, :1],
}


@pytest.mark.parametrize("name", WRONG)
def test_argument_is_named(molecular_batch, name):
    batch = molecular_batch([(1, 4), (1, 3)])
    with pytest.raises(ValueError, match=rf"^{name} must .*got"):
        nonbonded(**batch | {name: WRONG[name](batch[name])})


def test_pointers_that_do_not_rise(molecular_batch):
    batch = molecular_batch([(1, 4), (1, 3)])
    batch["atom_ptr"][1] = 9
    with pytest.raises(ValueError, match="atom_ptr must rise from 0 to 7"):
        nonbonded(**batch)


@pytest.mark.parametrize("same_number", [False, True], ids=["another molecule", "another structure"])
def test_special_atoms_of_another_molecule(molecular_batch, same_number):
    batch = molecular_batch([(1, 4), (1, 3)])
    batch["special_index"][-1] = 1
    if same_number:
        batch["molecule"][:] = 0
    with pytest.raises(ValueError, match="special_index must be atoms of the same molecule, got atom 1 for atom 6"):
        nonbonded(**batch)


@pytest.mark.parametrize("cutoff", [0.0, 1.9, -3.0, float("nan"), float("inf")])
def test_cutoff(molecular_batch, cutoff):
    with pytest.raises(ValueError, match="cutoff must be"):
        nonbonded(**molecular_batch([(1, 4)]), cutoff=cutoff)


def test_tail(molecular_batch):
    with pytest.raises(ValueError, match="tail must have shape"):
        nonbonded(**molecular_batch([(1, 4)]), tail=torch.zeros(2, dtype=torch.float64))


def test_not_a_tensor(molecular_batch):
    with pytest.raises(TypeError, match=r"charges must be a torch\.Tensor"):
        nonbonded(**molecular_batch([(1, 2)]) | {"charges": [0.1, -0.1]})


@pytest.mark.parametrize("name", ["alpha", "k_cutoff"])
def test_ewald(molecular_batch, name):
    batch = molecular_batch([(1, 4)])
    arguments = {key: batch[key] for key in ("positions", "cell", "atom_ptr", "charges")} | {"alpha": 0.4, "k_cutoff": 3.0}
    with pytest.raises(ValueError, match=f"{name} must be a positive number"):
        ewald(**arguments | {name: 0.0})
    with pytest.raises(ValueError, match="buffer must be zero or a positive number"):
        ewald(**arguments, buffer=-0.1)
    with pytest.raises(ValueError, match="charges must have shape"):
        ewald(**arguments | {"charges": batch["charges"][1:]})
