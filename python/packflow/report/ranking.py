"""The best of a ranking on screen."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from packflow.rank.ranking import Ranked, Ranking

# ranks of a molecule that are shown
SHOWN = 10
# reasons for having no rank that are shown, the most frequent
REASONS = 5


def ranking_tables(ranking: Ranking, shown: int = SHOWN) -> list[Table]:
    """A table of the best structures of each molecule; with lattice energies and known crystals where there are any."""
    return [_table(smiles, [row for row in ranking.rows if row.smiles == smiles], ranking, shown) for smiles in _molecules(ranking)]


def _molecules(ranking: Ranking) -> list[str]:
    return list(dict.fromkeys(row.smiles for row in ranking.rows))


def _table(smiles: str, rows: list[Ranked], ranking: Ranking, shown: int) -> Table:
    ranked = [row for row in rows if row.rank is not None]
    same = sum(len(row.members) - 1 for row in ranked)
    table = Table(box=SIMPLE, title=escape(f"{smiles}: {len(ranked)} crystals, {same} more are the same"))
    has_gas, has_known = not ranking.gas[smiles].problem, any(row.match is not None for row in ranked)
    columns = ["rank", "kJ/mol"] + ["lattice kJ/mol"] * has_gas + ["space group", "Z", "g/cm3"] + ["RMSD_15 Å"] * has_known + ["proposal"]
    for column in columns:
        table.add_column(column, justify="left" if column in ("space group", "proposal") else "right")
    for row in ranked[:shown]:
        group = row.space_group
        cells = [str(row.rank), f"{row.relative_energy:.2f}"] + [f"{row.lattice_energy:.2f}"] * has_gas
        cells += [group.symmetry.symbol if group else "?", str(group.z) if group else "?", f"{row.checked.density:.3f}"]
        table.add_row(*cells, *[_matched(row)] * has_known, escape(row.name))
    return table


def _matched(row: Ranked) -> str:
    """RMSD_15, or how many molecules overlay."""
    match = row.match
    if match is None or match.n_matched < 0 or math.isnan(match.rmsd):
        return ""
    return f"{match.rmsd:.3f}" if match.n_matched == match.n_molecules else f"{match.n_matched} of {match.n_molecules}"


def reasons_text(rows: Iterable[Ranked]) -> str:
    """Why structures have no rank, by the beginning of the reasons, the most frequent first; empty where all have one or are the same."""
    reasons = Counter(kind_of_reason(row.reason) for row in rows if row.rank is None and not row.duplicate_of)
    if not reasons:
        return ""
    listed = [f"{kind} {n}" for kind, n in reasons.most_common(REASONS)]
    others = sum(n for _, n in reasons.most_common()[REASONS:])
    return f"{sum(reasons.values())} without a rank: " + ", ".join(listed + ([f"others {others}"] if others else []))


def kind_of_reason(reason: str) -> str:
    """A reason without what is particular about it: what follows a colon or the first number."""
    kind = reason.partition(":")[0].split()
    words = [word for word in kind if not any(c.isdigit() for c in word)] if len(kind) > 1 else kind
    return " ".join(words)
