"""Replacement of flagged proposals by fresh samples, and the share of samples that pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

from packflow.errors import InputError
from packflow.flow.draws import Draw
from packflow.flow.validity import Limits, flags_of, kinds_of
from packflow.relax.clean import clean_crystals

if TYPE_CHECKING:
    from packflow.flow.sampler import Proposal

# samples of a proposal, at most, unless told otherwise
BUDGET = 5

SampleDraws = Callable[[Sequence[Draw]], "list[Proposal]"]


@dataclass(frozen=True)
class Checks:
    """What a proposal must pass, and how often it is sampled for that.

    Attributes:
        limits: beyond which it is flagged.
        budget: samples of a proposal, at most; with 1 proposals are flagged and none is replaced.
        clean: mend the geometry of each sample before it is judged, see `packflow.relax.clean`.
    """

    limits: Limits = field(default_factory=Limits)
    budget: int = 1
    clean: bool = False

    def __post_init__(self) -> None:
        """Refuse a budget without a sample."""
        if self.budget < 1:
            raise InputError(f"budget must be at least 1 sample of a proposal, got {self.budget}")


def accepted(sample: SampleDraws, draws: Sequence[Draw], checks: Checks) -> list[Proposal]:
    """Sample draws, then those that are flagged once more, all together, until all pass or the budget is spent.

    Each attempt has noise of its own, and what a draw becomes does not depend on what else is sampled with it.

    Args:
        sample: Samples draws as one batch, as `packflow.flow.sampler.sample_batch`.
        draws: As for it, their first attempts.
        checks: What is to be passed.

    Returns:
        Of each draw the first proposal that passes; if none does, the first that can be a crystal at all, else the first. It has the
        index of its draw, its attempt, its flag, and as `rejected` the flags of the other attempts.
    """
    attempts: list[list[Proposal]] = [[] for _ in draws]
    places = list(range(len(draws)))
    for attempt in range(checks.budget):
        sampled = sample([replace(draws[place], attempt=attempt) for place in places])
        found = judged(cleaned(sampled) if checks.clean else sampled, checks.limits)
        for place, proposal in zip(places, found, strict=True):
            attempts[place].append(replace(proposal, attempt=attempt))
        places = [place for place in places if attempts[place][-1].flag]
        if not places:
            break
    return [chosen(tries) for tries in attempts]


def cleaned(proposals: Sequence[Proposal]) -> list[Proposal]:
    """The proposals after a clean-up, which each tells of; one with a problem stays as it is."""
    crystals, report = clean_crystals([p.crystal for p in proposals if not p.problem])
    good = iter([p for p in proposals if not p.problem])
    mended = iter([replace(p, crystal=c, cleaning=what) for p, c, what in zip(good, crystals, report.each(), strict=True)])
    return [p if p.problem else next(mended) for p in proposals]


def judged(proposals: Sequence[Proposal], limits: Limits) -> list[Proposal]:
    """The proposals with their flags; one with a problem has that as its flag."""
    flags = iter(flags_of([p.crystal for p in proposals if not p.problem], limits))
    return [replace(p, flag=p.problem or next(flags)) for p in proposals]


def chosen(tries: Sequence[Proposal]) -> Proposal:
    """The one that is kept, knowing why the others are not."""
    kept = min(tries, key=lambda p: (bool(p.flag), bool(p.problem)))
    return replace(kept, rejected=tuple(p.flag for p in tries if p is not kept))


@dataclass(frozen=True)
class Tally:
    """What became of samples.

    n_proposals: proposals that were kept.
    n_sampled:   samples of them, those that were replaced too.
    n_flagged:   proposals that were kept with a flag.
    reasons:     samples by kind of reason; one may have several.
    n_cleaned:   proposals that were kept and that a clean-up changed.
    n_unclean:   proposals that were kept and were to be cleaned, but are not clean.
    moved:       Å, sum of the displacements of those that were changed.
    """

    n_proposals: int = 0
    n_sampled: int = 0
    n_flagged: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    n_cleaned: int = 0
    n_unclean: int = 0
    moved: float = 0.0

    @classmethod
    def of(cls, proposals: Iterable[Proposal]) -> Tally:
        """Count what `accepted` returned."""
        proposals = list(proposals)
        flags = [flag for p in proposals for flag in (p.flag, *p.rejected)]
        kinds = dict(Counter(kind for flag in flags for kind in kinds_of(flag)))
        cleanings = [p.cleaning for p in proposals if p.cleaning]
        changed = [c.displacement for c in cleanings if c.changed]
        n_flagged, n_unclean = sum(bool(p.flag) for p in proposals), sum(not c.finished for c in cleanings)
        return cls(len(proposals), len(flags), n_flagged, kinds, len(changed), n_unclean, sum(changed))

    def __add__(self, other: Tally) -> Tally:
        """Both together."""
        numbers = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self) if f.name != "reasons"}
        return Tally(**numbers, reasons=dict(Counter(self.reasons) + Counter(other.reasons)))

    @property
    def acceptance(self) -> float:
        """Percentage of the samples that pass; NaN of none."""
        return 100 * (self.n_proposals - self.n_flagged) / self.n_sampled if self.n_sampled else float("nan")

    def text(self, budget: int) -> str:
        """Lines for a user: the acceptance rate, reasons, and with a budget above 1 whether it sufficed."""
        if not self.n_sampled:
            return "nothing was sampled"
        lines = [f"acceptance {self.acceptance:.1f} %: {self.n_proposals - self.n_flagged} of {self.n_sampled} samples are valid"]
        if self.reasons:
            lines.append("flagged for " + ", ".join(f"{kind} {n}" for kind, n in Counter(self.reasons).most_common()))
        if self.n_cleaned or self.n_unclean:
            moved = f", which moved their atoms by {self.moved / self.n_cleaned:.2f} Å (rms) in the mean" if self.n_cleaned else ""
            lines.append(f"cleaned {self.n_cleaned} of {self.n_proposals} proposals{moved}; {self.n_unclean} are not clean")
        if budget > 1:
            stayed = f"{self.n_flagged} of {self.n_proposals} proposals" if self.n_flagged else "no proposal"
            lines.append(f"{stayed} stayed flagged within the budget of {budget} samples each")
        return "\n".join(lines)
