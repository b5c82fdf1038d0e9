"""Every proposal of an engine against every known crystal of its template, a row each; what is on the disk is not computed again."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from rich.console import Console
from rich.progress import track

from packflow.campaign.disk import write_atomically
from packflow.errors import InputError
from packflow.evaluate.energies import energy_columns, ready
from packflow.evaluate.sampled import PROPOSALS, proposals_by_case
from packflow.evaluate.solved import solved_columns
from packflow.evaluate.test_set import Case
from packflow.metrics import compare
from packflow.metrics.compat import released_metrics
from packflow.metrics.validity import good
from packflow.proposal_table import crystal_of
from packflow.rank import duplicates
from packflow.structure import AtomsBatch, Crystal

SCORES = "scores"
DIGEST = b"packflow_scores"
# of the rows: another version computes them again
VERSION = 1
# columns of the released code's numbers begin so
RELEASED = "released_"


@dataclass(frozen=True)
class ScoreOptions:
    """What is computed beside the paper's metrics.

    pdd:       PDD distance, milliseconds a pair.
    rmsd:      packing similarity, see `packflow.evaluate.solved`; up to a second a pair.
    compat:    the released code's metrics, for its way of averaging.
    potential: energies and forces of proposals by it; "" for none.
    """

    pdd: bool = False
    rmsd: bool = True
    compat: bool = False
    potential: str = ""


def score_engine(folder: Path, cases: Sequence[Case], options: ScoreOptions, label: str = "", progress: bool = True) -> pa.Table:
    """Scores of all proposals in an engine's folder.

    Args:
        folder: Of the engine.
        cases: Test set.
        options: What is computed.
        label: Of the engine, for the progress bar.
        progress: Show it on standard error.

    Returns:
        A row per proposal and reference: case, molecule (canonical SMILES), reference, index (of the proposal), the columns of
        `packflow.metrics.compare`, flag (the sampler's, empty for a valid proposal), packing (group of proposals of the template that are
        the same crystal, missing for a failed one), what `options` adds, and problem.

    Raises:
        InputError: the store is damaged or lacks proposals of a case.
    """
    by_name = {case.name: case for case in cases}
    found = proposals_by_case(folder)
    groups = track(found, f"judging {label}", len(cases), console=Console(stderr=True), disable=not progress, transient=True)
    tables = [score_case(rows, by_name[name], folder / SCORES, options) for name, rows in groups if name in by_name]
    if len(tables) < len(cases):
        raise InputError(f"{folder / PROPOSALS} lacks proposals of {len(cases) - len(tables)} templates: give the same command again")
    return pa.concat_tables(tables, promote_options="default")


def score_case(rows: Sequence[Mapping[str, Any]], case: Case, folder: Path, options: ScoreOptions) -> pa.Table:
    """Scores of the proposals of a template, from the folder if they are there."""
    file = folder / f"{case.name.replace('#', '_')}.parquet"
    digest = digest_of(rows, case, options)
    if file.exists():
        known = pq.read_table(file)
        if (known.schema.metadata or {}).get(DIGEST, b"").decode() == digest:
            return known
    table = scores_of(rows, case, options).replace_schema_metadata({DIGEST: digest})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    write_atomically(file, sink.getvalue())
    return table


def digest_of(rows: Sequence[Mapping[str, Any]], case: Case, options: ScoreOptions) -> str:
    """Of all that scores depend on."""
    digest = hashlib.sha256(json.dumps([VERSION, case.digest(), asdict(options)]).encode())
    for row in rows:
        lattice = [row[name] for name in ("a", "b", "c", "alpha", "beta", "gamma")]
        digest.update(repr((row["name"], row["seed"], row["problem"], row["flag"], lattice)).encode())
        digest.update(np.asarray(row["positions"], dtype=np.float32).tobytes())
    return digest.hexdigest()


def scores_of(rows: Sequence[Mapping[str, Any]], case: Case, options: ScoreOptions) -> pa.Table:
    """Scores of the proposals of a template."""
    proposals = [crystal_of(row) for row in rows]
    pairs = np.array([(p, r) for r in range(len(case.crystals)) for p in range(len(proposals))])
    atoms, references = AtomsBatch.from_crystals(proposals), AtomsBatch.from_crystals(case.crystals)
    mine, theirs = torch.from_numpy(pairs).unbind(1)
    metrics = compare(atoms.select(mine) if len(case.crystals) > 1 else atoms, references, theirs.contiguous(), pdd=options.pdd)
    table = {
        "case": [case.name] * len(pairs),
        "molecule": [case.molecule] * len(pairs),
        "reference": [case.references[r] for _, r in pairs.tolist()],
        "index": [rows[p]["index"] for p, _ in pairs.tolist()],
        **{name: metrics[name] for name in metrics.column_names if name not in ("reference", "problem")},
        "flag": [rows[p]["flag"] for p, _ in pairs.tolist()],
        "packing": pa.array(packings(atoms)).take(pa.array(pairs[:, 0])),
    }
    if options.rmsd:
        table |= solved_columns(proposals, case.crystals, pairs, metrics["clash_nonbonded_percent"].to_numpy())
    if options.potential:
        table |= energy_columns(proposals, case.crystals, pairs, ready(options.potential, "cpu"))
    if options.compat:
        table |= released_columns(proposals, case.crystals, pairs)
    problems = [rows[p]["problem"] or found for (p, _), found in zip(pairs.tolist(), metrics["problem"].to_pylist(), strict=True)]
    return pa.table({**table, "problem": problems})


def packings(atoms: AtomsBatch) -> list[int | None]:
    """The proposal that stands for the packing of each; None where it has a problem."""
    usable = good(atoms).nonzero()[:, 0]
    groups = duplicates(atoms.select(usable))
    found: list[int | None] = [None] * len(atoms)
    for place, group in zip(usable.tolist(), groups.group.tolist(), strict=True):
        found[place] = int(usable[groups.representative[group]]) if group >= 0 else None
    return found


def released_columns(proposals: Sequence[Crystal], references: Sequence[Crystal], pairs: np.ndarray) -> dict[str, pa.Array]:
    """The released code's numbers of each pair; missing where that code fails."""
    numbers: list[dict[str, float] | None] = []
    for p, r in pairs.tolist():
        one, other = proposals[p], references[r]
        arrays = (one.template.atomic_numbers, one.positions, one.lattice, other.positions, other.lattice)
        try:
            numbers.append(released_metrics(*map(torch.from_numpy, arrays)))
        except ValueError:
            numbers.append(None)
    names = next((list(x) for x in numbers if x), [])
    return {RELEASED + name: pa.array([x[name] if x else None for x in numbers], pa.float64(), from_pandas=True) for name in names}
