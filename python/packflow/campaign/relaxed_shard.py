"""Relaxed crystals of one unit as a small Parquet file, and rows of it as crystals again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from packflow.campaign.relaxation import Outcome, kind_of
from packflow.elements import MASSES, SYMBOLS
from packflow.errors import InputError
from packflow.metrics.density import GRAM_PER_CM3
from packflow.proposal_table import LATTICE, template_of
from packflow.relax.relax import Relaxed
from packflow.structure.full import FullStructure, full_numbers
from packflow.structure.lattice import cell_from_lattice, lattice_from_cell

# columns that are those of the proposal
KEPT = ("name", "index", "seed", "attempt", "smiles", "n_copies", "flag")
COLUMNS = pa.schema(
    [
        ("name", pa.string()),
        ("index", pa.int64()),
        ("seed", pa.int64()),
        ("attempt", pa.int64()),
        ("smiles", pa.string()),
        ("n_copies", pa.int64()),
        ("problem", pa.string()),
        ("flag", pa.string()),
        ("energy_ev", pa.float64()),
        ("energy_per_molecule_ev", pa.float64()),
        ("max_force", pa.float64()),
        ("stress", pa.list_(pa.float64())),
        ("n_steps_hydrogens", pa.int64()),
        ("n_steps", pa.int64()),
        ("converged", pa.bool_()),
        *((name, pa.float64()) for name in LATTICE),
        ("volume", pa.float64()),
        ("density", pa.float64()),
        ("atomic_numbers", pa.list_(pa.int32())),
        ("positions", pa.list_(pa.float64())),
        ("start_lattice", pa.list_(pa.float64())),
        ("start_positions", pa.list_(pa.float32())),
    ]
)
STAGE, UNIT, COUNTS = b"packflow_relaxation", b"packflow_unit", b"packflow_counts"


@dataclass(frozen=True)
class Counts:
    """What became of proposals.

    n_proposals: all of them.
    n_relaxed:   those without a problem.
    n_converged: of these, those whose forces and stress are as small as asked for.
    problems:    the others, by what they did not pass.
    """

    n_proposals: int = 0
    n_relaxed: int = 0
    n_converged: int = 0
    problems: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> Counts:
        """Count outcomes."""
        good = [o.relaxed for o in outcomes if o.relaxed is not None and not o.problem]
        problems = Counter(kind_of(o.problem) for o in outcomes if o.problem)
        return cls(len(outcomes), len(good), sum(relaxed.converged for relaxed in good), dict(problems))

    def __add__(self, other: Counts) -> Counts:
        """Both together."""
        problems = dict(Counter(self.problems) + Counter(other.problems))
        sums = self.n_proposals + other.n_proposals, self.n_relaxed + other.n_relaxed, self.n_converged + other.n_converged
        return Counts(*sums, problems)

    def text(self) -> str:
        """A line for a user."""
        said = f"{self.n_relaxed} of {self.n_proposals} relaxed, {self.n_converged} of them converged"
        not_relaxed = ", ".join(f"{kind} {n}" for kind, n in Counter(self.problems).most_common())
        return said + (f"; not relaxed: {not_relaxed}" if not_relaxed else "")


@dataclass(frozen=True)
class RelaxedFooter:
    """What a shard says of itself: digest of its stage, number of its unit, and what is in it."""

    stage: str
    unit: int
    counts: Counts


def relaxed_shard(rows: Sequence[Mapping[str, Any]], outcomes: Sequence[Outcome], unit: int, stage: str) -> bytes:
    """The Parquet file of a unit, a row for each proposal in their order, pages with checksums.

    Columns: those of the proposal (`KEPT`), problem (why it was not relaxed, or why that failed; empty if it is), energy_ev (of the cell)
    and energy_per_molecule_ev, max_force (eV/Å), stress (eV/Å3, rows after each other), n_steps of the two stages, converged, a, b, c (Å),
    alpha, beta, gamma (degrees), volume (Å3), density (g/cm3), atomic_numbers and positions (Å, c along z, in the order of
    `FullStructure`), and how it was with its hydrogens before anything moved: start_lattice and start_positions. What is not known is
    missing; of one that failed it is what was last known.
    """
    table = pa.Table.from_pylist([row_of(row, outcome) for row, outcome in zip(rows, outcomes, strict=True)], COLUMNS)
    about = {STAGE: stage, UNIT: str(unit), COUNTS: json.dumps(asdict(Counts.of(outcomes)))}
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(about), sink, compression="zstd", write_page_checksum=True)
    return sink.getvalue().to_pybytes()


def row_of(row: Mapping[str, Any], outcome: Outcome) -> dict[str, Any]:
    """A row of COLUMNS."""
    about = {key: row[key] for key in KEPT} | {"problem": outcome.problem}
    relaxed = outcome.relaxed
    if relaxed is None:
        return about
    about |= {"n_steps": relaxed.n_steps, "n_steps_hydrogens": outcome.n_steps_hydrogens, "converged": relaxed.converged}
    if outcome.start is not None:
        lattice, _, turn = in_standard_frame(outcome.start)
        about |= {"start_lattice": lattice, "start_positions": (outcome.start.positions @ turn).ravel()}
    if not np.isfinite(relaxed.energy):
        return about
    lattice, standard, turn = in_standard_frame(relaxed.structure)
    numbers, volume = full_numbers(relaxed.structure.template), float(np.linalg.det(standard))
    return about | {
        "energy_ev": relaxed.energy,
        "energy_per_molecule_ev": relaxed.energy / row["n_copies"],
        "max_force": relaxed.max_force,
        "stress": (turn.T @ relaxed.stress @ turn).ravel(),
        **dict(zip(LATTICE, lattice.tolist(), strict=True)),
        "volume": volume,
        "density": GRAM_PER_CM3 * sum(MASSES[SYMBOLS[n]] for n in numbers.tolist()) / volume,
        "atomic_numbers": numbers,
        "positions": (relaxed.structure.positions @ turn).ravel(),
    }


def in_standard_frame(structure: FullStructure) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lattice parameters of a crystal, its cell with c along z, and what turns rows of coordinates so. [6], [3, 3], [3, 3]"""
    assert structure.cell is not None
    lattice = lattice_from_cell(torch.from_numpy(structure.cell))
    standard = cell_from_lattice(lattice).numpy()
    return lattice.numpy(), standard, np.linalg.solve(structure.cell, standard)


