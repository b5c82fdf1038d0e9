"""Groups of proposals from the present weights, and what they are worth (paper, algorithm 1, part A)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from packflow.flow.draws import Draw, in_batches
from packflow.flow.sampler import Proposal, SampleConfig, Sampler
from packflow.flow.single_time import encodable
from packflow.metrics.clash import clash_percent
from packflow.metrics.density import density
from packflow.model import PackFlow
from packflow.potential.interface import Potential
from packflow.structure import AtomsBatch, Crystal, FlowSpace
from packflow.structure.lattice import volume
from packflow.train.align_config import RewardConfig
from packflow.train.rewards import rewards_of
from packflow.train.scores import Hydrogens
from packflow.train.templates import TemplatePool

# Independent uses of randomness in one iteration; the times and noises of proposal k have stream len(STREAMS) + k.
STREAMS = ORDER, ROLLOUT = range(2)


@dataclass(frozen=True)
class Rollout:
    """Groups of proposals, one after the other.

    draws:   [n_groups * k], what was sampled.
    crystals: [n_groups * k].
    known:   [n_groups], the known crystal of each group's template.
    usable:  [n_groups * k] bool, crystals that the flow could have as data.
    values:  [n_groups, k, n_channels] float64, rewards; NaN where there are none.
    clash:   [n_groups * k] float64, percent; NaN without a crystal.
    volume:  [n_groups, k] float64, logarithm of the cell's; NaN where it is not usable.
    """

    draws: list[Draw]
    crystals: list[Crystal]
    known: list[Crystal]
    usable: list[bool]
    values: Tensor
    clash: Tensor
    volume: Tensor


def draws_of_iteration(pool: TemplatePool, seed: int, step: int, n_templates: int, group_size: int) -> tuple[list[Draw], list[Crystal]]:
    """All proposals of an iteration before they are sampled, group by group, and the known crystal of each group."""
    known = pool.crystals_of(step, n_templates, ORDER)
    noise = int(np.random.SeedSequence([seed, step, ROLLOUT]).generate_state(1, np.uint32)[0])
    draws = [Draw(crystal.template, g * group_size + k, noise) for g, crystal in enumerate(known) for k in range(group_size)]
    return draws, known


def proposals_of(model: PackFlow, draws: Sequence[Draw], config: SampleConfig, max_atoms: int) -> list[Proposal]:
    """Sample draws by the weights as they are now, in packed batches of any templates."""
    sampler = Sampler(model, config)  # it copies the weights
    return [proposal for batch in in_batches(draws, max_atoms) for proposal in sampler.sample(batch)]


def judged(
    proposals: Sequence[Proposal],
    draws: list[Draw],
    known: list[Crystal],
    space: FlowSpace,
    potential: Potential,
    config: RewardConfig,
    n_relaxed: int = 0,
) -> Rollout:
    """Rewards of proposals.

    Args:
        proposals: Of the draws.
        draws: Group by group.
        known: Crystal of each group's template.
        space: Of the flow.
        potential: Of the rewards.
        config: What counts.
        n_relaxed: So many groups, the first, are judged with relaxed hydrogens.
    """
    crystals = [proposal.crystal for proposal in proposals]
    group_size = len(draws) // len(known)
    usable = encodable(crystals, space)
    values = torch.full((len(crystals), len(config.weights)), torch.nan, dtype=torch.float64)
    clash = torch.full((len(crystals),), torch.nan, dtype=torch.float64)
    sound = [k for k, proposal in enumerate(proposals) if usable[k] and not proposal.problem]
    parts: dict[Hydrogens, list[int]] = {config.hydrogens: [k for k in sound if k // group_size >= n_relaxed]}
    parts["relaxed"] = parts.get("relaxed", []) + [k for k in sound if k // group_size < n_relaxed]
    for hydrogens, places in parts.items():
        if places:
            good, owners = [crystals[k] for k in places], [k // group_size for k in places]
            wanted = None
            if config.density and config.densities == "known":
                wanted = density(AtomsBatch.from_crystals(known))[owners].tolist()
            values[places] = rewards_of(good, potential, tuple(config.weights), hydrogens, wanted, owners).values
            clash[places] = clash_percent(AtomsBatch.from_crystals(good)).double().cpu()
    groups = (len(known), group_size)
    volumes = torch.where(torch.tensor(usable), log_volumes(crystals), torch.nan)
    return Rollout(draws, crystals, known, usable, values.view(*groups, -1), clash, volumes.view(groups))


def log_volumes(crystals: Sequence[Crystal]) -> Tensor:
    """Logarithm of the volume of each cell in Å3. [n] float64"""
    return volume(torch.from_numpy(np.stack([crystal.lattice for crystal in crystals]))).log()


def n_relaxed_groups(config: RewardConfig, step: int, n_groups: int) -> int:
    """How many groups of an iteration, counted from 0, are judged with relaxed hydrogens."""
    if not config.relaxed_every or (step + 1) % config.relaxed_every:
        return 0
    return min(n_groups, max(1, round(config.relaxed_share * n_groups)))
