"""Proposals of a store, however far they came: sampled, relaxed, ranked; as a report lists them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from packflow.campaign.manifest import MANIFEST
from packflow.campaign.proposal_source import ProposalSource, find_proposals, unit_of
from packflow.campaign.relax_stage import FOLDER as RELAXED
from packflow.campaign.relax_stage import stage_digest, stage_of
from packflow.campaign.relaxed_shard import read_relaxed_footer
from packflow.campaign.shard import read_shard
from packflow.campaign.store import shard_paths
from packflow.errors import InputError
from packflow.flow.validity import kinds_of
from packflow.proposal_table import LATTICE
from packflow.rank.lattice_energy import KJ_MOL_PER_EV
from packflow.rank.ranking_files import TABLE
from packflow.report.page import Listed

Row = dict[str, Any]
# column of the page: column of the ranking
OF_RANKING = {
    "rank": "rank",
    "relative_energy": "relative_energy_kj_mol",
    "lattice_energy": "lattice_energy_kj_mol",
    "space_group": "space_group",
    "z_prime": "z_prime",
    "n_duplicates": "n_duplicates",
    "duplicate_of": "duplicate_of",
    "known": "known",
    "n_matched": "n_matched",
    "rmsd": "rmsd_15",
    "energy_above_known": "energy_above_known_kj_mol",
}


@dataclass
class Found:
    """Rows of a store.

    source:    the proposals' files.
    proposals: by name, in the order of the store.
    relaxed:   by name.
    ranked:    rows of the ranking by name.
    problems:  files that could not be read, and why.
    """

    source: ProposalSource
    proposals: dict[str, Row] = field(default_factory=dict)
    relaxed: dict[str, Row] = field(default_factory=dict)
    ranked: dict[str, Row] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read_found(store: str | Path, ranking: str | Path) -> Found:
    """All rows of a store; a shard that is damaged is listed as a problem, and the others are read.

    Args:
        store: Folder that `packflow sample` or `packflow predict` wrote, finished or not.
        ranking: Folder of `packflow rank`; it need not exist.

    Raises:
        InputError: as `packflow.campaign.proposal_source.find_proposals`; no shard can be read; the ranking is damaged.
    """
    found = Found(find_proposals(store))
    for number in sorted(found.source.portions):
        try:
            rows = unit_of(found.source.portions[number]).rows()
        except InputError as error:
            found.problems.append(str(error))
        else:
            found.proposals.update((row["name"], packed(row)) for row in rows)
    if not found.proposals:
        raise InputError(found.problems[0])
    if (Path(store) / RELAXED / MANIFEST).exists():
        found.relaxed.update((row["name"], packed(row)) for row in relaxed_rows(Path(store), found.problems))
    found.ranked.update((row["name"], row) for row in ranking_rows(Path(ranking)))
    return found


def packed(row: Row) -> Row:
    """The row with its coordinates as an array, which takes a tenth of the memory of a list; none where they are not three an atom."""
    known = row["positions"] is not None and len(row["positions"]) % 3 == 0
    positions = np.array(row["positions"], dtype=np.float32).reshape(-1, 3) if known else None
    return row | {"positions": positions, "start_positions": None, "atomic_numbers": None}


def relaxed_rows(store: Path, problems: list[str]) -> Iterator[Row]:
    """Rows of the relaxed proposals, those that can be read."""
    digest = stage_digest(stage_of(store))
    for file in shard_paths(store / RELAXED):
        try:
            if read_relaxed_footer(file).stage != digest:
                raise InputError(f"{file} is not of this relaxation: remove it and its proposals are relaxed again")
            rows = read_shard(file, "relaxed").to_pylist()
        except InputError as error:
            problems.append(str(error))
        else:
            yield from rows


def ranking_rows(folder: Path) -> list[Row]:
    """Rows of a ranking, none where there is none; raises InputError if it is damaged."""
    file = folder / TABLE
    if not file.exists():
        return []
    try:
        # as of `read_shard`
        with pq.ParquetFile(file) as table:
            rows: list[Row] = table.read().to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{file} is damaged ({' '.join(str(error).split())}): call packflow rank again") from error
    if rows and (lacking := sorted({"name", "energy", "reason", *OF_RANKING.values()} - rows[0].keys())):
        raise InputError(f"{file} lacks the columns {', '.join(lacking)}: it was written by another version of packflow, rank again")
    return rows


def listed_of(found: Found) -> tuple[Listed, ...]:
    """The proposals of a store as a report lists them, in their order."""
    best = best_energies(found)
    return tuple(
        listed(row, found.relaxed.get(name), found.ranked.get(name), best.get(row["smiles"])) for name, row in found.proposals.items()
    )


def best_energies(found: Found) -> dict[str, float]:
    """What energies of a molecule are relative to, eV per molecule, by SMILES: that of its first rank, else the lowest that converged."""
    lowest: dict[str, float] = {}
    ranked: dict[str, float] = {}
    for name, row in found.relaxed.items():
        smiles, energy = row["smiles"], row["energy_per_molecule_ev"]
        if found.ranked.get(name, {}).get("rank") == 1:
            ranked[smiles] = energy
        if energy is not None and row["converged"] and not row["problem"]:
            lowest[smiles] = min(energy, lowest.get(smiles, energy))
    return lowest | ranked


def listed(proposal: Row, relaxed: Row | None, ranked: Row | None, best: float | None) -> Listed:
    """A proposal as far as it came. best: energy that others of the molecule are relative to, eV per molecule"""
    status, reason = status_of(proposal, relaxed, ranked)
    # of a relaxation that failed, atoms are shown, numbers mean nothing
    last = relaxed if relaxed is not None and relaxed["positions"] is not None else proposal
    values: dict[str, Any] = {name: proposal[name] for name in ("index", "seed", "attempt")} | {"clash": proposal["clash_percent"]}
    if status != "failed":
        values |= {"density": last["density"], "volume": None if last["volume"] is None else last["volume"] / proposal["n_copies"]}
    if last is relaxed and status not in ("failed", "no crystal", "implausible"):
        values |= of_relaxed(last, best)
    if ranked is not None:
        values |= {name: ranked[column] for name, column in OF_RANKING.items() if ranked[column] is not None}
    return Listed(
        name=proposal["name"],
        smiles=proposal["smiles"],
        n_copies=proposal["n_copies"],
        status=status,
        reason=reason,
        values={name: value for name, value in values.items() if value is not None},
        lattice=lattice_of(last),
        positions=last["positions"],
        hydrogens=last is relaxed,
    )


def status_of(proposal: Row, relaxed: Row | None, ranked: Row | None) -> tuple[str, str]:
    """What became of a proposal, see `packflow.report.page.STATUSES`, and why."""
    if proposal["problem"]:
        return "no crystal", proposal["problem"]
    if relaxed is None:
        return ("implausible", proposal["flag"]) if proposal["flag"] else ("sampled", "")
    if relaxed["problem"]:
        flagged = relaxed["problem"].startswith("flagged")
        return ("implausible", proposal["flag"]) if flagged else ("failed", relaxed["problem"])
    if ranked is None:
        return "relaxed", ""
    if ranked["rank"] is not None:
        return "ranked", ""
    return ("duplicate" if ranked["duplicate_of"] else "left out"), ranked["reason"]


def of_relaxed(row: Row, best: float | None) -> dict[str, Any]:
    """Numbers that a relaxed crystal has by itself."""
    energy = row["energy_per_molecule_ev"]
    relative = None if energy is None or best is None else KJ_MOL_PER_EV * (energy - best)
    steps = row["n_steps"] + row["n_steps_hydrogens"]
    return {"energy": energy, "relative_energy": relative, "n_steps": steps, "converged": "yes" if row["converged"] else "no"}


def lattice_of(row: Row) -> tuple[float, ...] | None:
    """Lattice parameters of a row, none where they are unknown."""
    lattice = tuple(row[name] for name in LATTICE)
    return None if None in lattice else lattice


def replaced_of(found: Found) -> Mapping[tuple[str, str], int]:
    """How many samples were replaced by fresh ones, by SMILES and kinds of reason."""
    counts: Counter[tuple[str, str]] = Counter()
    for row in found.proposals.values():
        counts.update((row["smiles"], ", ".join(kinds_of(flag))) for flag in row["rejected"] or () if flag)
    return dict(counts)
