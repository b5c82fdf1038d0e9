"""A folder of proposals: one Parquet table and one CIF file each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.table import Table

from packflow.errors import InputError
from packflow.flow.sampler import Proposal
from packflow.metrics import clash_percent, density
from packflow.structure import AtomsBatch
from packflow.structure.cif import cif_text

TABLE = "proposals.parquet"
CIFS = "cifs"
RUN = "run.json"
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
        ("cif", pa.string()),
        ("atomic_numbers", pa.list_(pa.int32())),
        ("positions", pa.list_(pa.float32())),
    ]
)
# of the summary: column, unit, decimals
SUMMARY = (("density", "g/cm3", 2), ("clash_percent", "%", 1), ("volume", "Å3", 0), *((name, "Å", 1) for name in LATTICE[:3]))
SUMMARY_ANGLES = tuple((name, "°", 0) for name in LATTICE[3:])


class ProposalFolder:
    """Writes proposals as they come; what was written stays readable if the run stops early.

    proposals.parquet: a row per proposal: index, seed, smiles, n_copies, a, b, c (Å), alpha, beta, gamma (degrees), volume (Å3),
        density (g/cm3, with the implicit hydrogens), clash_percent, problem (empty if it is a crystal), cif (file name),
        atomic_numbers and positions (x, y, z of each atom in a row; Å, c along z, molecules whole).
    cifs/: a file per proposal without a problem.
    run.json: how they were made.
    """

    def __init__(self, path: str | Path, settings: dict[str, object]) -> None:
        """Make the folder.

        Args:
            path: Must not exist or be empty.
            settings: How the proposals are made, for run.json.

        Raises:
            InputError: the folder holds files already, or cannot be made.
        """
        self.path = Path(path)
        if self.path.is_dir() and any(self.path.iterdir()):
            raise InputError(f"{self.path} holds files already; choose another folder, nothing in it was changed")
        try:
            (self.path / CIFS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.path} cannot be made: {error.strerror}") from error
        run = {"packflow": version("packflow-csp"), **settings}
        (self.path / RUN).write_text(json.dumps(run, indent=2) + "\n")
        self.rows: list[dict[str, object]] = []
        self._writer = pq.ParquetWriter(self.path / TABLE, SCHEMA)

    def __enter__(self) -> ProposalFolder:
        """The folder, open for writing."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Finish the table, also after an error."""
        self._writer.close()

    def write(self, proposals: Sequence[Proposal]) -> None:
        """Add proposals to the table and write their CIF files."""
        rows = rows_of(proposals)
        for row, proposal in zip(rows, proposals, strict=True):
            if row["cif"]:
                (self.path / CIFS / str(row["cif"])).write_text(cif_text(proposal.crystal, Path(str(row["cif"])).stem))
        self._writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
        self.rows += [{key: row[key] for key in row if key not in ("atomic_numbers", "positions")} for row in rows]

    def summary(self) -> Table:
        """Medians and the range of the middle four fifths of the proposals written."""
        good = [row for row in self.rows if not row["problem"]]
        table = Table(title=f"{len(self.rows)} proposals, {len(good)} with a possible cell")
        if not good:
            table.add_column("no proposal has a possible cell: the weights are untrained, or trained on other molecules")
            return table
        for column in ("", "10 %", "median", "90 %"):
            table.add_column(column, justify="left" if not column else "right")
        for name, unit, decimals in (*SUMMARY, *SUMMARY_ANGLES):
            quantiles = np.quantile([float(str(row[name])) for row in good], (0.1, 0.5, 0.9))
            table.add_row(f"{name.removesuffix('_percent')} ({unit})", *(f"{q:.{decimals}f}" for q in quantiles))
        return table


def rows_of(proposals: Sequence[Proposal]) -> list[dict[str, object]]:
    """Rows of the table; metrics of proposals with a problem are missing."""
    good = [p for p in proposals if not p.problem]
    metrics: dict[int, tuple[float, float]] = {}
    if good:
        atoms = AtomsBatch.from_crystals([p.crystal for p in good])
        numbers = zip(density(atoms).tolist(), clash_percent(atoms).tolist(), strict=True)
        metrics = {p.index: pair for p, pair in zip(good, numbers, strict=True)}
    rows = []
    for p in proposals:
        dense, clashing = metrics.get(p.index, (None, None))
        rows.append(
            {
                "index": p.index,
                "seed": p.seed,
                "smiles": p.crystal.template.molecule.smiles,
                "n_copies": p.crystal.template.n_copies,
                **dict(zip(LATTICE, p.crystal.lattice.tolist(), strict=True)),
                "volume": abs(float(np.linalg.det(p.crystal.cell))) if not p.problem else None,
                "density": dense,
                "clash_percent": clashing,
                "problem": p.problem,
                "cif": "" if p.problem else f"proposal_{p.index:06d}.cif",
                "atomic_numbers": p.crystal.template.atomic_numbers.tolist(),
                "positions": p.crystal.positions.ravel().tolist(),
            }
        )
    return rows
