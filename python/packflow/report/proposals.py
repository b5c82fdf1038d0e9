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
from packflow.flow.acceptance import Tally
from packflow.flow.sampler import Proposal
from packflow.proposal_table import LATTICE, SCHEMA, rows_of
from packflow.structure.cif import cif_text

TABLE = "proposals.parquet"
CIFS = "cifs"
RUN = "run.json"
# the columns of the rows, and the name of the CIF file
COLUMNS = SCHEMA.insert(SCHEMA.get_field_index("atomic_numbers"), pa.field("cif", pa.string()))
# of the summary: column, unit, decimals
SUMMARY = (("density", "g/cm3", 2), ("clash_percent", "%", 1), ("volume", "Å3", 0), *((name, "Å", 1) for name in LATTICE[:3]))
SUMMARY_ANGLES = tuple((name, "°", 0) for name in LATTICE[3:])


class ProposalFolder:
    """Writes proposals as they come; what was written stays readable if the run stops early.

    proposals.parquet: a row per proposal, see `packflow.proposal_table.rows_of`, with the name of its CIF file as `cif`, empty if none.
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
        self.tally = Tally()
        self._writer = pq.ParquetWriter(self.path / TABLE, COLUMNS)

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
            row["cif"] = "" if proposal.problem else f"proposal_{proposal.index:06d}.cif"
            if row["cif"]:
                (self.path / CIFS / str(row["cif"])).write_text(cif_text(proposal.crystal, Path(str(row["cif"])).stem))
        self.tally += Tally.of(proposals)
        self._writer.write_table(pa.Table.from_pylist(rows, COLUMNS))
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
