"""From a molecule to ranked crystals: sampled, completed with hydrogens, relaxed, ranked; what is there already is not done again."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from packflow.campaign.job import Job
from packflow.campaign.progress import check_none_given_up, with_progress
from packflow.campaign.relax_stage import check_stage, made_of_stage, open_stage
from packflow.campaign.relaxation import Relaxation
from packflow.campaign.relaxed_shard import Counts
from packflow.campaign.run import carry_on
from packflow.campaign.store import open_store
from packflow.campaign.work import Executor, carried_on
from packflow.errors import InputError
from packflow.flow.acceptance import Checks, Tally
from packflow.flow.sampler import SampleConfig
from packflow.model import PackFlow
from packflow.pipeline.known import read_known
from packflow.pipeline.ranking import rank_store
from packflow.potential import Potential, potential_of
from packflow.rank import Ranking


@dataclass(frozen=True)
class Prediction:
    """What came of a molecule.

    path:    the store; `packflow sample`, `relax`, `rank` and `export` know it too.
    ranking: of the relaxed crystals, also in `path/ranked`.
    tally:   what became of samples.
    counts:  what became of proposals.
    """

    path: Path
    ranking: Ranking
    tally: Tally
    counts: Counts


def predict(
    model: PackFlow,
    smiles: str,
    out: str | Path,
    n_copies: int | Sequence[int] = 4,
    n_samples: int = 32,
    seed: int = 0,
    config: SampleConfig | None = None,
    checks: Checks | None = None,
    potential: str | Potential = "mmff",
    relaxation: Relaxation | None = None,
    references: Sequence[str | Path] = (),
    gas: bool = True,
    top: int | None = None,
    name: str = "molecule",
    max_atoms: int | None = None,
    n_workers: int = 1,
    executor: Executor | None = None,
    progress: bool = True,
) -> Prediction:
    """Predict the crystals of a molecule.

    A store of proposals, one job for each number of copies, is made as by `packflow.campaign.run`, relaxed as by
    `packflow.campaign.relax_stage.relax_store` and ranked as by `packflow.pipeline.rank_store`. The same call again goes on where the
    last one was cut off; only the ranking is made anew.

    Args:
        model: From `packflow.load`, on the device where all the work is to be done.
        smiles: The molecule.
        out: Folder that does not exist, is empty, or was begun with the same settings.
        n_copies: Molecules per unit cell; or several numbers.
        n_samples: Proposals of each.
        seed: Proposal k of each is made from the noise of (seed, k).
        config: How the flow is integrated.
        checks: Limits beyond which a proposal is flagged; with a budget above 1 it is then replaced by a fresh sample.
        potential: What energies are by; a name, or an object that can be pickled if the executor uses other processes.
        relaxation: How proposals are relaxed; flagged ones are not unless it says so.
        references: CIF files of known crystals, to be compared with.
        gas: Compute lattice energies too.
        top: Ranks that are written; None for all.
        name: Of the molecule, in names of crystals.
        max_atoms: Atoms sampled at once; None as for `packflow.sample`.
        n_workers: Processes that will share the memory of a device.
        executor: `packflow.campaign.work.here`, or one of `processes` and `cluster` with `functools.partial`.
        progress: Show a progress bar for each stage on standard error.

    Raises:
        InputError: the potential's extra or weights are not there, a reference is no crystal of the molecule, or as `open_store`, before
            anything is sampled; units of work were given up; nothing can be written.
    """
    relaxation, device = relaxation or Relaxation(), str(next(model.parameters()).device)
    numbers = (n_copies,) if isinstance(n_copies, int) else tuple(n_copies)
    if repeated := [n for k, n in enumerate(numbers) if n in numbers[:k]]:
        raise InputError(f"n_copies must be different numbers, got {repeated[0]} twice")
    jobs = [Job.of(name, smiles, n, n_samples) for n in numbers]
    read_known(references, [smiles])
    called, ready = (potential, potential_of(potential, device)) if isinstance(potential, str) else ("", potential)
    store = open_store(out, model, jobs, config, seed, max_atoms, checks, n_workers)
    try:
        check_stage(store.path, made_of_stage(store.sampling.campaign, ready, called or ready.name, relaxation))
    except InputError:
        store.close()
        raise
    results = carry_on(model, store, executor)
    given_up = with_progress(results, "sampling", store.plan.n_proposals, lambda: store.n_done, progress)
    check_none_given_up(given_up, "sampled")
    stage = open_stage(out, ready, relaxation, device, called)
    done = carried_on(stage.work, stage.missing(), stage, executor)
    given_up = with_progress(done, "relaxing", stage.source.n_proposals, lambda: stage.counts.n_proposals, progress)
    check_none_given_up(given_up, "relaxed")
    with Console(stderr=True).status("ranking") if progress else nullcontext():
        ranking = rank_store(out, None, top, references, gas, ready, device)
    return Prediction(store.path, ranking, store.tally, stage.counts)
