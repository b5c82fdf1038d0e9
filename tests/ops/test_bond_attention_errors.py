"""What `bond_table` and `bond_attention` say of arguments that they cannot work with."""

import re
from dataclasses import replace

import pytest
import torch

from packflow.ops import bond_attention, bond_attention_qkv, bond_table

BOND_INDEX = torch.tensor([[0, 1, 4], [1, 0, 6]])
CU_SEQLENS = torch.tensor([0, 4, 4, 9], dtype=torch.int32)


@pytest.fixture
def arguments():
    q, k, v = torch.zeros(9, 3, 2, 16).unbind(1)
    table = bond_table(BOND_INDEX, CU_SEQLENS)
    return {"q": q, "k": k, "v": v, "edge_bias": torch.zeros(3, 2), "cu_seqlens": CU_SEQLENS, "bonds": table}


def pointers(*values):
    return torch.tensor(values, dtype=torch.int32)


CALLS = {
    "not a tensor": ({"q": [0.0]}, TypeError, "q must be a torch.Tensor, got list"),
    "float64": ({"q": torch.zeros(9, 2, 16).double()}, ValueError, "q must have dtype torch.float32 or torch.bfloat16, got torch.float64"),
    "two axes": ({"q": torch.zeros(9, 32)}, ValueError, "q must have shape ('n_atoms', 'n_heads', 'd_head'), got (9, 32)"),
    "head dim of 12": ({"q": torch.zeros(9, 2, 12)}, ValueError, "q must have a d_head that is a multiple of 8 up to 128, got 12"),
    "head dim of 136": ({"q": torch.zeros(9, 2, 136)}, ValueError, "q must have a d_head that is a multiple of 8 up to 128, got 136"),
    "head dim of 0": ({"q": torch.zeros(9, 2, 0)}, ValueError, "q must have a d_head that is a multiple of 8 up to 128, got 0"),
    "fewer keys": ({"k": torch.zeros(8, 2, 16)}, ValueError, "k must have shape (9, 2, 16), got (8, 2, 16)"),
    "mixed precision": ({"v": torch.zeros(9, 2, 16).bfloat16()}, ValueError, "v must have dtype torch.float32, got torch.bfloat16"),
    "other device": ({"v": torch.zeros(9, 2, 16, device="meta")}, ValueError, "v must be on cpu, got meta"),
    "strided last axis": (
        {"k": torch.zeros(9, 16, 2).mT},
        ValueError,
        "k must have a contiguous last axis, got strides (32, 1, 2)",
    ),
    "bias of one head": ({"edge_bias": torch.zeros(3, 1)}, ValueError, "edge_bias must have shape (3, 2), got (3, 1)"),
    "bias of another table": ({"edge_bias": torch.zeros(4, 2)}, ValueError, "edge_bias must have shape (3, 2), got (4, 2)"),
    "half bias": ({"edge_bias": torch.zeros(3, 2).bfloat16()}, ValueError, "edge_bias must have dtype torch.float32, got torch.bfloat16"),
    "int64 pointers": ({"cu_seqlens": CU_SEQLENS.long()}, ValueError, "cu_seqlens must have dtype torch.int32, got torch.int64"),
    "no pointers": ({"cu_seqlens": pointers()}, ValueError, "cu_seqlens must hold at least one pointer, got none"),
    "pointers that fall": (
        {"cu_seqlens": pointers(0, 6, 4, 9)},
        ValueError,
        "cu_seqlens must rise from 0 to the number of atoms, 9, without a step down, got 4 at index 2 after 6",
    ),
    "pointers past the end": ({"cu_seqlens": pointers(0, 4, 10)}, ValueError, "the number of atoms, 9, without a step down, got 10"),
    "pointers from 1": ({"cu_seqlens": pointers(1, 4, 9)}, ValueError, "got 1 at index 0"),
    "bonds of another batch": (
        {"cu_seqlens": pointers(0, 5, 9)},
        ValueError,
        "column of bonds must be atoms of the edge's own crystal, 0 to 4, got 6 for edge 2",
    ),
}
FUSED = {
    "not a tensor": ([0.0], TypeError, "qkv must be a torch.Tensor, got list"),
    "three axes": (torch.zeros(9, 2, 16), ValueError, "qkv must have shape ('n_atoms', 3, 'n_heads', 'd_head'), got (9, 2, 16)"),
    "two of three": (torch.zeros(9, 2, 2, 16), ValueError, "qkv must have shape ('n_atoms', 3, 'n_heads', 'd_head'), got (9, 2, 2, 16)"),
    "float64": (torch.zeros(9, 3, 2, 16).double(), ValueError, "qkv must have dtype torch.float32 or torch.bfloat16, got torch.float64"),
    "head dim of 12": (torch.zeros(9, 3, 2, 12), ValueError, "qkv must have a d_head that is a multiple of 8 up to 128, got 12"),
    "strided last axis": (
        torch.zeros(9, 3, 16, 2).mT,
        ValueError,
        "qkv must have a contiguous last axis, got strides (96, 32, 1, 2)",
    ),
    "more heads than biases": (torch.zeros(9, 3, 4, 16), ValueError, "edge_bias must have shape (3, 4), got (3, 2)"),
    "more atoms than the table": (torch.zeros(10, 3, 2, 16), ValueError, "bonds.row_ptr must have shape (11,), got (10,)"),
}
TABLES = {
    "row_ptr of another size": ({"row_ptr": pointers(0, 3)}, "bonds.row_ptr must have shape (10,), got (2,)"),
    "row_ptr that falls": (
        {"row_ptr": pointers(0, 1, 2, 2, 2, 3, 1, 3, 3, 3)},
        "row_ptr of bonds must rise from 0 to the number of bonds, 3, without a step down, got 1 at index 6 after 3",
    ),
    "row_ptr past the end": ({"row_ptr": pointers(0, 1, 2, 2, 2, 3, 3, 3, 3, 99)}, "the number of bonds, 3, without a step down, got 99"),
    "negative column": ({"column": pointers(1, -1, 6)}, "own crystal, 0 to 3, got -1 for edge 1"),
}
BUILDS = {
    "one row": ((torch.zeros(1, 3).long(), CU_SEQLENS), ValueError, "bond_index must have shape (2, 'n_bonds'), got (1, 3)"),
    "int32 bonds": ((BOND_INDEX.int(), CU_SEQLENS), ValueError, "bond_index must have dtype torch.int64, got torch.int32"),
    "int64 pointers": ((BOND_INDEX, CU_SEQLENS.long()), ValueError, "cu_seqlens must have dtype torch.int32, got torch.int64"),
    "no pointers": ((BOND_INDEX, pointers()), ValueError, "cu_seqlens must rise from 0 without a step down, got []"),
    "pointers that fall": (
        (BOND_INDEX, pointers(0, 5, 4, 9)),
        ValueError,
        "cu_seqlens must rise from 0 without a step down, got [0, 5, 4, 9]",
    ),
    "pointers from 1": ((BOND_INDEX, pointers(1, 9)), ValueError, "cu_seqlens must rise from 0 without a step down, got [1, 9]"),
    "atom past the end": ((BOND_INDEX + 3, CU_SEQLENS), ValueError, "bond_index must be atoms from 0 to 8, got an edge from 7 to 9"),
    "negative atom": ((BOND_INDEX - 1, CU_SEQLENS), ValueError, "bond_index must be atoms from 0 to 8, got an edge from -1 to 0"),
    "edge that leaves its crystal": (
        (torch.tensor([[0, 3], [1, 4]]), CU_SEQLENS),
        ValueError,
        "bond_index must join atoms of the same crystal, got an edge from atom 3 of crystal 0 to atom 4 of crystal 2",
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_message(arguments, name):
    change, error, message = CALLS[name]
    with pytest.raises(error, match=re.escape(message)):
        bond_attention(**{**arguments, **change})


@pytest.mark.parametrize("name", FUSED)
def test_message_of_the_fused_form(arguments, name):
    qkv, error, message = FUSED[name]
    with pytest.raises(error, match=re.escape(message)):
        bond_attention_qkv(qkv, *(arguments[x] for x in ("edge_bias", "cu_seqlens", "bonds")))


@pytest.mark.parametrize("name", TABLES)
def test_table_that_does_not_fit(arguments, name):
    change, message = TABLES[name]
    arguments["bonds"] = replace(arguments["bonds"], **change)
    with pytest.raises(ValueError, match=re.escape(message)):
        bond_attention(**arguments)


@pytest.mark.parametrize("name", BUILDS)
def test_table_of_impossible_bonds(name):
    arguments, error, message = BUILDS[name]
    with pytest.raises(error, match=re.escape(message)):
        bond_table(*arguments)
