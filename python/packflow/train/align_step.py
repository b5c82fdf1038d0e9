"""One iteration of alignment: rollouts, rewards, advantages, and epochs of the clipped objective (paper, algorithm 1)."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from lightning_fabric import Fabric
from torch import Tensor

from packflow.data.batching import generator_of
from packflow.errors import InputError
from packflow.flow.path import PathConfig
from packflow.flow.single_time import FrozenDraws, freeze
from packflow.model import PackFlow
from packflow.potential.interface import Potential
from packflow.structure import Crystal
from packflow.train.align_config import AlignConfig
from packflow.train.align_report import Report, report_of
from packflow.train.checkpoint import RunState
from packflow.train.grpo_math import Objective, advantages_of, objective, volume_held
from packflow.train.optim import set_learning_rates, update_average
from packflow.train.parallel import add_up, add_up_gradients
from packflow.train.rollout import STREAMS, Rollout, draws_of_iteration, judged, log_volumes, n_relaxed_groups, proposals_of
from packflow.train.templates import TemplatePool


@dataclass(frozen=True)
class AlignRun:
    """What an iteration needs.

    config:    of the run.
    state:     weights, moments, progress and the reference.
    fabric:    device, precision, backward, and the other processes.
    pool:      templates.
    potential: of the rewards.
    """

    config: AlignConfig
    state: RunState
    fabric: Fabric
    pool: TemplatePool
    potential: Potential

    @property
    def reference(self) -> PackFlow:
        """The frozen weights that the divergence is measured from."""
        assert self.state.reference is not None
        return self.state.reference


@dataclass(frozen=True)
class Lesson:
    """Proposals to learn from, few enough for one call of the network.

    draws:      their times and noises.
    advantages: [n] float32.
    reference:  [n], surrogate losses of the reference.
    """

    draws: FrozenDraws
    advantages: Tensor
    reference: Tensor


@dataclass
class Clock:
    """Seconds of the parts of an iteration."""

    seconds: dict[str, float] = field(default_factory=dict)
    _last: float = field(default_factory=time.perf_counter)

    def lap(self, part: str) -> None:
        """Count the time since the last call, or the beginning, as this part's."""
        now = time.perf_counter()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._last
        self._last = now


