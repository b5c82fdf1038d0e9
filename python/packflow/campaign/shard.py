"""Shards: the proposals of one unit as a small Parquet file, and how they are sampled and read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from packflow.baseline.engine import Baseline
from packflow.campaign.plan import Unit
from packflow.campaign.work import Done
from packflow.errors import InputError
from packflow.flow.acceptance import Checks, Tally
from packflow.flow.sampler import Proposal, SampleConfig, sample_batches
from packflow.model import PackFlow
from packflow.proposal_table import SCHEMA, proposal_of, rows_of

COLUMNS = pa.schema([("name", pa.string()), *SCHEMA])
CAMPAIGN, UNIT, N_USABLE, TALLY = b"packflow_campaign", b"packflow_unit", b"packflow_usable", b"packflow_tally"


@dataclass(frozen=True)
class Sampling:
    """How units are sampled.

    campaign:  digest of what the proposals of the store depend on; shards state it.
    seed:      of the draws.
    config:    how the flow is integrated.
    checks:    what is flagged, and how often it is then sampled again.
    max_atoms: atoms sampled at once.
    """

    campaign: str
    seed: int
    config: SampleConfig
    checks: Checks
    max_atoms: int


@dataclass(frozen=True)
class Result(Done):
    """A unit that was sampled, or given up, see `packflow.campaign.work.Done`."""

    unit: Unit

    @property
    def n_usable(self) -> int:
        """Proposals without a problem."""
        return read_footer(self.data).n_usable if self.data else 0

    def proposals(self) -> list[Proposal]:
        """Its proposals, read from the shard, positions rounded to float32."""
        return [proposal_of(row) for row in pq.read_table(pa.BufferReader(self.data)).to_pylist()] if self.data else []


@dataclass(frozen=True)
class Footer:
    """What a shard says of itself.

    campaign: digest of its store.
    unit:     number of its unit.
    n_rows:   proposals.
    n_usable: those without a problem.
    tally:    what became of the samples.
    """

    campaign: str
    unit: int
    n_rows: int
    n_usable: int
    tally: Tally


def sample_unit(model: PackFlow | Baseline, unit: Unit, sampling: Sampling) -> bytes:
    """Sample all proposals of a unit; returns its shard: columns of `rows_of` and `name`, one row each, in the order of the unit."""
    draws = unit.draws(sampling.seed)
    batches = sample_batches(model, draws, sampling.config, sampling.max_atoms, checks=sampling.checks)
    return shard_of(unit, [proposal for batch in batches for proposal in batch], sampling.campaign)


def shard_of(unit: Unit, proposals: list[Proposal], campaign: str) -> bytes:
    """The Parquet file of a unit's proposals, pages with checksums."""
    rows = [{"name": name, **row} for name, row in zip(unit.names(), rows_of(proposals), strict=True)]
    n_usable, tally = sum(not p.problem for p in proposals), json.dumps(asdict(Tally.of(proposals)))
    about = {CAMPAIGN: campaign, UNIT: str(unit.number), N_USABLE: str(n_usable), TALLY: tally}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, COLUMNS.with_metadata(about)), sink, compression="zstd", write_page_checksum=True)
    return sink.getvalue().to_pybytes()


def read_footer(shard: Path | bytes) -> Footer:
    """What a shard, its file or its bytes, says of itself; its rows are not read.

    Raises:
        InputError: it is damaged or no shard.
    """
    try:
        meta = pq.read_metadata(pa.BufferReader(shard) if isinstance(shard, bytes) else shard)
        about = meta.metadata or {}
        tally = Tally(**json.loads(about[TALLY]))
        return Footer(about[CAMPAIGN].decode(), int(about[UNIT]), meta.num_rows, int(about[N_USABLE]), tally)
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        name = "it" if isinstance(shard, bytes) else shard
        raise InputError(f"{name} is damaged or no shard of a campaign: remove it and its proposals are sampled again") from error


def read_shard(path: Path, again: str = "sampled") -> pa.Table:
    """All rows of a shard, checksums compared; `again` is what is done to its proposals if it is removed.

    Raises:
        InputError: the file is damaged.
    """
    try:
        # not read_table: it imports pandas, which takes longer than reading
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            return file.read()
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is damaged ({reason}): remove it and continue the campaign, its proposals are {again} again") from error
