"""Proposals of the baselines, for draws as those of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from packflow.baseline.engine import Baseline
from packflow.baseline.generated import no_crystal
from packflow.errors import InputError
from packflow.flow.draws import Draw

if TYPE_CHECKING:
    from packflow.flow.sampler import Proposal


def baseline_proposals(baseline: Baseline, draws: Sequence[Draw]) -> list[Proposal]:
    """Sample draws of any templates; a molecule that cannot be packed at all gives proposals with that as their problem.

    Args:
        baseline: What samples them.
        draws: As of `packflow.flow.sampler.sample_batch`.

    Returns:
        One proposal for each draw, in their order.
    """
    from packflow.flow.sampler import Proposal

    problems = [problem_of(baseline, draw) for draw in draws]
    good = [draw for draw, problem in zip(draws, problems, strict=True) if not problem]
    found = iter(baseline.packings([(draw.template, draw.index, draw.seed, draw.attempt) for draw in good]))
    proposals = []
    for draw, problem in zip(draws, problems, strict=True):
        if problem:
            proposals.append(Proposal(no_crystal(draw.template), draw.index, draw.seed, problem))
        else:
            packing = next(found)
            proposals.append(Proposal(packing.crystal, draw.index, draw.seed, packing.problem))
    return proposals


def problem_of(baseline: Baseline, draw: Draw) -> str:
    """Why a baseline can do nothing with the template of a draw; empty if it can."""
    try:
        baseline.check(draw.template, draw.seed)
    except InputError as error:
        return f"no packing: {error}"
    return ""