def align_step(run: AlignRun) -> Report:
    """One iteration; each process samples and learns from its own templates, and the weights are the same in all.

    Groups with fewer than two valid proposals are left out. Without any group to learn from the weights stay as they are.

    Raises:
        InputError: the objective or its gradient is not a number; the weights are left as they were before that update.
    """
    config, state, clock = run.config, run.state, Clock()
    rate = set_learning_rates(state.optimizers, state.progress.step, config.n_steps, config.optim)
    draws, known = own_share(run, *draws_of_iteration(run.pool, config.seed, state.progress.step, config.n_templates, config.group_size))
    proposals = proposals_of(state.model.eval(), draws, config.sample, config.max_atoms)
    clock.lap("rollout")
    n_relaxed = n_relaxed_groups(config.rewards, state.progress.step, len(known))
    rollout = judged(proposals, draws, known, state.model.config.space, run.potential, config.rewards, n_relaxed)
    clock.lap("reward")
    weights = tuple(config.rewards.weights.values())
    advantages = advantages_of(rollout.values, weights, config.advantage_clip, config.advantage_epsilon, config.rewards.ranks)
    learned = [k for k, fine in enumerate(rollout.usable) if fine and not advantages.skipped[k // config.group_size]]
    values, gain = advantages.values, config.rewards.volume_gain
    if gain:
        values = volume_held(values, rollout.volume, log_volumes(known), gain)
    lessons, anchors = proposal_lessons(run, rollout, learned, values.flatten()), known_lessons(run, rollout)
    clock.lap("reference")
    n_learned = int(add_up(run.fabric, torch.tensor([float(len(learned))], device=run.fabric.device)).item())
    epochs, norms = learn(run, lessons, anchors, n_learned) if n_learned else ([], [])
    clock.lap("update")
    state.progress.step += 1
    state.progress.seconds += sum(clock.seconds.values())
    return report_of(run.fabric, rollout, advantages, epochs, norms, rate, clock.seconds)


def own_share(run: AlignRun, draws: list, known: list) -> tuple[list, list]:
    """The groups of this process: every so many of the iteration's."""
    size, world, rank = run.config.group_size, run.fabric.world_size, run.fabric.global_rank
    return [draw for k, draw in enumerate(draws) if k // size % world == rank], known[rank::world]


def proposal_lessons(run: AlignRun, rollout: Rollout, learned: Sequence[int], advantages: Tensor) -> list[Lesson]:
    """What is learned from proposals.

    Args:
        run: Gives the seed, the flow space and the reference.
        rollout: All proposals.
        learned: Places of those to learn from.
        advantages: Of all. [n_proposals]
    """
    crystals = [rollout.crystals[k] for k in learned]
    return lessons_of(run, crystals, [rollout.draws[k].index for k in learned], advantages[list(learned)])


def known_lessons(run: AlignRun, rollout: Rollout) -> list[Lesson]:
    """What is learned from the known crystals of the templates, all with the same advantage; nothing where that is 0."""
    config, size = run.config, run.config.group_size
    if not config.anchor:
        return []
    numbers = [config.n_templates * size + draw.index // size for draw in rollout.draws[::size]]
    return lessons_of(run, rollout.known, numbers, torch.full((len(rollout.known),), config.anchor))


def lessons_of(run: AlignRun, crystals: Sequence[Crystal], numbers: Sequence[int], advantages: Tensor) -> list[Lesson]:
    """Draw times and noises for crystals, and ask the reference of them.

    Args:
        run: Gives the seed, the flow space and the reference.
        crystals: To learn from.
        numbers: Of each, which determine its times and noises in this iteration.
        advantages: Of each. [n]
    """
    config, device, space = run.config, run.fabric.device, run.state.model.config.space
    path = PathConfig(run.state.model.config.center_noise, config.assign_copies)
    lessons = []
    for places in parts([(k, config.n_draws * crystal.template.n_atoms) for k, crystal in enumerate(crystals)], config.max_atoms):
        generators = [generator_of(config.seed, run.state.progress.step, len(STREAMS) + numbers[k]) for k in places]
        frozen = freeze([crystals[k] for k in places], generators, space, path, config.time, config.n_draws, device)
        with torch.no_grad():  # with beta 0 too: the log tells how far the weights are
            reference = surrogate(run, run.reference, frozen)
        lessons.append(Lesson(frozen, advantages[places].float().to(device), reference))
    return lessons


def parts(sizes: Sequence[tuple[int, int]], budget: int) -> list[list[int]]:
    """Places in their order, cut where their sizes would add up to more than the budget; a larger one is alone.

    Args:
        sizes: Place and size of each.
        budget: Of a part.
    """
    found: list[list[int]] = []
    room = 0
    for place, size in sizes:
        if not found or size > room:
            found.append([])
            room = budget
        found[-1].append(place)
        room -= size
    return found


def surrogate(run: AlignRun, model: PackFlow, draws: FrozenDraws) -> Tensor:
    """Surrogate losses of proposals (paper, eq. 16). [n]"""
    with run.fabric.autocast():
        return run.config.surrogate_scale * draws.losses(model, model.config.space, run.config.loss)


def learn(run: AlignRun, lessons: Sequence[Lesson], anchors: Sequence[Lesson], n_learned: int) -> tuple[list[list[Objective]], list[float]]:
    """Epochs of updates from the same proposals (paper, algorithm 1, part C).

    The first epoch's losses are those of the weights that sampled, before any of its gradients are applied.

    Args:
        run: Of this process.
        lessons: From proposals of this process; may be none.
        anchors: From its known crystals.
        n_learned: Proposals of all processes.

    Returns:
        What was minimised in each epoch for the proposals, lesson by lesson, without gradients, and the norm of each epoch's gradient
        before clipping.
    """
    config, state = run.config, run.state
    parameters = [p for p in state.model.parameters() if p.requires_grad]
    old: list[Tensor] = []
    epochs, norms = [], []
    for epoch in range(config.n_epochs):
        found = []
        for k, lesson in enumerate([*lessons, *anchors]):
            new = surrogate(run, state.model, lesson.draws)
            old += [new.detach()] if len(old) == k else []
            limits = (config.ratio_clip, config.beta, config.log_ratio_limit)
            result = objective(new, old[k], lesson.reference, lesson.advantages, *limits)
            run.fabric.backward(result.loss.sum() / n_learned)
            found.append(Objective(*(x.detach() for x in (result.loss, result.ratio, result.divergence, result.clipped))))
        norms.append(update(run, parameters, state.progress.step * config.n_epochs + epoch + 1))
        epochs.append(found[: len(lessons)])
    return epochs, norms


def update(run: AlignRun, parameters: Sequence[torch.nn.Parameter], number: int) -> float:
    """The run's update of this number, from 1, of the weights and their average; returns the gradient's norm before clipping."""
    state, optim = run.state, run.config.optim
    for parameter in parameters:  # a process without a group has none
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    add_up_gradients(run.fabric, parameters)
    norm = torch.nn.utils.clip_grad_norm_(parameters, optim.clip_norm).item()
    if not math.isfinite(norm):
        step = state.progress.step + 1
        raise InputError(f"the gradient became {norm} in iteration {step}: resume from the last checkpoint with a lower learning rate")
    for optimizer in state.optimizers:
        optimizer.step()
        optimizer.zero_grad()
    update_average(state.ema, state.model, number, optim.ema_decay)
    return norm
