"""Sets of structures from whatever files hold them: CIF, mmCIF, Parquet, extended XYZ, folders and zip archives of these."""

from __future__ import annotations

import zipfile
from collections import Counter
from functools import partial
from pathlib import Path, PurePosixPath

from packflow.data.source import ZIP_ERRORS, list_files, open_zip, read_table
from packflow.data.structure_files import cif_entries, xyz_entries
from packflow.data.structure_set import Entry, StructureSet
from packflow.data.structure_table import read_structure_table
from packflow.data.workers import map_files, n_cores
from packflow.errors import InputError

__all__ = ["StructureSet", "read_structures"]

CIF, PARQUET, XYZ = (".cif", ".mmcif"), (".parquet",), (".xyz", ".extxyz")
READABLE = (*CIF, *PARQUET, *XYZ)
# a folder with this table is the result of `packflow sample`: its CIF files repeat the table
PROPOSALS = "proposals.parquet"
# a folder with this file and this folder is a store of `packflow sample --input`, or a later stage of one
MANIFEST, SHARDS = "manifest.json", "shards"
# files that are read faster than a process starts
FEW = 500


def read_structures(path: str | Path, table: str | Path | None = None, n_jobs: int = 1, progress: bool = False) -> StructureSet:
    """Read structures from files; one that cannot be used stays in the set, without atoms and with its problem.

    Args:
        path: A CIF, mmCIF, Parquet or extended-XYZ file, or a folder (with its subfolders) or zip archive of such; other files in it
            are left alone. Of a folder that `packflow sample` wrote the proposals are read, not the CIF files beside them or what later
            stages made of them; give those by the name of their folder.
        table: CSV with columns file and smiles: molecules of CIF and XYZ files, in place of what the files say.
        n_jobs: Processes for more than a few hundred files; 0 takes one per core. Above 1 the calling script must be importable.
        progress: Show a progress bar on standard error.

    Returns:
        Structures in the order of the sorted file names. A file is called by its stem, or by its path without the ending where
        several have the same stem.

    Raises:
        InputError: path does not exist, holds nothing readable, is a broken archive or a damaged Parquet table; the table cannot
            be read.
    """
    path = Path(path)
    names = _readable(path)
    smiles_of = read_table(Path(table) if table else None)
    smiles = [(smiles_of.get(name) or smiles_of.get(PurePosixPath(name).name) or {}).get("smiles", "") for name in names]
    jobs = list(zip(names, _titles(names), smiles, strict=True))
    few = len(jobs) <= FEW or n_jobs == 1
    found = list(map_files(partial(_read_file, path), jobs, 1 if few else n_jobs or n_cores(), progress and len(jobs) > FEW))
    structures = _joined(found)
    if not len(structures):
        raise InputError(f"{path} holds no structures")
    return structures


def _readable(path: Path) -> list[str]:
    """Names of the files to read, relative to a folder or archive."""
    if path.is_file() and path.suffix.lower() in READABLE:
        return [path.name]
    if path.is_file() and not zipfile.is_zipfile(path):
        raise InputError(f"{path} must be a folder, a zip archive or a {', '.join(READABLE)} file, and is none of these")
    names = [PurePosixPath(name) for name in list_files(path)]
    parents = {parent for n in names for parent in n.parents}
    stores = {n.parent for n in names if n.name == MANIFEST and n.parent / SHARDS in parents}
    # archives made on a Mac hold a shadow ._name of each file
    names = [n for n in names if n.suffix.lower() in READABLE and not n.name.startswith(".")]
    # of a store the shards that belong to its manifest, not what later stages made of them
    names = [n for n in names if all(n.is_relative_to(store / SHARDS) for store in stores.intersection(n.parents))]
    results = {n.parent for n in names if n.name == PROPOSALS}
    kept = [str(n) for n in names if n.name == PROPOSALS or not results.intersection(n.parents)]
    if not kept:
        raise InputError(f"{path} holds no {', '.join(READABLE)} file")
    return kept


def _titles(names: list[str]) -> list[str]:
    """What the files are called: the stem, or the path without its ending where the stem is not enough."""
    paths = [PurePosixPath(name) for name in names]
    counts = Counter(p.stem for p in paths)
    return [p.stem if counts[p.stem] == 1 else str(p.with_suffix("")) for p in paths]


def _read_file(path: Path, job: tuple[str, str, str]) -> list[Entry] | StructureSet:
    """Everything in one file, named `job` = (name, title, smiles)."""
    name, title, smiles = job
    suffix = PurePosixPath(name).suffix.lower()
    in_archive = path.is_file() and path.suffix.lower() not in READABLE
    file = path if path.is_file() else path / name
    if suffix in PARQUET:
        try:
            return read_structure_table(_member(path, name) if in_archive else file, title)
        except InputError as error:
            raise InputError(f"{file}: {error}") from error
    try:
        text = (_member(path, name) if in_archive else file.read_bytes()).decode(errors="replace")
    except (OSError, InputError) as error:
        return [Entry(title, smiles, f"not readable: {error}")]
    return (cif_entries if suffix in CIF else xyz_entries)(text, title, smiles)


def _member(path: Path, name: str) -> bytes:
    """Contents of one file of an archive."""
    try:
        return open_zip(path).read(name)
    except ZIP_ERRORS as error:
        raise InputError(f"{name} is damaged or encrypted: {error}") from error


def _joined(found: list[list[Entry] | StructureSet]) -> StructureSet:
    """One set, in the order of the files."""
    sets: list[StructureSet] = []
    entries: list[Entry] = []
    for part in found:
        if isinstance(part, StructureSet):
            sets += [StructureSet.from_entries(entries), part]
            entries = []
        else:
            entries += part
    return StructureSet.join([*sets, StructureSet.from_entries(entries)])
