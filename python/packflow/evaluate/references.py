"""Which reference each prediction is compared with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, get_args

import torch
from rdkit import Chem
from torch import Tensor

from packflow.data.structures import StructureSet
from packflow.errors import InputError
from packflow.metrics.amd import amd_distance
from packflow.structure.molecule import heavy_atom_mol

Match = Literal["auto", "name", "molecule", "order"]
# of a list in an error message
SHOWN = 5


def find_references(predictions: StructureSet, references: StructureSet, match: Match = "auto") -> Tensor:
    """The row of the reference of each prediction.

    - `name`: equal names, or that of the reference equals what precedes "#" in that of the prediction.
    - `molecule`: equal canonical SMILES; of several such references, polymorphs say, each prediction's nearest by AMD.
    - `order`: the one in the same place; as many references as predictions.
    - `auto`: a single reference serves all; of several those by name if any prediction has one, else those by molecule.

    Args:
        predictions: Any structures. One that could not be read needs no reference.
        references: Any structures; those that could not be read are the reference of nothing.
        match: How.

    Returns:
        [n_predictions] int64; -1 for predictions without a reference, all of which have a problem.

    Raises:
        InputError: a prediction has no reference, names of references repeat, or the numbers differ where order matters.
    """
    if match not in get_args(Match):
        raise InputError(f"match must be one of {', '.join(get_args(Match))}, got {match!r}")
    candidates = _candidates(predictions, references, match)
    return _nearest(predictions, references, candidates)


@lru_cache(maxsize=4096)
def canonical(smiles: str) -> str:
    """Canonical SMILES of the heavy-atom graph; what is not a SMILES of one molecule stays as it is."""
    try:
        return str(Chem.MolToSmiles(heavy_atom_mol(smiles)))
    except InputError:
        return smiles


def _candidates(predictions: StructureSet, references: StructureSet, match: Match) -> list[list[int]]:
    """The references that each prediction can have, at least one unless it has a problem."""
    how, theirs, wanted = _keys(predictions, references, match)
    usable: dict[str, list[int]] = {}
    broken: dict[str, str] = {}
    for row, key in enumerate(theirs):
        if references.problem[row]:
            broken[key] = f"{references.names[row]} ({references.problem[row]})"
        else:
            usable.setdefault(key, []).append(row)
    found = [next((usable[key] for key in keys if key in usable), []) for keys in wanted]
    missing = [row for row, rows in enumerate(found) if not rows and not predictions.problem[row]]
    if missing:
        why = sorted({broken[key] for row in missing for key in wanted[row] if key in broken})
        raise InputError(
            f"{len(missing)} of {len(predictions)} predictions have no reference {how}: {_listed([predictions.names[k] for k in missing])}"
            + (f"; references that cannot be used: {_listed(why)}" if why else "")
        )
    return found


def _keys(predictions: StructureSet, references: StructureSet, match: Match) -> tuple[str, list[str], list[list[str]]]:
    """How they are matched in words, the key of each reference, and the keys that each prediction looks for, best first."""
    by_name = [[name, name.split("#")[0]] for name in predictions.names]
    if match == "auto" and len(references) == 1:
        return "at all", [""], [[""]] * len(predictions)
    if match == "order":
        if len(predictions) != len(references):
            raise InputError(f"match by order needs as many references as predictions, got {len(references)} and {len(predictions)}")
        places = [str(row) for row in range(len(references))]
        return "by order", places, [[place] for place in places]
    if match == "name" or (match == "auto" and not set(references.names).isdisjoint(key for keys in by_name for key in keys)):
        repeated = [name for name, count in Counter(references.names).items() if count > 1]
        if repeated:
            raise InputError(f"match by name needs references of different names, several are called {_listed(repeated)}")
        return "by name", references.names, by_name
    return "by molecule", [canonical(m) for m in references.molecule], [[canonical(m)] if m else [] for m in predictions.molecule]


def _listed(items: Sequence[str]) -> str:
    """The first few."""
    return ", ".join(items[:SHOWN]) + (f" and {len(items) - SHOWN} more" if len(items) > SHOWN else "")


def _nearest(predictions: StructureSet, references: StructureSet, candidates: list[list[int]]) -> Tensor:
    """Of several candidates the one whose AMD is nearest, the first where it cannot be told."""
    chosen = [rows[0] if rows else -1 for rows in candidates]
    pairs = [(row, reference) for row, rows in enumerate(candidates) if len(rows) > 1 for reference in rows if not predictions.problem[row]]
    if pairs:
        mine, theirs = torch.tensor(pairs).T
        distances = amd_distance(predictions.atoms.select(mine), references.atoms, theirs.contiguous()).nan_to_num(torch.inf)
        nearest: dict[int, float] = {}
        for (row, reference), distance in zip(pairs, distances.tolist(), strict=True):
            if distance < nearest.get(row, torch.inf):
                nearest[row] = distance
                chosen[row] = reference
    return torch.tensor(chosen)
