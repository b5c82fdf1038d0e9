"""The network as a function of packed crystals: what it must and must not depend on."""

from dataclasses import replace

import pytest
import torch

from packflow.errors import InputError
from packflow.model import ModelConfig, PackFlow
from packflow.model.embedding import atom_inputs, n_atom_inputs
from packflow.structure import FlowSpace, Molecule, Template, TemplateBatch

CONFIGS = {
    "paper": ModelConfig(32, 4, 64, 2),
    "open": ModelConfig(32, 4, 64, 2, FlowSpace("packed"), time_scale=30.0, atom_encoding="one_hot", n_refinements=2),
}
TEMPLATES = [("CC(=O)O", 3), ("C", 1), ("c1ccccc1Br", 2), ("N#N", 4)]
# Two float32 evaluations of the same sums in another order.
TOLERANCE = {"atol": 2e-6, "rtol": 1e-5}


def made(name):
    """A network whose refinements move atoms, as they do after training."""
    torch.manual_seed(0)
    model = PackFlow(CONFIGS[name])
    for refinement in model.refinements:
        torch.nn.init.normal_(refinement.step.weight)
    return model


@pytest.fixture(params=CONFIGS)
def model(request):
    return made(request.param).requires_grad_(False)


def templates():
    return [Template(Molecule.from_smiles(smiles), n_copies) for smiles, n_copies in TEMPLATES]


def state_of(batch, generator):
    n, c = batch.n_atoms, batch.n_crystals
    return [torch.randn(n, 3, generator=generator), torch.randn(c, 6, generator=generator)] + [
        torch.rand(c, generator=generator) for _ in range(2)
    ]


def test_a_crystal_does_not_depend_on_its_neighbours_in_the_batch(model, generator):
    batch = TemplateBatch.pack(templates())
    positions, lattice, t_positions, t_lattice = state_of(batch, generator)
    together = model(positions, lattice, t_positions, t_lattice, batch)
    first = 0
    for i, template in enumerate(templates()):
        rows = slice(first, first := first + template.n_atoms)
        one = slice(i, i + 1)
        alone = model(positions[rows], lattice[one], t_positions[one], t_lattice[one], TemplateBatch.pack([template]))
        torch.testing.assert_close(together[0][rows], alone[0], **TOLERANCE)
        torch.testing.assert_close(together[1][one], alone[1], **TOLERANCE)


def test_molecules_exchange_with_their_coordinates(model, generator):
    template = Template(Molecule.from_smiles("CC(=O)O"), 3)
    batch = TemplateBatch.pack([template])
    positions, *rest = state_of(batch, generator)
    order = torch.tensor([2, 0, 1])[:, None] * 4 + torch.arange(4)
    straight, permuted = model(positions, *rest, batch), model(positions[order.flatten()], *rest, batch)
    torch.testing.assert_close(straight[0][order.flatten()], permuted[0], **TOLERANCE)
    torch.testing.assert_close(straight[1], permuted[1], **TOLERANCE)


def test_the_order_of_bonds_does_not_matter(model, generator):
    batch = TemplateBatch.pack(templates())
    state = state_of(batch, generator)
    order = torch.randperm(batch.bond_index.shape[1], generator=generator)
    shuffled = replace(batch, bond_index=batch.bond_index[:, order], bond_features=batch.bond_features[order])
    for expected, got in zip(model(*state, batch), model(*state, shuffled), strict=True):
        torch.testing.assert_close(got, expected, **TOLERANCE)


@pytest.mark.parametrize("changed", ["atom_features", "bond_features", "bond_index"])
def test_velocities_depend_on_every_part_of_the_graph(model, generator, changed):
    batch = TemplateBatch.pack([Template(Molecule.from_smiles("CC(=O)O"), 2)])
    state = state_of(batch, generator)
    value = getattr(batch, changed)
    other = replace(batch, **{changed: value.flip(0) if changed == "bond_index" else 1 - value.clamp(max=1)})
    if changed == "bond_index":
        other = replace(batch, bond_index=torch.stack([value[0], value[1].roll(2)]).clamp(max=7))
    assert not torch.allclose(model(*state, batch)[0], model(*state, other)[0], atol=1e-4)


@pytest.mark.parametrize("channel", range(4), ids=["positions", "lattice", "t_positions", "t_lattice"])
def test_both_velocities_depend_on_every_input(model, generator, channel):
    batch = TemplateBatch.pack([Template(Molecule.from_smiles("CC(=O)O"), 2)])
    state = state_of(batch, generator)
    changed = list(state)
    changed[channel] = changed[channel] * 0.5
    for before, after in zip(model(*state, batch), model(*changed, batch), strict=True):
        assert not torch.allclose(before, after, atol=1e-5)


def test_condition_once_or_each_time_is_the_same(model, generator):
    batch = TemplateBatch.pack(templates())
    condition = model.condition(batch)
    for _ in range(2):
        state = state_of(batch, generator)
        for once, each in zip(model.velocity(*state[:2], model.times(*state[2:]), condition), model(*state, batch), strict=True):
            assert torch.equal(once, each)


def test_a_crystal_of_one_atom_and_no_bonds(model, generator):
    batch = TemplateBatch.pack([Template(Molecule.from_smiles("C"), 1)])
    assert batch.bond_index.shape == (2, 0)
    velocity_positions, velocity_lattice = model(*state_of(batch, generator), batch)
    assert velocity_positions.shape == (1, 3)
    assert velocity_lattice.shape == (1, 6)
    assert velocity_positions.isfinite().all()
    assert velocity_lattice.isfinite().all()


def test_every_parameter_gets_a_gradient(generator):
    model = made("open")
    batch = TemplateBatch.pack(templates())
    velocities = model(*state_of(batch, generator), batch)
    sum(v.square().sum() for v in velocities).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_bond_between_two_crystals_is_refused():
    batch = TemplateBatch.pack(templates())
    bonds = batch.bond_index.clone()
    bonds[1, 0] = batch.n_atoms - 1
    model = PackFlow(CONFIGS["paper"])
    with pytest.raises(ValueError, match="bond_index must join atoms of the same crystal"):
        model.condition(replace(batch, bond_index=bonds))


def test_one_hot_tells_all_values_and_the_number_of_atoms_apart():
    small = TemplateBatch.pack([Template(Molecule.from_smiles("CC(=O)O"), 1)])
    large = TemplateBatch.pack([Template(Molecule.from_smiles("CC(=O)O"), 4)])
    inputs, four = atom_inputs(small, "one_hot"), atom_inputs(large, "one_hot")
    assert inputs.shape == (4, n_atom_inputs("one_hot"))
    assert torch.equal(inputs[:, :-2].sum(-1), torch.full((4,), 10.0))
    assert len(inputs.unique(dim=0)) == 4
    assert torch.equal(inputs[:, :-2], four[:4, :-2])
    torch.testing.assert_close(four[:4, -2:] - inputs[:, -2:], torch.tensor(4.0).log().expand(4, 2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_layers": 0}, "n_layers must be at least 1, got 0"),
        ({"n_refinements": -1}, "n_refinements must be at least 0, got -1"),
        ({"n_heads": 5}, "n_heads must divide d_model"),
        ({"n_heads": 8}, "d_model / n_heads must be a multiple of 8 up to 128, got 4"),
        ({"atom_encoding": "words"}, "atom_encoding must be 'index' or 'one_hot'"),
    ],
)
def test_impossible_configurations_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        replace(CONFIGS["paper"], **change)
