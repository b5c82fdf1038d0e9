"""Scores: every proposal of a template against every known crystal of it, a row each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from packflow.evaluate.energies import energy_columns, ready
from packflow.evaluate.solved import solved_columns
from packflow.evaluate.test_set import Case
from packflow.metrics import compare
from packflow.metrics.compat import released_metrics
from packflow.metrics.validity import good
from packflow.proposal_table import crystal_of
from packflow.rank import duplicates
from packflow.structure import AtomsBatch, Crystal

# column: of all that the row depends on, hexadecimal digits and the number of the reference
DIGEST, DIGITS = "digest", 32
# of the rows: another version computes them again
VERSION = 2
# columns of the released code's numbers begin so
RELEASED = "released_"


@dataclass(frozen=True)
class ScoreOptions:
    """What is computed beside the paper's metrics.

    pdd:       PDD distance, milliseconds a pair.
    rmsd:      packing similarity, see `packflow.evaluate.solved`; about a millisecond a pair.
    compat:    the released code's metrics, for its way of averaging.
    potential: energies and forces of proposals by it; "" for none.
    """

    pdd: bool = False
    rmsd: bool = True
    compat: bool = False
    potential: str = ""


def digests_in(table: pa.Table) -> list[str]:
    """Of the rows of a file of scores; none where another version wrote it."""
    return list(table[DIGEST].to_pylist()) if DIGEST in table.column_names else []


def pairs_of(rows: Sequence[Mapping[str, Any]], case: Case, options: ScoreOptions) -> list[tuple[tuple[int, int], str]]:
    """Places of proposals and references, reference by reference, each with the digest of all that its scores depend on."""
    about = json.dumps([VERSION, case.digest(), asdict(options)]).encode()
    digests = []
    for row in rows:
        digest = hashlib.sha256(about)
        lattice = [row[name] for name in ("a", "b", "c", "alpha", "beta", "gamma")]
        digest.update(repr((row["name"], row["seed"], row["problem"], row["flag"], lattice)).encode())
        digest.update(np.asarray(row["positions"], dtype=np.float32).tobytes())
        digests.append(digest.hexdigest()[:DIGITS])
    return [((p, r), f"{digest}-{r}") for r in range(len(case.crystals)) for p, digest in enumerate(digests)]


def scores_of(rows: Sequence[Mapping[str, Any]], case: Case, options: ScoreOptions, known: pa.Table | None = None) -> pa.Table:
    """Scores of the proposals of a template; those that are known are not computed again, but for the packings, which are of all."""
    pairs = pairs_of(rows, case, options)
    there = {digest: k for k, digest in enumerate(digests_in(known))} if known is not None else {}
    new = sorted({p for (p, _), digest in pairs if digest not in there})
    tables = [] if known is None or not there else [known.drop_columns(["packing"])]
    if new:
        chosen = [rows[p] for p in new]
        n_known = len(known) if tables and known is not None else 0
        there |= {digest: n_known + k for k, (_, digest) in enumerate(pairs_of(chosen, case, options))}
        tables.append(pair_scores(chosen, case, options))
    table = pa.concat_tables(tables, promote_options="default").take([there[digest] for _, digest in pairs])
    groups = pa.array(packings(AtomsBatch.from_crystals([crystal_of(row) for row in rows])), pa.int64())
    return table.append_column("packing", groups.take(pa.array([p for (p, _), _ in pairs]))).replace_schema_metadata(None)


def pair_scores(rows: Sequence[Mapping[str, Any]], case: Case, options: ScoreOptions) -> pa.Table:
    """Scores of proposals of a template, each against each known crystal."""
    proposals = [crystal_of(row) for row in rows]
    named = pairs_of(rows, case, options)
    pairs = np.array([pair for pair, _ in named])
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
    }
    if options.rmsd:
        table |= solved_columns(proposals, case.crystals, pairs, metrics["clash_nonbonded_percent"].to_numpy())
    if options.potential:
        table |= energy_columns(proposals, case.crystals, pairs, ready(options.potential, "cpu"))
    if options.compat:
        table |= released_columns(proposals, case.crystals, pairs)
    problems = [rows[p]["problem"] or found for (p, _), found in zip(pairs.tolist(), metrics["problem"].to_pylist(), strict=True)]
    return pa.table({**table, "problem": problems, DIGEST: [digest for _, digest in named]})


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
