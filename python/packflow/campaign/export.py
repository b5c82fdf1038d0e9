"""From a store to files of other programs, shard by shard."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from packflow.campaign.disk import PARTIAL
from packflow.campaign.manifest import read_manifest
from packflow.campaign.shard import read_shard
from packflow.campaign.store import shard_paths
from packflow.errors import InputError
from packflow.proposal_table import crystal_of
from packflow.structure import Crystal
from packflow.structure.cif import cif_text, to_ase

FORMATS = ("cif", "extxyz", "db")
# columns that are kept beside the atoms
KEPT = ("name", "smiles", "n_copies", "index", "seed", "density", "clash_percent", "problem", "flag")

Row = dict[str, Any]
Write = Callable[[list[tuple[Row, Crystal]]], None]


def export(store: str | Path, out: str | Path, kind: str = "cif", everything: bool = False, valid_only: bool = False) -> int:
    """Write the proposals of a store, also of one that is not finished.

    Args:
        store: Folder of a campaign.
        out: Must not exist: a folder with a folder per molecule for "cif", a file for the others. It appears when it is complete.
        kind: "cif", "extxyz" (extended XYZ) or "db" (ASE database).
        everything: Proposals with a problem too.
        valid_only: Only proposals without a flag.

    Returns:
        Number of structures written.

    Raises:
        InputError: no such format, both everything and valid_only, out exists or cannot be written, store is no store or holds a
            damaged shard.
    """
    store, out = Path(store), Path(out)
    if kind not in FORMATS:
        raise InputError(f"format must be one of {', '.join(FORMATS)}, got {kind!r}")
    if everything and valid_only:
        raise InputError("all and valid-only exclude each other, got both")
    if out.exists():
        raise InputError(f"{out} exists already; choose another name or remove it")
    read_manifest(store)
    n_written, unwanted = 0, "flag" if valid_only else "problem"
    writer = {"cif": cif_folder, "extxyz": xyz_file, "db": database}[kind]
    try:
        with complete_or_gone(out) as partial, writer(partial) as write:
            for path in shard_paths(store):
                rows = [row for row in read_shard(path).to_pylist() if everything or not row[unwanted]]
                write([(row, crystal_of(row)) for row in rows])
                n_written += len(rows)
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror or error}") from error
    return n_written


@contextmanager
def complete_or_gone(out: Path) -> Iterator[Path]:
    """A temporary name that becomes `out` at the end, and is removed after an error."""
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + PARTIAL)
    remove(partial)
    try:
        yield partial
        partial.rename(out)
    except BaseException:
        remove(partial)
        raise


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def cif_folder(path: Path) -> Iterator[Write]:
    """A folder with a folder per molecule, in it name_n_copies_index.cif."""
    path.mkdir()

    def write(proposals: list[tuple[Row, Crystal]]) -> None:
        for row, crystal in proposals:
            name = row["name"].split("#")[0]
            stem = f"{name}_{row['n_copies']}_{row['index']:06d}"
            folder = path / name
            folder.mkdir(exist_ok=True)
            (folder / f"{stem}.cif").write_text(cif_text(crystal, stem))

    yield write


@contextmanager
def xyz_file(path: Path) -> Iterator[Write]:
    """One extended-XYZ file, a frame per proposal."""
    from ase.io.extxyz import write_xyz

    with path.open("w") as file:

        def write(proposals: list[tuple[Row, Crystal]]) -> None:
            for row, crystal in proposals:
                atoms = to_ase(crystal)
                # ASE writes a backslash as it is and reads it as the beginning of an escape
                atoms.info = {key: v.replace("\\", 2 * "\\") if isinstance(v, str) else v for key, v in kept(row).items()}
                write_xyz(file, [atoms])

        yield write


@contextmanager
def database(path: Path) -> Iterator[Write]:
    """One ASE database (SQLite), a row per proposal."""
    from ase.db import connect

    # ASE tells the kind by the ending, which the temporary name has not
    opened = connect(str(path), type="db", append=False, use_lock_file=False)

    def write(proposals: list[tuple[Row, Crystal]]) -> None:
        with opened:
            for row, crystal in proposals:
                opened.write(to_ase(crystal), key_value_pairs=kept(row))

    yield write


def kept(row: Row) -> dict[str, str | int | float]:
    """What is said of a structure, without what is missing."""
    return {key: row[key] for key in KEPT if row[key] not in (None, "")}
