"""Native operations on packed crystals: tensors in, tensors out."""

from packflow.ops.bond_attention import BondTable, bond_attention, bond_attention_qkv, bond_table
from packflow.ops.clash import clash

__all__ = ["BondTable", "bond_attention", "bond_attention_qkv", "bond_table", "clash"]
