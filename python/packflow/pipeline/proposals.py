"""From a template to a folder of proposals."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from packflow.baseline.engine import Baseline
from packflow.flow.acceptance import Checks
from packflow.flow.draws import draws_of
from packflow.flow.sampler import SampleConfig, check_memory, sample_batches
from packflow.model import PackFlow
from packflow.report.proposals import ProposalFolder
from packflow.structure import Template


def sample_to_folder(
    model: PackFlow | Baseline,
    template: Template,
    out: str | Path,
    n_samples: int = 32,
    seed: int = 0,
    config: SampleConfig | None = None,
    max_atoms: int | None = None,
    progress: bool = True,
    settings: dict[str, object] | None = None,
    checks: Checks | None = None,
) -> ProposalFolder:
    """Sample proposals and write them, batch by batch, as a table and CIF files.

    Args:
        model: From `packflow.load`, or a baseline.
        template: Molecule and number of copies per unit cell.
        out: Folder that does not exist or is empty.
        n_samples: Number of proposals.
        seed: Proposal k is made from the noise of (seed, k).
        config: How the flow is integrated.
        max_atoms: Atoms sampled at once; None as for `packflow.sample`.
        progress: Show a progress bar on standard error.
        settings: Further entries of run.json.
        checks: Limits beyond which a proposal is flagged; with a budget above 1 it is then replaced by a fresh sample.

    Returns:
        The folder, closed; its `summary()` is a table to print, its `tally` the acceptance rate.

    Raises:
        InputError: as `packflow.sample`, or the folder holds files already.
    """
    config, checks = config or SampleConfig(), checks or Checks()
    draws = draws_of(template, n_samples, seed)
    if isinstance(model, Baseline):
        model.check(template, seed)
    check_memory(model, template.n_atoms, n_samples * template.n_atoms, max_atoms)
    batches = sample_batches(model, draws, config, max_atoms, lambda n: bar.advance(work, n), checks)
    run: dict[str, object] = {
        "smiles": template.molecule.smiles,
        "n_copies": template.n_copies,
        "n_samples": n_samples,
        "seed": seed,
        **(model.settings() if isinstance(model, Baseline) else asdict(config)),
        "checks": asdict(checks),
        **(settings or {}),
    }
    columns = (TextColumn("sampling"), BarColumn(), TextColumn("{task.percentage:3.0f} %"), TimeElapsedColumn(), TimeRemainingColumn())
    with ProposalFolder(out, run) as folder, Progress(*columns, console=Console(stderr=True), disable=not progress) as bar:
        n_stages = 1 if isinstance(model, Baseline) else len(config.stages())
        work = bar.add_task("steps", total=n_samples * n_stages)
        for proposals in batches:
            folder.write(proposals)
            # how much replacements add is known when they are there
            n_sampled = folder.tally.n_sampled + n_samples - folder.tally.n_proposals
            bar.update(work, total=n_sampled * n_stages)
    return folder
