"""Proposals as rows of a Parquet table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from packflow.flow.sampler import Proposal
from packflow.metrics import clash_percent, density
from packflow.metrics.validity import volume
from packflow.relax.clean_report import Cleaning
from packflow.structure import AtomsBatch, Crystal, Molecule, Template

LATTICE = ("a", "b", "c", "alpha", "beta", "gamma")
SCHEMA = pa.schema(
    [
        ("index", pa.int64()),
        ("seed", pa.int64()),
        ("smiles", pa.string()),
        ("n_copies", pa.int64()),
        *((name, pa.float64()) for name in LATTICE),
        ("volume", pa.float64()),
        ("density", pa.float64()),
        ("clash_percent", pa.float64()),
        ("problem", pa.string()),
        ("flag", pa.string()),
        ("attempt", pa.int64()),
        ("rejected", pa.list_(pa.string())),
        ("clean_finished", pa.bool_()),
        ("clean_displacement", pa.float64()),
        ("clean_volume_percent", pa.float64()),
        ("clean_problem", pa.string()),
        ("atomic_numbers", pa.list_(pa.int32())),
        ("positions", pa.list_(pa.float32())),
    ]
)


def rows_of(proposals: Sequence[Proposal]) -> list[dict[str, object]]:
    """A row of SCHEMA for each proposal; metrics of proposals with a problem are missing.

    Columns: index, seed, smiles, n_copies, a, b, c (Å), alpha, beta, gamma (degrees), volume (Å3), density (g/cm3, with the implicit
    hydrogens), clash_percent, problem (empty if it is a crystal), flag (why it is implausible, empty if it is not), attempt (0, or which
    sample in place of a flagged one it is), rejected (flags of the other samples of this index); with a clean-up clean_finished (whether
    the crystal is clean), clean_displacement (Å, rms over atoms; missing where nothing was changed), clean_volume_percent (likewise) and
    clean_problem; atomic_numbers and positions (x, y, z of each atom in a row; Å, c along z, molecules whole).
    """
    metrics: list[tuple[float | None, float | None, float | None]] = [(None, None, None)] * len(proposals)
    good = [place for place, p in enumerate(proposals) if not p.problem]
    if good:
        atoms = AtomsBatch.from_crystals([proposals[place].crystal for place in good])
        numbers = (volume(atoms), density(atoms), clash_percent(atoms))
        for place, of_crystal in zip(good, zip(*(x.tolist() for x in numbers), strict=True), strict=True):
            metrics[place] = of_crystal
    return [
        {
            "index": p.index,
            "seed": p.seed,
            "smiles": p.crystal.template.molecule.smiles,
            "n_copies": p.crystal.template.n_copies,
            **dict(zip(LATTICE, p.crystal.lattice.tolist(), strict=True)),
            "volume": size,
            "density": dense,
            "clash_percent": clashing,
            "problem": p.problem,
            "flag": p.flag,
            "attempt": p.attempt,
            "rejected": p.rejected,
            **cleaning_columns(p.cleaning),
            "atomic_numbers": p.crystal.template.atomic_numbers,
            "positions": p.crystal.positions.ravel(),
        }
        for p, (size, dense, clashing) in zip(proposals, metrics, strict=True)
    ]


def cleaning_columns(cleaning: Cleaning | None) -> dict[str, object]:
    """What a clean-up did; missing without one."""
    if cleaning is None:
        return dict.fromkeys(("clean_finished", "clean_displacement", "clean_volume_percent", "clean_problem"))
    return {
        "clean_finished": cleaning.finished,
        "clean_displacement": cleaning.displacement if cleaning.changed else None,
        "clean_volume_percent": cleaning.volume_percent if cleaning.changed else None,
        "clean_problem": cleaning.problem,
    }


def cleaning_of(row: Mapping[str, Any]) -> Cleaning | None:
    """The clean-up that a row tells of."""
    if row["clean_finished"] is None:
        return None
    changed = row["clean_displacement"] is not None
    numbers = (row["clean_displacement"], row["clean_volume_percent"]) if changed else (0.0, 0.0)
    return Cleaning(row["clean_problem"], changed, row["clean_finished"], *numbers)


def proposal_of(row: Mapping[str, Any]) -> Proposal:
    """The proposal of a row, positions rounded to float32."""
    about = row["index"], row["seed"], row["problem"], row["flag"], row["attempt"], tuple(row["rejected"]), cleaning_of(row)
    return Proposal(crystal_of(row), *about)


def crystal_of(row: Mapping[str, Any]) -> Crystal:
    """The crystal of a row."""
    lattice = np.array([row[name] for name in LATTICE])
    positions = np.array(row["positions"], dtype=np.float64).reshape(-1, 3)
    return Crystal(template_of(row["smiles"], row["n_copies"]), positions, lattice)


@lru_cache(maxsize=256)
def template_of(smiles: str, n_copies: int) -> Template:
    """The template of a SMILES, made once for the many proposals of it; raises InputError as Molecule.from_smiles."""
    return Template(Molecule.from_smiles(smiles), n_copies)
