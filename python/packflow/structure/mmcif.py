"""mmCIF data blocks of small molecules, as the CCDC's software writes them, under the names of core CIF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import gemmi

SYMOP = "_space_group_symop_operation_xyz"
# how core CIF states operations, and a space group
OPERATION_TAGS = (SYMOP, "_symmetry_equiv_pos_as_xyz")
GROUP_TAGS = (
    "_space_group_name_H-M_alt",
    "_symmetry_space_group_name_H-M",
    "_space_group_name_Hall",
    "_symmetry_space_group_name_Hall",
    "_space_group_IT_number",
    "_symmetry_Int_Tables_number",
)
# names that are not those of mmCIF with an underscore for the dot
CORE_NAMES = {
    "_atom_site.label_atom_id": "_atom_site_label",
    "_atom_site.label_alt_id": "_atom_site_disorder_group",
}
# a bond in mmCIF; "?": a column that may be missing
BOND_COLUMNS = ["conn_type_id", "ptnr1_label_atom_id", "ptnr2_label_atom_id", "?ptnr1_symmetry", "?ptnr2_symmetry", "?pdbx_value_order"]
# a bond in core CIF, the last column in the CCDC's extension of it
CORE_BOND_COLUMNS = (
    "_geom_bond_atom_site_label_1",
    "_geom_bond_atom_site_label_2",
    "_geom_bond_site_symmetry_1",
    "_geom_bond_site_symmetry_2",
    "_ccdc_geom_bond_type",
)
# order of a bond by mmCIF -> by the CCDC
BOND_TYPES = {"sing": "S", "doub": "D", "trip": "T", "arom": "A"}


def is_mmcif(block: gemmi.cif.Block) -> bool:
    """Whether the block lists fractional coordinates by their mmCIF name."""
    return bool(block.find_values("_atom_site.fract_x"))


def core_block(block: gemmi.cif.Block) -> gemmi.cif.Block:
    """The same cell, symmetry, atoms and covalent bonds by the names that core CIF has for them.

    Symmetry operations are those of `_pdbx_struct_oper_list`, where the CCDC lists them, unless the block states operations of its
    space group. Beside the name of a space group a list of the identity alone does not count. An atom of an alternative conformation
    is one of a disorder group.

    Args:
        block: One for which `is_mmcif` holds.
    """
    core = gemmi.cif.Block(block.name)
    for item in block:
        columns = dict(core_item(tag, list(block.find_values(tag))) for tag in tags_of(item))
        if item.pair is not None:
            core.set_pair(*next((name, values[0]) for name, values in columns.items()))
        elif columns:
            add_loop(core, columns)
    listed = operations(block)
    named = any(core.find_values(tag) for tag in GROUP_TAGS)
    if listed and not any(core.find_values(tag) for tag in OPERATION_TAGS) and not (named and len(listed) == 1):
        add_loop(core, {SYMOP: listed})
    bonds = covalent_bonds(block)
    if bonds and not core.find_values(CORE_BOND_COLUMNS[0]):
        add_loop(core, dict(zip(CORE_BOND_COLUMNS, zip(*bonds, strict=True), strict=True)))
    return core


def core_item(tag: str, values: list[str]) -> tuple[str, list[str]]:
    """Name and values in core CIF of an mmCIF item."""
    if tag == "_atom_site.label_alt_id":
        values = ["." if gemmi.cif.is_null(value) else "1" for value in values]
    return CORE_NAMES.get(tag) or tag.replace(".", "_", 1), values


def add_loop(block: gemmi.cif.Block, columns: Mapping[str, Sequence[str]]) -> None:
    """Append a table; values are as CIF writes them, quotes included."""
    block.init_loop("", list(columns)).set_all_values([list(values) for values in columns.values()])


def operations(block: gemmi.cif.Block) -> list[str]:
    """Symmetry operations of `_pdbx_struct_oper_list`: the first of its columns that holds nothing but such."""
    tags = [tag for item in block for tag in tags_of(item) if tag.startswith("_pdbx_struct_oper_list.")]
    columns = [list(block.find_values(tag)) for tag in tags]
    return next((values for values in columns if all(value.count(",") == 2 for value in values)), [])


def tags_of(item: gemmi.cif.Item) -> list[str]:
    """Names in a pair or a loop; none of anything else."""
    if item.pair is not None:
        return [cast(tuple[str, str], item.pair)[0]]
    return list(item.loop.tags) if item.loop is not None else []


def covalent_bonds(block: gemmi.cif.Block) -> list[list[str]]:
    """Rows of `_struct_conn` that are covalent bonds, each with the columns of core CIF."""
    found = []
    for row in block.find("_struct_conn.", BOND_COLUMNS):
        if gemmi.cif.as_string(row[0]).lower().startswith("covale"):
            symmetry = [row[k] if row.has(k) else "." for k in (3, 4)]
            order = gemmi.cif.as_string(row[5]).lower() if row.has(5) else ""
            found.append([row[1], row[2], *symmetry, BOND_TYPES.get(order, "?")])
    return found
