"""Where a later stage finds proposals: a store of a campaign, or the folder of `packflow sample SMILES`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from packflow.campaign.manifest import MANIFEST, campaign_digest, read_manifest
from packflow.campaign.shard import read_footer, read_shard
from packflow.campaign.store import shard_paths
from packflow.errors import InputError
from packflow.proposal_table import SCHEMA

PROPOSALS = "proposals.parquet"
# proposals of a unit, where the sampler had no units
ROWS_PER_UNIT = 32


@dataclass(frozen=True)
class ProposalUnit:
    """The proposals of a unit, with all that is known of them, so that they can be sent anywhere.

    number:      of the unit, that of the sampler where it had units.
    n_proposals: rows.
    data:        the rows as an Arrow stream; columns of `packflow.proposal_table` and `name`.
    """

    number: int
    n_proposals: int
    data: bytes

    def rows(self) -> list[dict[str, Any]]:
        """The proposals, a row each."""
        with pa.ipc.open_stream(self.data) as stream:
            rows: list[dict[str, Any]] = stream.read_all().to_pylist()
        return rows


@dataclass(frozen=True)
class Portion:
    """Rows start to stop - 1 of a Parquet file, which are unit `number`."""

    number: int
    path: Path
    start: int
    stop: int


@dataclass(frozen=True)
class ProposalSource:
    """Proposals on the disk, as they were when it was opened.

    path:      the folder.
    digest:    of what they depend on.
    portions:  the units that are there, by their number.
    n_planned: proposals that the sampler was asked for; there may be fewer yet.
    """

    path: Path
    digest: str
    portions: dict[int, Portion]
    n_planned: int

    @property
    def n_proposals(self) -> int:
        """Proposals that are there."""
        return sum(portion.stop - portion.start for portion in self.portions.values())

    def units(self, numbers: Iterator[int]) -> Iterator[ProposalUnit]:
        """Units with their rows, read when they are asked for.

        Raises:
            InputError: a file is damaged, in the iterator.
        """
        return (unit_of(self.portions[number]) for number in numbers)


def unit_of(portion: Portion) -> ProposalUnit:
    """Read the rows of a unit, checksums compared; raises InputError if the file is damaged."""
    table = read_shard(portion.path).slice(portion.start, portion.stop - portion.start)
    if "name" not in table.column_names:
        about = zip(table["n_copies"].to_pylist(), table["index"].to_pylist(), strict=True)
        table = table.add_column(0, "name", pa.array([f"proposal#{n_copies}-{index}" for n_copies, index in about]))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return ProposalUnit(portion.number, len(table), sink.getvalue().to_pybytes())


def find_proposals(path: str | Path) -> ProposalSource:
    """The proposals of a folder, without their rows.

    Args:
        path: Folder that `packflow sample` wrote, with --input or a SMILES; a store need not be finished.

    Raises:
        InputError: there is no such folder, it holds no proposals, or they are damaged or of another version.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"{path} is no folder: give one that packflow sample wrote")
    if (path / MANIFEST).exists():
        found = of_store(path)
    elif (path / PROPOSALS).exists():
        found = of_folder(path)
    else:
        raise InputError(f"{path} holds neither {MANIFEST} nor {PROPOSALS}: give a folder that packflow sample wrote")
    if not found.portions:
        raise InputError(f"{path} holds no proposals yet: let packflow sample go on first")
    return found


def of_store(path: Path) -> ProposalSource:
    """The proposals of a campaign: its units."""
    manifest = read_manifest(path)
    digest, portions = campaign_digest(manifest["made_of"], manifest["unit_atoms"]), {}
    for file in shard_paths(path):
        footer = read_footer(file)
        if footer.campaign != digest:
            raise InputError(f"{file} is not of this campaign: remove it and its proposals are sampled again")
        portions[footer.unit] = Portion(footer.unit, file, 0, footer.n_rows)
    return ProposalSource(path, digest, portions, int(manifest.get("n_proposals", 0)))


def of_folder(path: Path) -> ProposalSource:
    """The proposals of one molecule: a unit for every so many rows."""
    file = path / PROPOSALS
    try:
        found = pq.read_metadata(file)
        lacking = sorted(set(SCHEMA.names) - set(found.schema.to_arrow_schema().names))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{file} is damaged, or still being written: sample again or wait") from error
    if lacking:
        raise InputError(f"{file} lacks the columns {', '.join(lacking)}: it was written by another version of packflow, sample again")
    n_rows = found.num_rows
    starts = range(0, n_rows, ROWS_PER_UNIT)
    portions = {k: Portion(k, file, start, min(start + ROWS_PER_UNIT, n_rows)) for k, start in enumerate(starts)}
    return ProposalSource(path, hashlib.sha256(file.read_bytes()).hexdigest(), portions, n_rows)