def relaxed_of(row: Mapping[str, Any], index: int = 0) -> Relaxed | None:
    """The relaxed crystal of a row, None where its energy is not known; `index` becomes that of the result."""
    if row["energy_ev"] is None:
        return None
    structure = structure_of(row, [row[name] for name in LATTICE], row["positions"])
    stress = np.array(row["stress"], dtype=np.float64).reshape(3, 3)
    return Relaxed(index, structure, row["energy_ev"], row["max_force"], stress, row["n_steps"], row["converged"], row["problem"])


def start_of(row: Mapping[str, Any]) -> FullStructure | None:
    """The crystal of a row with its hydrogens before anything moved, to float32; None where it got none."""
    return structure_of(row, row["start_lattice"], row["start_positions"]) if row["start_positions"] else None


def structure_of(row: Mapping[str, Any], lattice: list[float], positions: list[float]) -> FullStructure:
    """A crystal of the molecule of a row. lattice: [6], positions: [3 n_atoms]"""
    cell = cell_from_lattice(torch.tensor(lattice, dtype=torch.float64)).numpy()
    return FullStructure(template_of(row["smiles"], row["n_copies"]), np.array(positions, dtype=np.float64).reshape(-1, 3), cell)


def read_relaxed_footer(shard: Path | bytes) -> RelaxedFooter:
    """What a shard, its file or its bytes, says of itself; its rows are not read.

    Raises:
        InputError: it is damaged or no shard.
    """
    try:
        about = pq.read_metadata(pa.BufferReader(shard) if isinstance(shard, bytes) else shard).metadata or {}
        return RelaxedFooter(about[STAGE].decode(), int(about[UNIT]), Counts(**json.loads(about[COUNTS])))
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        name = "it" if isinstance(shard, bytes) else shard
        raise InputError(f"{name} is damaged or no shard of a relaxation: remove it and its proposals are relaxed again") from error
