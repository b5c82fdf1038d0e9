"""Test molecules that a network has seen in training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from packflow.data.split import family
from packflow.evaluate.engines import EngineName
from packflow.evaluate.references import canonical
from packflow.model.pretrained import record_of
from packflow.model.training_record import TrainingRecord, hash_of

# molecules that a warning names
SHOWN = 3


@dataclass(frozen=True)
class Overlap:
    """What of a test set an engine has seen.

    known:    whether that can be told: the engine is a baseline, which sees nothing, or its weights have a complete record.
    seen:     canonical SMILES of test molecules it was trained on.
    kin:      of those of which it has seen a stereoisomer, tautomer or charge state but not the molecule itself.
    n_tested: molecules of the test set.
    """

    known: bool
    seen: tuple[str, ...]
    kin: tuple[str, ...]
    n_tested: int

    def warnings(self) -> list[str]:
        """Sentences that must be read before the numbers; none if the test set is new to the engine."""
        found = []
        if self.seen:
            found.append(
                f"TRAINED ON {len(self.seen)} of the {self.n_tested} test molecules ({listed(self.seen)}): its numbers are too good"
            )
        if self.kin:
            found.append(f"trained on stereoisomers, tautomers or charge states of {len(self.kin)} test molecules ({listed(self.kin)})")
        if not self.known:
            found.append("its weights have no complete record of what they were trained on: it may have seen test molecules")
        return found


def overlap_of(engine: EngineName, molecules: Sequence[str]) -> Overlap:
    """What of a test set an engine has seen.

    Args:
        engine: Which.
        molecules: Canonical SMILES of the test set.

    Raises:
        InputError: there are no such weights.
    """
    if engine.is_baseline:
        return Overlap(True, (), (), len(molecules))
    return overlap_with(record_of(engine.word), molecules)


def overlap_with(record: TrainingRecord | None, molecules: Sequence[str]) -> Overlap:
    """What of a test set is in a record; None if there is none."""
    if record is None:
        return Overlap(False, (), (), len(molecules))
    seen = tuple(smiles for smiles in molecules if hash_of(canonical(smiles)) in record.molecules)
    kin = tuple(smiles for smiles in molecules if smiles not in seen and hash_of(family(smiles)) in record.families)
    return Overlap(record.complete, seen, kin, len(molecules))


def listed(molecules: Sequence[str]) -> str:
    """The first few."""
    return ", ".join(molecules[:SHOWN]) + (f" and {len(molecules) - SHOWN} more" if len(molecules) > SHOWN else "")
