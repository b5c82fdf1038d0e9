"""The tile table: every atom once, the comparison of bonds only where a tile holds one."""

import pytest
import torch

from packflow.kernels.bond_attention_tiles import INNER, TILE, tile_table

SIZES = [1, 0, 31, 64, 65, 130, 200]


def csr(sizes, bonds_per_atom, generator):
    """Pointers of crystals and rows, and targets, of random edges inside the crystals."""
    cu_seqlens = torch.tensor([0, *sizes]).cumsum(0)
    crystal = torch.repeat_interleave(torch.tensor(sizes))
    source = torch.randint(len(crystal), (int(bonds_per_atom * len(crystal)),), generator=generator).sort().values
    first, size = cu_seqlens[crystal[source]], torch.tensor(sizes)[crystal[source]]
    target = first + (torch.rand(len(source), generator=generator) * size).long()
    row_ptr = torch.cat([torch.zeros(1, dtype=torch.long), torch.bincount(source, minlength=len(crystal)).cumsum(0)])
    return (cu_seqlens.int(), row_ptr.int(), target.int()), source


def slots(tile, block, owned, visited):
    """How many edges of one atom of the tile to look at to see all that end in the block; edges in the order of `owned`."""
    most = 0
    for atom in range(*tile):
        ends = visited[owned == atom].tolist()
        most = max([most, *(i + 1 for i, end in enumerate(ends) if block[0] <= end < block[1])])
    return most


@pytest.mark.parametrize("bonds_per_atom", [0, 0.05, 2])
def test_slots_are_the_fewest_that_see_all_bonds(bonds_per_atom, generator):
    arguments, source = csr(SIZES, bonds_per_atom, generator)
    table = tile_table(*arguments)
    target = arguments[2].long()
    order = target.argsort(stable=True)
    for start, first, last, entry in table.tiles.tolist():
        tile = start, min(start + TILE, last)
        for i, block in enumerate(range(first, last, INNER)):
            assert table.query_slots[entry + i] == slots(tile, (block, block + INNER), source, target)
            assert table.key_slots[entry + i] == slots(tile, (block, block + INNER), target[order], source[order])


def test_every_atom_is_in_one_tile_of_its_crystal(generator):
    table = tile_table(*csr(SIZES, 2, generator)[0])
    atoms = [atom for start, _, last, _ in table.tiles.tolist() for atom in range(start, min(start + TILE, last))]
    assert sorted(atoms) == list(range(sum(SIZES)))
    sizes = table.tiles[:, 2] - table.tiles[:, 1]
    assert sizes.tolist() == sorted(sizes.tolist(), reverse=True)


def test_transposed_edges_are_the_same_edges(generator):
    arguments, source = csr(SIZES, 2, generator)
    table = tile_table(*arguments)
    of_target = torch.repeat_interleave(table.key_ptr.diff())
    assert torch.equal(arguments[2][table.edge_index.long()].long(), of_target)
    assert torch.equal(source[table.edge_index.long()], table.source.long())


def test_one_large_crystal_has_a_small_table():
    table = tile_table(torch.tensor([0, 4000]).int(), torch.zeros(4001).int(), torch.zeros(0).int())
    assert table.tiles.shape == (63, 4)
    assert table.query_slots.numel() == table.key_slots.numel() == 63 * 125
