"""Whose failure it was, with a model that stands in for those of other packages: they are not installed everywhere."""

import pytest
import torch

from packflow.errors import InputError
from packflow.potential.foreign import ForeignError, PreparedForeign, boxed, foreign, network_device, parts, unfit, unknown_elements
from packflow.potential.interface import Evaluation


class Springs:
    """From each atom to the origin; refuses more structures than it has room for, and atoms that start beyond `wall`."""

    cutoff, max_atoms, device = 3.0, 1000, torch.device("cpu")

    def __init__(self, room=100, wall=1e9):
        self.room, self.wall, self.asked = room, wall, []

    def compute(self, batch):
        self.asked.append(len(batch))
        with foreign("springs"):
            if len(batch) > self.room:
                raise torch.OutOfMemoryError("CUDA out of memory.\n  Tried to allocate")
            if (batch.positions[:, 0] > self.wall).any():
                raise ZeroDivisionError
        energy = torch.zeros(len(batch), dtype=torch.float64).index_add(0, batch.structure_index, 0.5 * batch.positions.square().sum(1))
        return Evaluation(energy, -batch.positions, torch.zeros(len(batch), 3, 3, dtype=torch.float64), [""] * len(batch))


@pytest.fixture
def eight(mixed):
    return mixed.select(torch.tensor([0, 1, 2, 0, 1, 2, 0, 1]))


def evaluate(model, batch, problems=None):
    return PreparedForeign(model, batch, problems or [""] * len(batch)).evaluate(batch.positions, batch.cell)


def test_the_one_that_fails_is_found(eight):
    positions = eight.positions.clone()
    positions[eight.atom_ptr[5]] += 1000
    batch = eight.at(positions, eight.cell)
    expected, model = evaluate(Springs(), batch), Springs(wall=500.0)
    found = evaluate(model, batch)
    assert found.problems == ["", "", "", "", "", "springs raised ZeroDivisionError", "", ""]
    assert model.asked == [8, 4, 4, 2, 1, 1, 2]
    good = torch.arange(8) != 5
    assert torch.equal(found.energy[good], expected.energy[good])
    assert torch.equal(found.forces[good[batch.structure_index]], expected.forces[good[batch.structure_index]])
    assert found.forces[batch.structure_index == 5].isnan().all()


def test_a_batch_that_is_too_large_is_computed_in_smaller_ones(eight):
    model = Springs(room=3)
    found = evaluate(model, eight)
    assert found.problems == [""] * 8
    assert torch.equal(found.energy, evaluate(Springs(), eight).energy)
    assert model.asked == [8, 4, 2, 2, 4, 2, 2]


def test_where_nothing_fits(eight):
    found = evaluate(Springs(room=0), eight)
    assert found.problems == ["springs raised OutOfMemoryError: CUDA out of memory. Tried to allocate"] * 8
    assert found.energy.isnan().all()


def test_known_problems_are_not_computed(eight):
    model = Springs()
    found = evaluate(model, eight, ["", "unknown", *[""] * 6])
    assert model.asked == [7]
    assert found.problems == ["", "unknown", *[""] * 6]
    assert found.energy.isnan().tolist() == [False, True, *[False] * 6]


def test_results_are_where_the_coordinates_are(eight):
    """And in float64, whatever the coordinates are in; no gradient is followed."""
    positions = eight.positions.float().requires_grad_(True)
    found = PreparedForeign(Springs(), eight, [""] * 8).evaluate(positions, eight.cell.float())
    assert found.energy.dtype == found.forces.dtype == found.stress.dtype == torch.float64
    assert not found.energy.requires_grad


@pytest.mark.parametrize("device", ["mps", *([] if torch.cuda.is_available() else ["cuda", "cuda:1"])])
def test_devices_that_are_not_there(device):
    with pytest.raises(InputError, match=f"device must be cpu or, where there is one, cuda, got '{device}'"):
        network_device(device)


def test_parts():
    assert parts([0, 1, 3, 4, 5], [4, 4, 99, 30, 2, 8], 10) == [[0, 1], [3], [4, 5]]
    assert parts([], [1], 10) == []


def test_only_exceptions_of_the_block_are_foreign():
    with pytest.raises(ForeignError, match=r"^them raised KeyError: 'a'$") as found, foreign("them"):
        {}["a"]
    assert isinstance(found.value.__cause__, KeyError)
    with pytest.raises(SystemExit), foreign("them"):
        raise SystemExit
    with pytest.raises(ForeignError) as found, foreign("them"):
        raise ValueError("long " * 1000)
    assert len(str(found.value)) < 400


def test_boxes_keep_images_of_molecules_apart(mixed):
    cell = boxed(mixed, 6.0)
    assert torch.equal(cell[[0, 2]], mixed.cell[[0, 2]])
    molecule = mixed.positions[mixed.structure_index == 1]
    torch.testing.assert_close(cell[1].diagonal(), molecule.amax(0) - molecule.amin(0) + 12.0)
    assert cell[1].count_nonzero() == 3


def test_unfit(mixed):
    assert unfit(mixed, 6.0) == ["", "", ""]
    dense = mixed.at(mixed.positions, 0.2 * mixed.cell)
    assert unfit(dense, 6.0)[1] == ""
    assert unfit(dense, 6.0)[0].startswith("cell must have at least 1 Å3 per atom, got 0.1")


def test_unknown_elements(mixed):
    assert unknown_elements(mixed, {1, 6, 8}, "It") == ["It does not know N", "", "It does not know N"]
    assert unknown_elements(mixed, {1}, "It")[0] == "It does not know C, N, O"
