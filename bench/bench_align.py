"""An iteration of physics alignment of the installed model, against the released scheme in plain PyTorch (plain_alignment.py).

Every stage is compared first, each from the same input on both sides, then whole iterations are timed in turn. A second kind of JSON line
says where the time goes.
"""

from __future__ import annotations

import copy
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import plain_alignment as plain
import torch
from harness import compare, smallest
from lightning_fabric import Fabric
from torch import Tensor

from packflow.data.batching import generator_of
from packflow.flow.path import PathConfig
from packflow.flow.sampler import SampleConfig
from packflow.flow.single_time import freeze
from packflow.flow.time_grid import LINEAR
from packflow.model.pretrained import load
from packflow.potential import potential_of
from packflow.structure import Crystal, Molecule, Template
from packflow.train.align_config import AlignConfig
from packflow.train.align_report import PARTS
from packflow.train.align_step import AlignRun, Clock, align_step, learn, proposal_lessons
from packflow.train.checkpoint import RunState
from packflow.train.config import OptimConfig
from packflow.train.grpo_math import advantages_of
from packflow.train.optim import optimizers_of, set_learning_rates
from packflow.train.rollout import STREAMS, Rollout, draws_of_iteration, judged, proposals_of
from packflow.train.templates import TemplatePool

# SMILES and copies in the cell: 16 to 136 heavy atoms, mean 53
TEMPLATES = (
    ("NC(N)=O", 4),
    ("OC(=O)CCC(=O)O", 2),
    ("c1ccc2ccccc2c1", 2),
    ("CC(=O)Nc1ccc(O)cc1", 4),
    ("CC(=O)Oc1ccccc1C(=O)O", 4),
    ("Cn1c(=O)c2c(ncn2C)n(C)c1=O", 4),
    ("Cc1cc(C#N)c(s1)Nc1ccccc1[N+](=O)[O-]", 4),
    ("CC(C)Cc1ccc(cc1)C(C)C(=O)O", 4),
    ("NC(=O)c1cnccn1", 4),
    ("NC(=O)N1c2ccccc2C=Cc2ccccc21", 4),
    ("Nc1ccc(cc1)S(N)(=O)=O", 8),
    ("OC(=O)c1ccccc1O", 4),
    ("O=C(O)c1ccncc1", 4),
    ("COc1ccc2cc(ccc2c1)C(C)C(=O)O", 2),
    ("Cc1onc(c1)NS(=O)(=O)c1ccc(N)cc1", 8),
    ("NS(=O)(=O)c1cc2c(cc1Cl)NCNS2(=O)=O", 4),
)
PEER = "released scheme"
# of one weight's change by the learning rate: the model is no longer its reference
DRIFT = 1e-2


@dataclass(frozen=True)
class Templates:
    """A dataset of which nothing but the templates is looked at."""

    crystals: Sequence[Crystal]

    @property
    def split(self) -> np.ndarray:
        """All are for training."""
        return np.full(len(self.crystals), "train")

    @property
    def molecule_index(self) -> np.ndarray:
        """All differ."""
        return np.arange(len(self.crystals))

    @property
    def n_atoms(self) -> np.ndarray:
        """Heavy atoms in the cell."""
        return np.array([crystal.template.n_atoms for crystal in self.crystals])

    def __len__(self) -> int:
        """Number of templates."""
        return len(self.crystals)

    def __getitem__(self, index: int) -> Crystal:
        """A template with coordinates that mean nothing."""
        return self.crystals[index]


