"""Which atoms a program of the attention kernels owns, and which tiles of its crystal hold a bond."""

from dataclasses import dataclass

import torch
from torch import Tensor

TILE = 64  # atoms of one row of `TileTable.tiles`
INNER = 32  # a program visits its crystal in blocks of this many atoms


@dataclass(frozen=True)
class TileTable:
    """Tiles of a packed batch and its bonds seen from the keys; built once and used by all layers.

    Tile t meets block b of its crystal in entry tiles[t, 3] + b of the two slot tables: how many edges of an atom of the tile must be
    looked at to see every bond between tile and block. 0 where there is none: the kernels then skip the comparison.

    tiles:       first atom of the tile, first and last + 1 atom of its crystal, first entry in the slot tables; int32. [n_tiles, 4]
    query_slots: the tile holds the queries (sources of edges), the block the keys; int32. [n_entries]
    key_slots:   the tile holds the keys (targets of edges), the block the queries; int32. [n_entries]
    key_ptr:     first edge of each target atom in the next two, then n_bonds; int32. [n_atoms + 1]
    source:      source atoms, ordered by target; int32. [n_bonds]
    edge_index:  the same edges' places in `column`; int32. [n_bonds]
    """

    tiles: Tensor
    query_slots: Tensor
    key_slots: Tensor
    key_ptr: Tensor
    source: Tensor
    edge_index: Tensor


def tile_table(
    cu_seqlens: Tensor,  # [n_crystals + 1]
    row_ptr: Tensor,  # [n_atoms + 1]
    column: Tensor,  # [n_bonds]
) -> TileTable:
    """Cut the crystals of a packed batch into tiles and mark those that hold a bond.

    Args:
        cu_seqlens: First atom of each crystal, then n_atoms, int32. [n_crystals + 1]
        row_ptr: First edge of each source atom, then n_bonds, int32. [n_atoms + 1]
        column: Target atom of each edge, in the crystal of its source, int32. [n_bonds]

    Returns:
        The table, on the device of the arguments. Building it waits for that device a few times.
    """
    cu, row_ptr, target = cu_seqlens.long(), row_ptr.long(), column.long()
    size = cu.diff()
    n_tiles = (size + TILE - 1) // TILE
    first_tile = _pointers(n_tiles)
    crystal = torch.repeat_interleave(n_tiles)  # [n_tiles]
    start = cu[crystal] + TILE * _rank(crystal, first_tile)
    first_entry = _pointers((size[crystal] + INNER - 1) // INNER)

    source = torch.repeat_interleave(row_ptr.diff())  # [n_bonds]
    edge_index = torch.argsort(target, stable=True)
    key_ptr = _pointers(torch.bincount(target, minlength=len(row_ptr) - 1))
    key_rank = torch.empty_like(edge_index).scatter_(0, edge_index, _rank(target[edge_index], key_ptr))

    crystal_of_edge = torch.bucketize(source, cu[1:], right=True)
    tile_of_crystal, origin = first_tile[crystal_of_edge], cu[crystal_of_edge]

    def slots(owned: Tensor, visited: Tensor, rank: Tensor) -> Tensor:
        entry = first_entry[tile_of_crystal + (owned - origin) // TILE] + (visited - origin) // INNER
        return cu.new_zeros(int(first_entry[-1])).scatter_reduce(0, entry, rank + 1, "amax").int()

    tiles = torch.stack([start, cu[crystal], cu[crystal + 1], first_entry[:-1]], dim=1).int()
    # the largest crystals first, so that the last programs to start are short
    order = torch.argsort(size[crystal], descending=True, stable=True)
    return TileTable(
        tiles=tiles[order].contiguous(),
        query_slots=slots(source, target, _rank(source, row_ptr)),
        key_slots=slots(target, source, key_rank),
        key_ptr=key_ptr.int(),
        source=source[edge_index].int(),
        edge_index=edge_index.int(),
    )


def _pointers(counts: Tensor) -> Tensor:
    """Running sum that begins with 0. [n] -> [n + 1]"""
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def _rank(group: Tensor, pointers: Tensor) -> Tensor:
    """Place of each item within its group, for items sorted by group. [n]"""
    return torch.arange(len(group), device=group.device) - pointers[group]
