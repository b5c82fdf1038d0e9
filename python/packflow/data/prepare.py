"""From files of structures to a dataset: every file becomes crystals or a line in the table of rejected files."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from packflow.data.candidates import Candidate, read_candidates
from packflow.data.csd import is_csd, list_refcodes
from packflow.data.dataset import write_dataset
from packflow.data.filters import DEFAULT, PrepareConfig
from packflow.data.source import NOTES, list_files, read_table, row_of
from packflow.data.split import families_of, split_families
from packflow.data.split_lists import listed_split, missing, only_listed, read_split_lists
from packflow.data.summary import Report, summary_text
from packflow.data.unique import without_duplicates
from packflow.data.workers import n_cores
from packflow.errors import InputError

__all__ = ["REJECTED", "SUMMARY", "PrepareConfig", "Report", "prepare"]

REJECTED = "rejected.csv"
SUMMARY = "summary.md"


def prepare(
    source: str | Path,
    out: str | Path,
    config: PrepareConfig = DEFAULT,
    table: str | Path | None = None,
    n_jobs: int | None = None,
    progress: bool = True,
    split_lists: Mapping[str, str | Path] | None = None,
) -> Report:
    """Read the structure files of a folder or zip archive, or entries of the CSD, and write a dataset folder.

    Structure files are CIF, mmCIF, extended XYZ, ASE databases and the records of the released code.

    Kept are ordered crystals of one kind of molecule with supported elements whose connectivity, stated or from distances, is that of
    the molecule, each once. Everything else is a row (file, reason, detail) of rejected.csv in the dataset folder. summary.md
    there counts both.

    Args:
        source: Folder, zip archive or one file (.cif, .mmcif, .xyz, .extxyz, .db, .pt); "csd" for the whole Cambridge Structural
            Database, or a file of its refcodes, one a line (.gcd, .txt).
        out: Folder to write; must not exist.
        config: What to keep.
        table: CSV with columns `file` (or refcode) and `smiles`; a file without a row keeps its own SMILES, else it is perceived.
        n_jobs: Processes; None takes one per core.
        progress: Show a progress bar on standard error.
        split_lists: Files of names, one a line, for "train", "validation" and "test", or some of them: each listed crystal is in the split
            of its list, all others are rejected. None splits by family with the fractions of `config`.

    Raises:
        InputError: source, table or a list cannot be read, the CSD is not installed or not licensed, a name is in two lists, out
            exists, or no file is usable.
    """
    source, out = Path(source), Path(out)
    if out.exists():
        raise InputError(f"{out} exists already; choose another folder or remove it")
    listed = read_split_lists(split_lists or {})
    smiles_of = read_table(Path(table) if table else None)
    names = list_refcodes(source) if is_csd(source) else list_files(source)
    done = list(read_candidates(source, names, smiles_of, config, n_jobs or n_cores(), progress))
    rows = [row_of(smiles_of, c.name.split("#")[0]) for c in done]
    done = only_listed(done, listed)
    done = without_duplicates(done, [row.get("kind", "") for row in rows], config.duplicate_tolerance)
    rejected = [c for c in done if c.crystal is None]
    if len(rejected) == len(done):
        out.with_name(f"{out.name}.{REJECTED}").write_text(rejected_text(rejected), encoding="utf-8", newline="")
        raise InputError(f"none of the {len(names)} files of {source} is usable; the reasons are in {out.name}.{REJECTED}")
    kept = [(c, row) for c, row in zip(done, rows, strict=True) if c.crystal is not None]
    lists = {split: Path(path).name for split, path in (split_lists or {}).items()}
    settings: dict[str, object] = {"source": source.name, **asdict(config), "split_lists": lists}
    return write_kept(out, kept, rejected, listed, len(names), config, settings)


def write_kept(
    out: Path,
    kept: list[tuple[Candidate, dict[str, str]]],
    rejected: list[Candidate],
    listed: dict[str, str],
    n_files: int,
    config: PrepareConfig,
    settings: dict[str, object],
) -> Report:
    """Split the crystals that are kept and write the dataset folder; each comes with its row of the caller's table."""
    crystals = [c.crystal for c, _ in kept if c.crystal is not None]
    smiles = [crystal.template.molecule.smiles for crystal in crystals]
    family_of = families_of(smiles, [c.title for c, _ in kept])
    splits = [listed_split(c, listed) for c, _ in kept] if listed else drawn_splits(smiles, family_of, config)
    columns = columns_of(kept, splits)
    report = Report(
        n_files=n_files,
        n_crystals=Counter(splits),
        n_molecules=Counter(split for split, _ in set(zip(splits, smiles, strict=True))),
        rejected=Counter(c.reason for c in rejected),
        missing=missing(listed, [c for c, _ in kept]),
    )
    summary = summary_text(report, crystals, columns, [family_of[molecule] for molecule in smiles], settings)
    molecule_columns = {"smiles": sorted(family_of), "family": [family_of[molecule] for molecule in sorted(family_of)]}
    write_dataset(out, crystals, columns, molecule_columns, settings, {REJECTED: rejected_text(rejected), SUMMARY: summary})
    return report


def columns_of(kept: list[tuple[Candidate, dict[str, str]]], splits: list[str]) -> dict[str, list[Any]]:
    """What the table of crystals holds besides coordinates; a row of the caller's table with each."""
    return {
        "name": [c.name for c, _ in kept],
        "split": splits,
        "space_group": [c.space_group for c, _ in kept],
        "z_prime": [c.z_prime for c, _ in kept],
        **{key: [row.get(key, "") for _, row in kept] for key in NOTES},
    }


def drawn_splits(smiles: list[str], family_of: dict[str, str], config: PrepareConfig) -> list[str]:
    """Split of each crystal, by the family of its molecule."""
    molecules = sorted(family_of)
    drawn = split_families([family_of[molecule] for molecule in molecules], config.fractions, config.seed)
    split_of = dict(zip(molecules, drawn.tolist(), strict=True))
    return [split_of[molecule] for molecule in smiles]


def rejected_text(rejected: list[Candidate]) -> str:
    """Table of the structures that are not in the dataset, and why, as CSV."""
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(("file", "reason", "detail"))
    table.writerows((c.name, c.reason, c.detail) for c in rejected)
    return text.getvalue()
