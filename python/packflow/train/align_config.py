"""Everything that decides an alignment run, as one tree of frozen dataclasses (paper, Table 4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from packflow.errors import InputError
from packflow.flow.loss import LossConfig, TimeConfig
from packflow.flow.sampler import SampleConfig
from packflow.flow.single_time import SHARED_TIME
from packflow.train.config import OptimConfig, Precision
from packflow.train.rewards import Channel
from packflow.train.scores import Hydrogens

EXTRA: tuple[Channel, ...] = ("clash", "bonds", "density", "duplicates")
Densities = Literal["known", "usual"]


@dataclass(frozen=True)
class RewardConfig:
    """What a proposal is worth. The channels are standardised within a group and then mixed, see `grpo_math.advantages_of`.

    Attributes:
        potential: gives energies and forces, a name of `packflow.potential.potential_of`.
        hydrogens: how they enter, see `rewards.rewards_of`; the paper leaves them out ("none").
        energy_share: lambda: 1 looks at energies alone, 0 at forces alone.
        clash: weight of the percentage of atoms in clash; energy and force share what the extra channels leave of 1.
        bonds: weight of the percentage of valid bonds.
        density: weight of the error of the density.
        densities: against which: "known", of a known crystal of the template, or "usual", of molecules of its atoms.
        duplicates: weight of how crowded a proposal is among those of its group, see `packflow.train.crowding`.
        ranks: compare ranks within a group instead of rewards, see `grpo_math.advantages_of` (paper: no).
        volume_gain: how strongly cells are held at the volumes of known crystals, see `grpo_math.volume_held` (paper: not, 0).
        relaxed_every: in every so many iterations some groups are judged with relaxed hydrogens instead; 0 for never.
        relaxed_share: how many of the groups, at least one.
    """

    potential: str = "mmff"
    hydrogens: Hydrogens = "riding"
    energy_share: float = 0.5
    clash: float = 0.0
    bonds: float = 0.0
    density: float = 0.0
    densities: Densities = "known"
    duplicates: float = 0.0
    ranks: bool = False
    volume_gain: float = 0.0
    relaxed_every: int = 0
    relaxed_share: float = 0.25

    def __post_init__(self) -> None:
        """Refuse shares and weights without a meaning."""
        if self.hydrogens not in get_args(Hydrogens):
            raise InputError(f"rewards.hydrogens must be one of {', '.join(get_args(Hydrogens))}, got {self.hydrogens!r}")
        if self.densities not in get_args(Densities):
            raise InputError(f"rewards.densities must be one of {', '.join(get_args(Densities))}, got {self.densities!r}")
        for name in ("relaxed_every", "volume_gain"):
            if not getattr(self, name) >= 0:
                raise InputError(f"rewards.{name} must be 0 or more, got {getattr(self, name)}")
        for name in ("energy_share", "relaxed_share", *EXTRA):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"rewards.{name} must be from 0 to 1, got {getattr(self, name)}")
        if sum(self.extra.values()) > 1:
            given = ", ".join(f"{name} {weight}" for name, weight in self.extra.items())
            raise InputError(f"the weights of rewards must be at most 1 together, got {given}")

    @property
    def extra(self) -> dict[Channel, float]:
        """Channels beside energy and force that have a weight."""
        return {name: getattr(self, name) for name in EXTRA if getattr(self, name)}

    @property
    def weights(self) -> dict[Channel, float]:
        """Weight of each channel, energy and force first; they add up to 1."""
        rest = 1 - sum(self.extra.values())
        return {"energy": rest * self.energy_share, "force": rest * (1 - self.energy_share), **self.extra}


@dataclass(frozen=True)
class AlignValidationConfig:
    """The fixed templates and noises that the averaged weights are judged by, of the dataset's validation split.

    Attributes:
        every: iterations between two validations; 0 for none.
        n_templates: at most so many.
        n_samples: proposals of each.
    """

    every: int = 20
    n_templates: int = 32
    n_samples: int = 4

    def __post_init__(self) -> None:
        """Refuse validation without proposals."""
        if self.every < 0:
            raise InputError(f"validation.every must be 0 or more, got {self.every}")
        for name in ("n_templates", "n_samples"):
            if getattr(self, name) < 1:
                raise InputError(f"validation.{name} must be at least 1, got {getattr(self, name)}")


@dataclass(frozen=True)
class AlignConfig:
    """An alignment run (paper, algorithm 1). The defaults of what the paper states are the paper's.

    Attributes:
        recipe: name of the recipe that it started from.
        init: weights to begin with, by name or path as for `packflow.load`.
        reference: weights that the divergence is measured from, of the same network; those of `init` if not given.
        n_templates: groups in an iteration, B, those of all processes together.
        group_size: proposals in a group, K.
        max_templates: at most so many templates of the dataset's training split are used.
        max_template_atoms: templates with more heavy atoms are left out.
        sample: how proposals are sampled.
        rewards: what they are worth.
        advantage_clip: largest advantage, c.
        advantage_epsilon: added to standard deviations.
        n_epochs: updates from the proposals of an iteration, M.
        ratio_clip: how far the importance ratio may leave 1, epsilon.
        log_ratio_limit: how far its logarithm is followed at all, d.
        beta: weight of the divergence from the reference.
        anchor: advantage of a known crystal of each template, which is learned from like a proposal (paper: none, 0).
        loss: the surrogate for minus the log probability of a proposal.
        surrogate_scale: factor on it. The paper adds up the components that `loss` averages: about 3.
        time: how its time is drawn.
        n_draws: times and noises of each proposal; the surrogate is the mean over them.
        assign_copies: see PathConfig; as in the training of `init`.
        freeze_refinements: leave the refinements as they are.
        optim: how the weights are changed; its steps are iterations.
        validation: how progress is judged.
        n_steps: iterations.
        save_every: iterations between checkpoints.
        max_atoms: heavy atoms sampled at once, and learned from at once; it sets the memory that is needed.
        seed: of templates, proposals, times and noises.
        precision: of the arithmetic of the updates.
        keep_last: checkpoints kept.
    """

    recipe: str = "custom"
    init: str = "open-2m"
    reference: str | None = None
    n_templates: int = 16
    group_size: int = 8
    max_templates: int = 8000
    max_template_atoms: int = 250
    sample: SampleConfig = field(default_factory=SampleConfig)
    rewards: RewardConfig = field(default_factory=RewardConfig)
    advantage_clip: float = 5.0
    advantage_epsilon: float = 1e-8
    n_epochs: int = 4
    ratio_clip: float = 0.2
    log_ratio_limit: float = 5.0
    beta: float = 1.0
    anchor: float = 0.0
    loss: LossConfig = field(default_factory=LossConfig)
    surrogate_scale: float = 1.0
    time: TimeConfig = SHARED_TIME
    n_draws: int = 1
    assign_copies: bool = False
    freeze_refinements: bool = False
    optim: OptimConfig = field(default_factory=lambda: OptimConfig(learning_rate=3e-7, weight_decay=0.0))
    validation: AlignValidationConfig = field(default_factory=AlignValidationConfig)
    n_steps: int = 1000
    save_every: int = 20
    max_atoms: int = 4096
    seed: int = 0
    precision: Precision = "32-true"
    keep_last: int = 2

    def __post_init__(self) -> None:
        """Refuse what cannot be learned from."""
        if self.group_size < 2:
            raise InputError(f"group_size must be at least 2, a proposal is judged beside others of its template, got {self.group_size}")
        counts = ("n_templates", "max_templates", "max_template_atoms", "n_epochs", "n_draws", "n_steps", "save_every", "max_atoms")
        for name in (*counts, "keep_last"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("advantage_clip", "advantage_epsilon", "ratio_clip", "log_ratio_limit", "surrogate_scale"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be above 0, got {getattr(self, name)}")
        for name in ("beta", "anchor", "seed"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} must be 0 or above, got {getattr(self, name)}")
