"""From sampled proposals to relaxed crystals: hydrogens, then hydrogens alone relaxed, then everything; who fails says why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any

from packflow.potential.interface import Potential
from packflow.proposal_table import crystal_of
from packflow.relax.fire import FireConfig
from packflow.relax.hydrogens import add_hydrogens
from packflow.relax.lbfgs import LbfgsConfig
from packflow.relax.relax import RelaxConfig, Relaxed, relax
from packflow.structure.full import FullStructure

# settings that change how fast, not what comes out
ONLY_SPEED = ("max_atoms", "compact_share")
OPTIMIZERS: dict[str, type[LbfgsConfig] | type[FireConfig]] = {"lbfgs": LbfgsConfig, "fire": FireConfig}

Row = dict[str, Any]


@dataclass(frozen=True)
class Relaxation:
    """How proposals are relaxed.

    full:           all atoms and the cell, the last stage.
    hydrogens:      the stage before, hydrogens alone (paper, section 4.5.2).
    only_hydrogens: end after that stage.
    flagged:        relax proposals that are flagged as implausible too.
    """

    full: RelaxConfig = field(default_factory=RelaxConfig.for_ranking)
    hydrogens: RelaxConfig = field(default_factory=RelaxConfig.of_hydrogens)
    only_hydrogens: bool = False
    flagged: bool = False

    def described(self) -> dict[str, Any]:
        """What results depend on, as a manifest states it."""
        stages = {"hydrogens": self.hydrogens} | ({} if self.only_hydrogens else {"full": self.full})
        about: dict[str, Any] = {"ends_with": list(stages)[-1], "flagged": self.flagged}
        for name, config in stages.items():
            settings = {key: value for key, value in asdict(config).items() if key not in ONLY_SPEED}
            kind = next(kind for kind, of_kind in OPTIMIZERS.items() if isinstance(config.optimizer, of_kind))
            settings["optimizer"] = {"name": kind, **settings["optimizer"]}
            about[name] = settings
        return about


def relaxation_of(about: dict[str, Any]) -> Relaxation:
    """The relaxation that `Relaxation.described` describes, as fast as by default."""
    stages: dict[str, RelaxConfig] = {}
    for name in ("hydrogens", "full"):
        if name in about:
            settings: dict[str, Any] = dict(about[name])
            optimizer = dict(settings.pop("optimizer"))
            settings["optimizer"] = OPTIMIZERS[optimizer.pop("name")](**optimizer)
            values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
            stages[name] = RelaxConfig(**values)
    return Relaxation(**stages, only_hydrogens=about["ends_with"] == "hydrogens", flagged=about["flagged"])


def parameters_of(potential: Potential) -> dict[str, Any]:
    """What energies depend on beside the name of the potential, as a manifest states it: fields that are numbers or texts."""
    if not is_dataclass(potential):
        return {}
    values = {f.name: getattr(potential, f.name) for f in fields(potential) if f.name != "name"}
    plain = {key: asdict(value) if is_dataclass(value) and not isinstance(value, type) else value for key, value in values.items()}
    return {key: value for key, value in plain.items() if isinstance(value, bool | int | float | str | dict)}


@dataclass(frozen=True)
class Outcome:
    """What became of a proposal.

    problem:           why it was not relaxed, or why that failed; empty if it did not. Begins with "no crystal", "flagged", "hydrogens",
                       "hydrogens relaxed" or "relaxed", and a colon.
    relaxed:           where it ended; None if it was not relaxed.
    start:             with its hydrogens, before anything moved; None if it was not relaxed.
    n_steps_hydrogens: steps of the first stage.
    """

    problem: str
    relaxed: Relaxed | None = None
    start: FullStructure | None = None
    n_steps_hydrogens: int = 0


def relax_proposals(potential: Potential, rows: Sequence[Row], settings: Relaxation, device: str = "cpu") -> list[Outcome]:
    """Relax proposals, those that can be.

    Args:
        potential: Energies, forces and stress.
        rows: Of `packflow.proposal_table`.
        settings: How.
        device: Where.

    Returns:
        One for each row, in their order.
    """
    outcomes = [Outcome(reason_to_skip(row, settings.flagged)) for row in rows]
    crystals = {k: crystal_of(row) for k, row in enumerate(rows) if not outcomes[k].problem}
    structures: dict[int, FullStructure] = {}
    for k, found in zip(crystals, add_hydrogens(list(crystals.values())), strict=True):
        if found.structure is None:
            outcomes[k] = Outcome(f"hydrogens: {found.problem}")
        else:
            structures[k] = found.structure
    for k, relaxed in relax_all(potential, structures, settings.hydrogens, device):
        outcomes[k] = Outcome(prefixed("hydrogens relaxed", relaxed.problem), relaxed, structures[k], relaxed.n_steps)
    if settings.only_hydrogens:
        return outcomes
    going = {k: o.relaxed.structure for k, o in enumerate(outcomes) if o.relaxed is not None and not o.problem}
    for k, relaxed in relax_all(potential, going, settings.full, device):
        outcomes[k] = replace(outcomes[k], problem=prefixed("relaxed", relaxed.problem), relaxed=relaxed)
    return outcomes


def relax_all(potential: Potential, structures: dict[int, FullStructure], config: RelaxConfig, device: str) -> list[tuple[int, Relaxed]]:
    """Relax structures; results with the keys of the structures."""
    keys = list(structures)
    return [(keys[relaxed.index], relaxed) for relaxed in relax(potential, structures.values(), config, device)]


def reason_to_skip(row: Row, flagged: bool) -> str:
    """Why a proposal is not relaxed, empty if it is."""
    if row["problem"]:
        return f"no crystal: {row['problem']}"
    return f"flagged: {row['flag']}" if row["flag"] and not flagged else ""


def prefixed(what: str, problem: str) -> str:
    """A problem with the stage that it is of."""
    return f"{what}: {problem}" if problem else ""


def kind_of(problem: str) -> str:
    """The beginning of a problem: which stage a proposal did not pass."""
    return problem.partition(":")[0]
