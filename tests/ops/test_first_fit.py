"""ASE -> reference -> the CPU kernel, on random packings of a bent molecule in three space groups."""

import importlib

import numpy as np
import pytest
import torch
from ase.neighborlist import primitive_neighbor_list

from packflow.baseline.tries import rotations_of
from packflow.ops import first_fit, reference

SHAPE = torch.tensor([[-1.4, 0.1, 0.0], [0.0, -0.4, 0.2], [1.1, 0.6, -0.1], [0.3, 0.5, 1.3]], dtype=torch.float64)
RADII = torch.tensor([1.2, 1.0, 1.3, 0.8], dtype=torch.float64)
INVERSION = np.concatenate([-np.eye(3), np.zeros((3, 1))], 1)
GROUPS = {
    "P1": [np.eye(3, 4)],
    "P-1": [np.eye(3, 4), INVERSION],
    # x, y, z; -x, y + 1/2, -z + 1/2
    "P21/c": [np.eye(3, 4), np.array([[-1, 0, 0, 0], [0, 1, 0, 0.5], [0, 0, -1, 0.5]])],
}
GROUPS["P21/c"] += [np.array(INVERSION[:, :3] @ op) for op in GROUPS["P21/c"]]


def tries(group, n_molecules, n, seed, size=5.5):
    generator = np.random.default_rng(seed)
    cell = np.eye(3) * generator.uniform(size, 1.8 * size, (n, 3))[:, :, None]
    cell[:, 2, 0] = generator.uniform(-2, 2, n)
    if group != "P21/c":
        cell[:, 1, 0], cell[:, 2, 1] = generator.uniform(-2, 2, (2, n))
    operations = np.tile(np.stack(GROUPS[group]), (n_molecules, 1, 1))
    molecule = np.repeat(np.arange(n_molecules, dtype=np.int32), len(GROUPS[group]))
    rotation, center = rotations_of(generator.normal(size=(n, n_molecules, 4))), generator.uniform(-3, 3, (n, n_molecules, 3))
    arrays = [torch.from_numpy(np.ascontiguousarray(x)) for x in (cell, rotation, center)]
    return *arrays, SHAPE, RADII, torch.from_numpy(operations), torch.from_numpy(molecule)


def one(arguments, number):
    return *(x[number : number + 1] for x in arguments[:3]), *arguments[3:]


def ase_fits(cell, rotation, center, shape, radii, operations, molecule):
    rows, of_copy = cell[0].numpy(), molecule.numpy()
    atoms = (shape.numpy() @ rotation[0].numpy().swapaxes(1, 2)) @ np.linalg.inv(rows) + center[0].numpy()[:, None]
    atoms = atoms[of_copy] @ operations[:, :, :3].numpy().swapaxes(1, 2) + operations[:, None, :, 3].numpy()
    n = len(shape)
    i, j, d, shift = primitive_neighbor_list("ijdS", (True,) * 3, rows, atoms.reshape(-1, 3) @ rows, 2 * float(radii.max()))
    between = (i // n != j // n) | (shift != 0).any(1)
    r = radii.numpy()
    return not (d < r[i % n] + r[j % n])[between].any()


@pytest.mark.parametrize("n_molecules", [1, 2])
@pytest.mark.parametrize("group", GROUPS)
def test_ase_reference_and_kernel_agree(group, n_molecules):
    n = 40
    arguments = tries(group, n_molecules, n, seed=3, size=4.5 * (n_molecules * len(GROUPS[group])) ** (1 / 3))
    expected = [ase_fits(*one(arguments, k)) for k in range(n)]
    assert 0 < sum(expected) < n, "the cases show both outcomes"
    assert [first_fit(*one(arguments, k)) == 0 for k in range(n)] == expected
    assert [reference.first_fit(*one(arguments, k)) == 0 for k in range(0, n, 5)] == expected[::5]
    assert first_fit(*arguments) == expected.index(True)


def test_small_and_thin_cells_have_many_images():
    arguments = tries("P-1", 1, 30, seed=5, size=2.5)
    assert [first_fit(*one(arguments, k)) for k in range(30)] == [reference.first_fit(*one(arguments, k)) for k in range(30)]


def test_decided_in_double_at_the_contact():
    cell = 10.0 * torch.eye(3, dtype=torch.float64)[None]
    center, turn = torch.zeros(1, 1, 3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)[None, None]
    rest = torch.zeros(1, 3, dtype=torch.float64), torch.eye(3, 4, dtype=torch.float64)[None], torch.zeros(1, dtype=torch.int32)
    fits = [first_fit(cell, turn, center, rest[0], torch.tensor([r], dtype=torch.float64), *rest[1:]) for r in (5 - 1e-12, 5 + 1e-12)]
    assert fits == [0, -1]


def test_threads_change_nothing(monkeypatch):
    arguments = tries("P-1", 2, 3000, seed=7, size=4.6)
    alone = first_fit(*arguments)
    assert alone > 0
    monkeypatch.setattr(importlib.import_module("packflow.ops.first_fit").torch, "get_num_threads", lambda: 3)
    assert first_fit(*arguments) == alone


def test_no_tries():
    assert first_fit(*one(tries("P1", 1, 1, 0), 1)) == -1


@pytest.mark.parametrize(
    ("place", "change", "message"),
    [
        (0, lambda x: -x, "cell must be right-handed"),
        (1, lambda x: x[:, :1], "center must have shape"),
        (2, lambda x: x * float("nan"), "center must be finite"),
        (3, lambda x: x.float(), "shape must have dtype"),
        (4, lambda x: -x, "radii must be positive"),
        (5, lambda x: x.flip(0), "operations must begin with the identity"),
        (6, lambda x: x.flip(0), "molecule must ascend"),
    ],
)
def test_bad_arguments(place, change, message):
    arguments = list(tries("P-1", 2, 3, 0))
    arguments[place] = change(arguments[place])
    with pytest.raises(ValueError, match=message):
        first_fit(*arguments)
