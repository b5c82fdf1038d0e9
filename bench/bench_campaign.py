"""What the store and the export of a campaign cost beside its sampling.

Prints a JSON object a line. `share` is that part over the time of sampling alone, in this process, units done one after the other;
`store` is the making of shards (with density and clashes) and their way to the disk, `open` finding what is done when the campaign is
continued. `load` is the machine's over the last minute, this benchmark's own part in it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import harness
import numpy as np
import torch

import packflow
from packflow.campaign import Job
from packflow.campaign.export import FORMATS, export
from packflow.campaign.shard import Result, shard_of
from packflow.campaign.store import Store, open_store
from packflow.flow.sampler import Proposal, SampleConfig, sample_batch
from packflow.model import PackFlow

MOLECULES = (("aspirin", "CC(=O)Oc1ccccc1C(=O)O"), ("urea", "NC(N)=O"), ("ROY", "Cc1cc(C#N)c(s1)Nc1ccccc1[N+](=O)[O-]"))
MODEL, N_COPIES, N_SAMPLES, N_STEPS = "open-2m", 4, 160, 15
MAX_ATOMS, THREADS = 1024, 1


class Clock:
    """Seconds by what they were spent on."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def timed(self, what: str, call: Callable[[], object]) -> object:
        began = time.perf_counter()
        result = call()
        self.seconds[what] = self.seconds.get(what, 0.0) + time.perf_counter() - began
        return result


def sample_all(model: PackFlow, store: Store, clock: Clock) -> list[Proposal]:
    """What the executor `here` does, with a clock between sampling and storing."""
    found = []
    for unit in store.missing():
        draws = list(unit.draws(store.sampling.seed))
        proposals = clock.timed("sample", lambda draws=draws: sample_batch(model, draws, store.sampling.config))

        def keep(unit=unit, proposals=proposals) -> list[Proposal]:
            result = Result(unit, shard_of(unit, proposals, store.sampling.campaign))
            store.write(result)
            return result

        stored = clock.timed("store", keep).proposals()
        for one, other in zip(proposals, stored, strict=True):
            np.testing.assert_allclose(one.crystal.positions, other.crystal.positions, atol=1e-4)
        found += stored
    return found


def measured(model: PackFlow, jobs: list[Job], n_steps: int, folder: Path) -> dict:
    """A line about one campaign."""
    clock, config, path = Clock(), SampleConfig(n_steps), folder / "store"
    with open_store(path, model, jobs, config, max_atoms=MAX_ATOMS) as store:
        n_proposals = len(sample_all(model, store, clock))
    clock.timed("open", lambda: open_store(path, model, jobs, config, max_atoms=MAX_ATOMS).close())
    for kind in FORMATS:
        clock.timed(kind, lambda kind=kind: export(path, folder / f"out.{kind}", kind, everything=True))
    shards = [p.stat().st_size for p in path.rglob("*.parquet")]
    line = {"op": "campaign", "case": f"{MODEL}, {n_steps} steps, units of {MAX_ATOMS} atoms", "peer": "sampling alone", "device": "cpu"}
    line |= {"threads": torch.get_num_threads(), "proposals": n_proposals, "shards": len(shards)}
    line |= {"bytes_per_proposal": sum(shards) / n_proposals}
    line |= {f"{what}_ms_per_proposal": 1e3 * seconds / n_proposals for what, seconds in clock.seconds.items()}
    return line | {f"{what}_share": clock.seconds[what] / clock.seconds["sample"] for what in ("store", "open", *FORMATS)}


def main() -> None:
    n_samples, n_steps = (2, 5) if harness.smallest() else (N_SAMPLES, N_STEPS)
    torch.set_num_threads(THREADS)
    model = packflow.load(MODEL)
    jobs = [Job.of(name, smiles, N_COPIES, n_samples) for name, smiles in MOLECULES]
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "warm").mkdir()
        measured(model, [Job.of("methane", "C", 1, 1)], 1, Path(scratch) / "warm")
        line = measured(model, jobs, n_steps, Path(scratch))
    line |= {"load": os.getloadavg()[0], "versions": {name: version(name) for name in ("torch", "pyarrow")}, "commit": harness._commit()}
    print(json.dumps(line), flush=True)
    numbers = {key: value for key, value in line.items() if isinstance(value, int | float)}
    print(f"{line['case']}\n  " + "\n  ".join(f"{key:<28} {value:.4g}" for key, value in numbers.items()), file=sys.stderr)


if __name__ == "__main__":
    main()
