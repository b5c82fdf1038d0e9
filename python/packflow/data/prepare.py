"""From CIF files to a dataset: every file becomes crystals or a line in the table of rejected files."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path

from rdkit import Chem

from packflow.data.dataset import write_dataset
from packflow.data.source import NOTES, list_files, read_table, reader
from packflow.data.split import family, split_families
from packflow.data.workers import map_files, n_cores
from packflow.errors import InputError, StructureError
from packflow.structure import Crystal
from packflow.structure.cif import blocks_of, sites_of
from packflow.structure.molecule import heavy_atom_mol
from packflow.structure.recognize import recognize

REJECTED = "rejected.csv"


@dataclass(frozen=True)
class PrepareConfig:
    """What becomes part of a dataset.

    max_atoms: heavy atoms per unit cell, at most (paper: 250).
    niggli:    take the Niggli-reduced cell, so that one crystal has one cell; else the cell as given.
    fractions: of the molecules, for training, validation and test.
    seed:      of the split.
    """

    max_atoms: int = 250
    niggli: bool = True
    fractions: tuple[float, float, float] = (0.9, 0.05, 0.05)
    seed: int = 0


@dataclass(frozen=True)
class Prepared:
    """What came of one structure: a crystal, or the reason why not."""

    name: str
    crystal: Crystal | None
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Report:
    """Counts of a preparation: crystals and molecules written per split, and rejected structures per reason."""

    n_files: int
    n_crystals: Counter[str]
    n_molecules: Counter[str]
    rejected: Counter[str]


def prepare(
    source: str | Path,
    out: str | Path,
    config: PrepareConfig = PrepareConfig(),
    table: str | Path | None = None,
    n_jobs: int | None = None,
    progress: bool = True,
) -> Report:
    """Read all CIF files of a folder or zip archive and write a dataset folder.

    Kept are ordered crystals of one kind of molecule with supported elements whose connectivity, from distances, is that of
    the molecule. Everything else is a row (file, reason, detail) of rejected.csv in the dataset folder.

    Args:
        source: Folder, zip archive or CIF file.
        out: Folder to write; must not exist.
        config: What to keep.
        table: CSV with columns `file` and `smiles`; a file without a row keeps its own SMILES, else it is perceived.
        n_jobs: Processes; None takes one per core.
        progress: Show a progress bar on standard error.

    Raises:
        InputError: source or table cannot be read, out exists, or no file is usable.
    """
    source, out = Path(source), Path(out)
    if out.exists():
        raise InputError(f"{out} exists already; choose another folder or remove it")
    smiles_of, names = read_table(Path(table) if table else None), list_files(source)
    done = list(prepare_all(source, names, smiles_of, config, n_jobs or n_cores(), progress))
    kept = [(p.name, p.crystal) for p in done if p.crystal is not None]
    rejected = [p for p in done if p.crystal is None]
    if not kept:
        write_rejected(out.with_name(f"{out.name}.{REJECTED}"), rejected)
        raise InputError(f"none of the {len(names)} files of {source} is usable; the reasons are in {out.name}.{REJECTED}")
    molecules = sorted({crystal.template.molecule.smiles for _, crystal in kept})
    families = [family(smiles) for smiles in molecules]
    split_of = dict(zip(molecules, split_families(families, config.fractions, config.seed), strict=True))
    splits = [str(split_of[crystal.template.molecule.smiles]) for _, crystal in kept]
    rows = [smiles_of.get(name.split("#")[0]) or {} for name, _ in kept]
    columns = {"name": [name for name, _ in kept], "split": splits, **{key: [row.get(key, "") for row in rows] for key in NOTES}}
    settings: dict[str, object] = {"source": source.name, **asdict(config)}
    write_dataset(out, [crystal for _, crystal in kept], columns, {"smiles": molecules, "family": families}, settings)
    write_rejected(out / REJECTED, rejected)
    n_molecules = Counter(str(split) for split in split_of.values())
    return Report(len(names), Counter(splits), n_molecules, Counter(p.reason for p in rejected))


def prepare_all(
    source: Path, names: list[str], table: dict[str, dict[str, str]], config: PrepareConfig, n_jobs: int, progress: bool
) -> Iterator[Prepared]:
    """Results of all files, in the order of the names."""
    smiles = [(table.get(name) or table.get(Path(name).name) or {}).get("smiles") or None for name in names]
    work = partial(prepare_file, source, config)
    for found in map_files(work, list(zip(names, smiles, strict=True)), n_jobs, progress):
        yield from found


def prepare_file(source: Path, config: PrepareConfig, job: tuple[str, str | None]) -> list[Prepared]:
    """All structures of one file."""
    name, smiles = job
    if not name.lower().endswith(".cif"):
        return [Prepared(name, None, "not a .cif file")]
    try:
        blocks = blocks_of(reader(source)(name))
    except StructureError as error:
        return [Prepared(name, None, error.reason, error.detail)]
    found = []
    for block in blocks:
        title = name if len(blocks) == 1 else f"{name}#{block.name}"
        try:
            sites = sites_of(block, title)
            n_heavy = int(sites.heavy.sum())
            if n_heavy > config.max_atoms:
                raise StructureError("too large", f"{n_heavy} heavy atoms in the cell, at most {config.max_atoms}")
            crystal = recognize(sites.niggli() if config.niggli else sites, canonical(smiles or sites.smiles))
            found.append(Prepared(title, crystal))
        except StructureError as error:
            found.append(Prepared(title, None, error.reason, error.detail))
    return found


@lru_cache(maxsize=4096)
def canonical(smiles: str | None) -> str | None:
    """RDKit's canonical SMILES of the heavy-atom graph, so that one molecule has one atom order in the whole dataset."""
    if smiles is None:
        return None
    try:
        return str(Chem.MolToSmiles(heavy_atom_mol(smiles)))
    except InputError as error:
        raise StructureError("unusable SMILES", str(error)) from error


def write_rejected(path: Path, rejected: list[Prepared]) -> None:
    """Table of the structures that are not in the dataset, and why."""
    with path.open("w", newline="") as lines:
        table = csv.writer(lines)
        table.writerow(("file", "reason", "detail"))
        table.writerows((p.name, p.reason, p.detail) for p in rejected)