class Case:
    """Both sides of one iteration, from the same weights each time."""

    def __init__(self, config: AlignConfig, templates: Sequence[tuple[str, int]]) -> None:
        """Load the model, and move it a little away from its reference, as it is within a run."""
        self.config, self.fabric, self.potential = config, Fabric(accelerator="cpu", devices=1), potential_of(config.rewards.potential)
        made = [Template(Molecule.from_smiles(smiles), n) for smiles, n in templates]
        known = [Crystal(t, np.zeros((t.n_atoms, 3)), np.array([9.0, 9.0, 9.0, 90.0, 90.0, 90.0])) for t in made]
        self.pool = TemplatePool.of(Templates(known), "train", len(known), config.max_template_atoms)
        self.reference = load(config.init).eval().requires_grad_(False)
        self.start = copy.deepcopy(self.reference).requires_grad_(True)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for p in self.start.parameters():
                p += DRIFT * p.abs().mean() * torch.randn(p.shape, generator=generator)
        drawn = draws_of_iteration(self.pool, config.seed, 0, config.n_templates, config.group_size)
        self.draws, self.known = drawn
        self.seconds: dict[str, list[dict[str, float]]] = {"ours": [], "theirs": []}

    def run(self) -> AlignRun:
        """Before the iteration."""
        model = copy.deepcopy(self.start)
        state = RunState(model, copy.deepcopy(model), optimizers_of(model, self.config.optim), reference=self.reference)
        return AlignRun(self.config, state, self.fabric, self.pool, self.potential)

    def ours(self) -> Tensor:
        """One iteration; the weights after it."""
        run = self.run()
        values = align_step(run).values
        self.seconds["ours"].append({part: values[f"seconds_{part}"] for part in PARTS})
        return flat(run)

    def theirs(self) -> Tensor:
        """The same by the released scheme."""
        run, k = self.run(), self.config.group_size
        rate(run)
        clock = Clock()
        groups = [self.draws[first : first + k] for first in range(0, len(self.draws), k)]
        crystals = [c for group in groups for c in plain.rolled_out(run.state.model, group, self.config.sample.n_steps)]
        clock.lap("rollout")
        rewards = plain.rewarded(crystals, self.potential).view(-1, k, 2)
        worth = plain.advantages(rewards, self.config.rewards.energy_share, self.config.advantage_clip).float().flatten()
        clock.lap("reward")
        places = plain.places_learned(rewards)
        samples = self.samples(run, crystals, places)
        clock.lap("reference")
        plain.learned(run.state.model, run.reference, samples, worth[places], run.state.optimizers[0], self.config, clock)
        self.seconds["theirs"].append(clock.seconds)
        return flat(run)

    def samples(self, run: AlignRun, crystals: Sequence[Crystal], places: Sequence[int]) -> list[plain.Sample]:
        """Times and noises of the proposals at some places, one by one, from the same streams of random numbers as ours."""
        model, path = run.state.model, PathConfig(run.state.model.config.center_noise, self.config.assign_copies)
        samples = []
        for k in places:
            generator = generator_of(self.config.seed, 0, len(STREAMS) + self.draws[k].index)
            frozen = freeze([crystals[k]], [generator], model.space, path, self.config.time)
            samples.append(plain.Sample.of(model, crystals[k].template, frozen.path))
        return samples

    def check_stages(self) -> None:
        """Every stage of the other side agrees with ours on our input of it."""
        run, config, k = self.run(), self.config, self.config.group_size
        model = run.state.model
        rate(run)
        proposals = proposals_of(model, self.draws, config.sample, config.max_atoms)
        for first in range(0, len(self.draws), k):
            check_crystals(proposals[first : first + k], plain.rolled_out(model, self.draws[first : first + k], config.sample.n_steps))
        rollout = judged(proposals, self.draws, self.known, model.config.space, self.potential, config.rewards)
        rewards = plain.rewarded(rollout.crystals, self.potential).view(-1, k, 2)
        torch.testing.assert_close(rewards, rollout.values, rtol=1e-6, atol=1e-6, equal_nan=True)
        weights = tuple(config.rewards.weights.values())
        ours = advantages_of(rewards, weights, config.advantage_clip, config.advantage_epsilon)
        worth = plain.advantages(rewards, config.rewards.energy_share, config.advantage_clip)
        torch.testing.assert_close(worth[~ours.skipped], ours.values[~ours.skipped])
        self.check_learning(run, rollout, worth.flatten())

    def check_learning(self, run: AlignRun, rollout: Rollout, worth: Tensor) -> None:
        """Losses, ratios, divergences, gradients and the weights after the updates."""
        other, places = self.run(), plain.places_learned(rollout.values)
        rate(other)
        lessons = proposal_lessons(run, rollout, places, worth)
        epochs, norms = learn(run, lessons, [], len(places))
        samples = self.samples(other, rollout.crystals, places)
        optimizer, worth = other.state.optimizers[0], worth[places].float()
        theirs = plain.learned(other.state.model, self.reference, samples, worth, optimizer, self.config, Clock())
        close = {"rtol": 1e-4, "atol": 1e-5}  # of float32 sums over all atoms, in another order
        torch.testing.assert_close(torch.cat([lesson.reference for lesson in lessons]), theirs.reference, **close)
        for field, values in (("loss", theirs.losses), ("ratio", theirs.ratios), ("divergence", theirs.away)):
            ours = torch.stack([torch.cat([getattr(result, field) for result in epoch]) for epoch in epochs])
            torch.testing.assert_close(ours, values, **close)
        torch.testing.assert_close(torch.tensor(norms), torch.tensor(theirs.norms), rtol=1e-3, atol=0.0)
        self.check_weights(flat(run), flat(other), 0.01)

    def check_weights(self, ours: Tensor, theirs: Tensor, part: float) -> None:
        """Both sides moved the weights alike; AdamW moves a weight by the sign of its gradient, however small that is."""
        start = flat(self.run())
        moved, apart = (ours - start).norm(), (ours - theirs).norm()
        assert moved > 0
        assert apart < part * moved, f"weights differ by {apart / moved:.1e} of what they moved"

    def table(self, name: str) -> None:
        """Medians of each part's seconds and their shares: JSON lines, and a table for people."""
        columns = {side: medians(laps) for side, laps in self.seconds.items()}
        total = {side: sum(parts.values()) for side, parts in columns.items()}
        for part in PARTS:
            ours, theirs = columns["ours"][part], columns["theirs"][part]
            shares = {"ours_share": ours / total["ours"], "peer_share": theirs / total["theirs"]}
            row = {"op": "align", "case": name, "part": part, "peer": PEER, "ours_ms": 1e3 * ours, "peer_ms": 1e3 * theirs}
            print(json.dumps(row | shares | {"ratio": theirs / ours, "threads": torch.get_num_threads()}), flush=True)
            before, after = (
                f"{seconds:>8.2f} s {share:>6.1%}" for seconds, share in zip((theirs, ours), (*shares.values(),)[::-1], strict=True)
            )
            print(f"  {part:<10} {before}  ->  {after}   ratio {theirs / ours:>6.1f}", file=sys.stderr)


