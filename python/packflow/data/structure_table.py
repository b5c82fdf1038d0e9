"""Parquet tables of structures, as `packflow sample` writes them -> a set of structures, without a loop over atoms."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from packflow.data.structure_set import STATED, StructureSet, hydrogens_of
from packflow.elements import SYMBOLS
from packflow.errors import InputError
from packflow.structure import AtomsBatch, Template
from packflow.structure.bonds import bound_hydrogens
from packflow.structure.lattice import cell_from_lattice, min_height
from packflow.structure.match import molecule_graphs
from packflow.structure.sites import MIN_HEIGHT

LATTICE = ("a", "b", "c", "alpha", "beta", "gamma")
LISTS = ("atomic_numbers", "positions")
# columns that say what a structure is, not something about it
KNOWN = (*LATTICE, *LISTS, "name", "smiles", "problem")


@dataclass(frozen=True)
class Rows:
    """Columns of a table, lists along one axis: row r has sizes[r] atoms and n_numbers[r] coordinates.

    smiles, n_copies: one of each row, "" and 0 where not stated.
    lattice:          [n_rows, 6] float64.
    atomic_numbers:   [sum of sizes]; positions: [sum of n_numbers] float64; what is missing is 0 and NaN.
    """

    smiles: list[str]
    n_copies: list[int]
    lattice: np.ndarray
    atomic_numbers: np.ndarray
    positions: np.ndarray
    sizes: np.ndarray
    n_numbers: np.ndarray


def read_structure_table(source: Path | bytes, title: str) -> StructureSet:
    """Structures of a Parquet table, one per row.

    Needed columns: a, b, c (Å), alpha, beta, gamma (degrees), atomic_numbers (list) and positions (x, y, z of each atom in a row;
    Å, in pymatgen's frame). `smiles` with `n_copies` states that the heavy atoms are that many copies in the SMILES' order; then
    their elements must be so. A row with a `problem` keeps it and has no atoms here. Other columns of numbers or text are kept.

    Args:
        source: The file or its contents.
        title: Rows are called title#index, with the column `index` or the row's number, unless there is a column `name`.

    Raises:
        InputError: not a Parquet file, or a needed column is missing or of another type.
    """
    table = _read(source)
    rows = _rows(table)
    problem = [given or found for given, found in zip(_texts(table, "problem"), _problems(rows), strict=True)]
    groups = _groups(rows, problem)
    usable = np.array([not p for p in problem], dtype=bool)
    bonds = _bonds(rows, problem, groups)
    index = table["index"].to_pylist() if "index" in table.column_names else range(len(table))
    others = [f.name for f in table.schema if f.name not in KNOWN and not pa.types.is_nested(f.type)]
    return StructureSet(
        names=[name or f"{title}#{k}" for name, k in zip(_texts(table, "name"), index, strict=True)],
        molecule=rows.smiles,
        problem=problem,
        bonds=bonds,
        atoms=_atoms(rows, usable, groups),
        columns={name: table[name].to_pylist() for name in others},
    )


def _read(source: Path | bytes) -> pa.Table:
    """The table, with the needed columns."""
    try:
        table = pq.read_table(io.BytesIO(source) if isinstance(source, bytes) else source)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"not readable as Parquet: {' '.join(str(error).split())}") from error
    missing = [name for name in (*LATTICE, *LISTS) if name not in table.column_names]
    if missing:
        raise InputError(f"a table of structures must have columns {', '.join((*LATTICE, *LISTS))}, lacks {', '.join(missing)}")
    for name in LISTS:
        kind = table.schema.field(name).type
        if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
            raise InputError(f"column {name} must hold lists of numbers, got {kind}")
    return table


def _texts(table: pa.Table, name: str) -> list[str]:
    """A column of text, "" where there is none."""
    if name not in table.column_names:
        return [""] * len(table)
    try:
        return [text or "" for text in table[name].cast(pa.string()).to_pylist()]
    except pa.ArrowException as error:
        raise InputError(f"column {name} must hold text, got {table.schema.field(name).type}") from error


def _rows(table: pa.Table) -> Rows:
    """The columns as arrays."""
    stated = table["n_copies"] if "n_copies" in table.column_names else pa.nulls(len(table))
    try:
        n_copies = [n or 0 for n in stated.cast(pa.int64()).to_pylist()]
        return Rows(
            smiles=_texts(table, "smiles"),
            n_copies=n_copies,
            lattice=np.stack([table[name].cast(pa.float64()).to_numpy() for name in LATTICE], 1),
            atomic_numbers=pc.list_flatten(table["atomic_numbers"]).cast(pa.int64()).fill_null(0).to_numpy(),
            positions=pc.list_flatten(table["positions"]).cast(pa.float64()).to_numpy(),
            sizes=pc.list_value_length(table["atomic_numbers"]).fill_null(0).to_numpy().astype(np.int64),
            n_numbers=pc.list_value_length(table["positions"]).fill_null(0).to_numpy().astype(np.int64),
        )
    except pa.ArrowException as error:
        raise InputError(f"a column is not of numbers: {' '.join(str(error).split())}") from error


def _problems(rows: Rows) -> list[str]:
    """Why each row cannot be a structure; "" for the others."""
    lattice = torch.from_numpy(rows.lattice)
    with np.errstate(invalid="ignore"):
        real = np.isfinite(rows.lattice).all(1) & (rows.lattice > 0).all(1) & (min_height(lattice).numpy() > MIN_HEIGHT)
    reasons = {
        "no atoms": rows.sizes == 0,
        "atomic_numbers and positions differ in length": rows.n_numbers != 3 * rows.sizes,
        "missing coordinates": _any(~np.isfinite(rows.positions), rows.n_numbers),
        "unsupported element": _any(~np.isin(rows.atomic_numbers, list(SYMBOLS)), rows.sizes),
        "no heavy atoms": ~_any(rows.atomic_numbers > 1, rows.sizes),
        "no valid cell": ~real,
    }
    found = [""] * len(rows.sizes)
    for reason, marked in reversed(reasons.items()):
        for row in np.flatnonzero(marked).tolist():
            found[row] = reason
    return found


def _any(marked: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Whether any element of each row's list is marked. [sum of sizes] -> [n_rows]"""
    return np.bincount(np.repeat(np.arange(len(sizes)), sizes)[marked], minlength=len(sizes)) > 0


def _groups(rows: Rows, problem: list[str]) -> list[tuple[Template, np.ndarray]]:
    """Templates and the rows that are theirs; a row whose elements are not those that it states gets a problem."""
    members: dict[tuple[str, int], list[int]] = {}
    for row, key in enumerate(zip(rows.smiles, rows.n_copies, strict=True)):
        if not problem[row] and key[0] and key[1] > 0:
            members.setdefault(key, []).append(row)
    heavy = rows.atomic_numbers > 1
    sizes = np.bincount(np.repeat(np.arange(len(rows.sizes)), rows.sizes)[heavy], minlength=len(rows.sizes))
    first, numbers = np.cumsum(sizes) - sizes, rows.atomic_numbers[heavy]
    groups = []
    for (smiles, n_copies), found in members.items():
        try:
            template = Template(molecule_graphs(smiles)[0], n_copies)
        except InputError:
            continue
        group = np.array(found)
        fits = sizes[group] == template.n_atoms
        places = first[group[fits], None] + np.arange(template.n_atoms)
        fits[fits] = (numbers[places] == template.atomic_numbers).all(1)
        for row in group[~fits].tolist():
            problem[row] = f"the atoms are not {n_copies} copies of {smiles}"
        groups.append((template, group[fits]))
    return groups


def _bonds(rows: Rows, problem: list[str], groups: list[tuple[Template, np.ndarray]]) -> list[str]:
    """How the bonds of each row are known, or why not."""
    stated = {row for _, members in groups for row in members.tolist()}
    found = []
    for row, (smiles, n_copies) in enumerate(zip(rows.smiles, rows.n_copies, strict=True)):
        if problem[row]:
            found.append("")
        elif row in stated:
            found.append(STATED)
        else:
            found.append("no SMILES" if not smiles else "no n_copies" if n_copies < 1 else "unusable SMILES")
    return found


def _atoms(rows: Rows, usable: np.ndarray, groups: list[tuple[Template, np.ndarray]]) -> AtomsBatch:
    """Heavy atoms of the usable rows, and the bonds of the templates."""
    owner = np.repeat(np.arange(len(usable)), rows.sizes)
    kept = usable[owner]
    owner, numbers = owner[kept], rows.atomic_numbers[kept]
    positions = rows.positions[np.repeat(usable, rows.n_numbers)].reshape(-1, 3)
    cell = torch.full((len(usable), 3, 3), torch.nan, dtype=torch.float64)
    cell[usable] = cell_from_lattice(torch.from_numpy(rows.lattice[usable]))
    heavy = numbers > 1
    sizes = np.bincount(owner[heavy], minlength=len(usable))
    first = np.cumsum(sizes) - sizes
    has_bonds, n_hydrogens = np.zeros(len(usable), dtype=bool), np.zeros(len(owner[heavy]), dtype=np.int64)
    bonds, bond_owner = [np.zeros((2, 0), dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for template, members in groups:
        has_bonds[members] = True
        n_hydrogens[first[members, None] + np.arange(template.n_atoms)] = hydrogens_of(template)
        bonds.append((template.bond_index[:, None] + first[members, None]).reshape(2, -1))
        bond_owner.append(np.repeat(members, template.bond_index.shape[1]))
    order = np.argsort(np.concatenate(bond_owner), kind="stable")
    for row in np.unique(owner[~heavy]).tolist():
        mine = owner == row
        fractional = positions[mine] @ np.linalg.inv(cell[row].numpy())
        counts = bound_hydrogens(numbers[mine], fractional, cell[row].numpy())
        n_hydrogens[first[row] : first[row] + sizes[row]] = counts[heavy[mine]]
    return AtomsBatch(
        atomic_numbers=torch.from_numpy(numbers[heavy]),
        positions=torch.from_numpy(positions[heavy]),
        cell=cell,
        atom_ptr=torch.from_numpy(np.append(first, sizes.sum()).astype(np.int32)),
        bond_index=torch.from_numpy(np.concatenate(bonds, axis=1)[:, order]),
        has_bonds=torch.from_numpy(has_bonds),
        n_hydrogens=torch.from_numpy(n_hydrogens),
    )
