"""Everything that decides a training run, as one tree of frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from packflow.data.batching import BatchConfig
from packflow.errors import InputError
from packflow.flow.loss import LossConfig, TimeConfig
from packflow.flow.path import PathConfig
from packflow.model import ModelConfig
from packflow.model.packflow import OPTIONAL

Precision = Literal["32-true", "bf16-mixed"]


@dataclass(frozen=True)
class OptimConfig:
    """Optimizer, learning rate over the run, and the average of the weights.

    Attributes:
        name: "adamw" (paper), or "muon": Muon for the matrices of the transformer layers, AdamW for the rest.
        learning_rate: of AdamW.
        muon_learning_rate: of Muon, scaled to match AdamW's size of update.
        weight_decay: decoupled, of both.
        clip_norm: largest norm of the gradient, applied before the step.
        warmup_steps: linear rise from 0.
        final_share: share of the learning rate that a cosine over n_steps ends with; 1 = constant (paper).
        ema_decay: of the exponential average of the weights, at most step / (step + 20); 0 = no average (paper).
    """

    name: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 3e-5
    muon_learning_rate: float = 2e-3
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    warmup_steps: int = 0
    final_share: float = 1.0
    ema_decay: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values without a meaning."""
        if self.name not in ("adamw", "muon"):
            raise InputError(f"optim.name must be 'adamw' or 'muon', got {self.name!r}")
        for name in ("learning_rate", "muon_learning_rate", "clip_norm"):
            if not getattr(self, name) > 0:
                raise InputError(f"optim.{name} must be above 0, got {getattr(self, name)}")
        if not 0 <= self.ema_decay < 1:
            raise InputError(f"optim.ema_decay must be at least 0 and below 1, got {self.ema_decay}")
        if not 0 <= self.final_share <= 1:
            raise InputError(f"optim.final_share must be from 0 to 1, got {self.final_share}")


@dataclass(frozen=True)
class ValidationConfig:
    """The fixed crystals, times and noises that the averaged weights are judged by.

    Attributes:
        every: steps between two validations, each with a checkpoint.
        n_crystals: at most so many of the validation split.
        per_molecule: at most so many of each molecule.
    """

    every: int = 500
    n_crystals: int = 128
    per_molecule: int = 2

    def __post_init__(self) -> None:
        """Refuse validation without crystals."""
        for name in ("every", "n_crystals", "per_molecule"):
            if getattr(self, name) < 1:
                raise InputError(f"validation.{name} must be at least 1, got {getattr(self, name)}")


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Attributes:
        recipe: name of the recipe that it started from.
        model: the network, its flow space and its noise.
        fit_lattice: set the flow space's lattice_mean and lattice_std from the training crystals.
        assign_copies: see PathConfig.
        invert: replace crystals by their mirror image at random; the network is told no stereochemistry.
        time: how times are drawn.
        loss: what is minimised.
        optim: how.
        batch: how many crystals at a time.
        validation: how progress is judged.
        n_steps: length of the run.
        seed: of weights, batches, times and noises.
        precision: of the arithmetic.
        keep_last: checkpoints kept beside the best.
        accumulate: batches in a step of each process; their gradients are added up before the weights change.
        init: trained weights to begin with, by name or path as for `packflow.load`; random ones if not given.
        freeze: train the refinements alone, all else stays as in `init`.
    """

    recipe: str = "custom"
    model: ModelConfig = field(default_factory=ModelConfig)
    fit_lattice: bool = False
    assign_copies: bool = False
    invert: bool = False
    time: TimeConfig = field(default_factory=TimeConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    batch: BatchConfig = field(default_factory=BatchConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    n_steps: int = 100_000
    seed: int = 0
    precision: Precision = "32-true"
    keep_last: int = 2
    accumulate: int = field(default=1, metadata=OPTIONAL)
    init: str | None = field(default=None, metadata=OPTIONAL)
    freeze: bool = field(default=False, metadata=OPTIONAL)

    def __post_init__(self) -> None:
        """Refuse a run without steps, batches or checkpoints, and negative seeds."""
        for name in ("n_steps", "keep_last", "accumulate"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.seed < 0:
            raise InputError(f"seed must be 0 or above, got {self.seed}")
        if self.freeze and (self.init is None or self.model.n_refinements == 0):
            got = f"init {self.init} and model.n_refinements {self.model.n_refinements}"
            raise InputError(f"freeze needs init and refinements, all that it trains, got {got}")
        if self.fit_lattice and self.model.space.kind != "packed":
            raise InputError("fit_lattice needs model.space.kind 'packed': the paper's lattice is not standardised")

    @property
    def path(self) -> PathConfig:
        """How noise is chosen: centred as the model says, copies as the run says."""
        return PathConfig(self.model.center_noise, self.assign_copies)