def rate(run: AlignRun) -> None:
    """The learning rate of the first iteration."""
    set_learning_rates(run.state.optimizers, 0, run.config.n_steps, run.config.optim)


def flat(run: AlignRun) -> Tensor:
    """All weights. [n_parameters]"""
    return torch.cat([p.detach().flatten() for p in run.state.model.parameters()])


def medians(laps: Sequence[dict[str, float]]) -> dict[str, float]:
    """Of each part, without the first, which was the check, and the second, which warmed up."""
    found = defaultdict(list)
    for seconds in laps[2:]:
        for part, value in seconds.items():
            found[part].append(value)
    return {part: statistics.median(values) for part, values in found.items()}


def check_crystals(proposals: Sequence, crystals: Sequence[Crystal]) -> None:
    """Same positions and lattices; rounding grows along a trajectory."""
    for proposal, crystal in zip(proposals, crystals, strict=True):
        for one, other in ((proposal.crystal.positions, crystal.positions), (proposal.crystal.lattice, crystal.lattice)):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-2)


def main() -> None:
    torch.set_num_threads(1)
    quick = smallest()
    optim = OptimConfig(learning_rate=3e-5, weight_decay=0.0)
    config = AlignConfig(init="open-2m", sample=SampleConfig(50, "euler", LINEAR, LINEAR), assign_copies=True, optim=optim)
    templates = TEMPLATES
    if quick:
        templates, few = TEMPLATES[:2], SampleConfig(6, "euler", LINEAR, LINEAR)
        config = replace(config, sample=few, n_epochs=2, n_templates=2, group_size=2)
    case, n = Case(config, templates), config.n_templates * config.group_size
    name = f"{config.n_templates} x {config.group_size}, {config.sample.n_steps} steps, {config.n_epochs} epochs, {config.init}"
    # stage by stage with few proposals: the whole of an iteration is compared below
    Case(replace(config, n_epochs=2, group_size=min(config.group_size, 3)), templates).check_stages()
    # an iteration of the other side takes most of a minute: few rounds
    compare("align", name, PEER, case.ours, case.theirs, lambda x, y: case.check_weights(x, y, 0.2), ("proposals", n), quick=True)
    case.table(name)


if __name__ == "__main__":
    main()
