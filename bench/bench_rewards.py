"""Scores of sampled crystals: united atoms against riding hydrogens, and riding against relaxed hydrogens, in crystals per second.

128 proposals of the installed model, 8 molecules with 16 each, of 44 to 56 heavy atoms a cell. The sides of a comparison compute different
things; what is checked before is that they agree on which proposals of a group are good (paper, eq. 33).
"""

from __future__ import annotations

import torch
from harness import compare, smallest

from packflow import Molecule, Template
from packflow.flow.draws import draws_of
from packflow.flow.sampler import sample_batches
from packflow.model.pretrained import load
from packflow.potential.mmff import Mmff
from packflow.train.proxy_check import agreements_of
from packflow.train.scores import Hydrogens, Scores, scores_of

# aspirin, paracetamol, glycine ethyl ester, ibuprofen, caffeine, nicotinamide, sulfanilamide, catechol
CELLS = (
    ("CC(=O)Oc1ccccc1C(=O)O", 4),
    ("CC(=O)Nc1ccc(O)cc1", 4),
    ("CCOC(=O)CN", 8),
    ("CC(C)Cc1ccc(cc1)C(C)C(=O)O", 3),
    ("Cn1cnc2c1c(=O)n(C)c(=O)n2C", 4),
    ("NC(=O)c1cccnc1", 6),
    ("Nc1ccc(cc1)S(N)(=O)=O", 4),
    ("Oc1ccccc1O", 6),
)
N_SAMPLES, N_SAMPLES_QUICK = 16, 6
LEAST_ALIGNMENT = 0.4


def main(quick: bool) -> None:
    """Both comparisons; the quick ones of two molecules."""
    torch.set_num_threads(1)
    templates = [Template(Molecule.from_smiles(smiles), n_copies) for smiles, n_copies in CELLS[: 2 if quick else None]]
    n_samples = N_SAMPLES_QUICK if quick else N_SAMPLES
    draws = [draw for template in templates for draw in draws_of(template, n_samples, 0)]
    crystals = [proposal.crystal for batch in sample_batches(load("open-2m"), draws) for proposal in batch]
    shape = len(templates), n_samples, 2

    def scores(hydrogens: Hydrogens) -> Scores:
        return scores_of(crystals, Mmff(), hydrogens)

    def check(ours: object, theirs: object) -> None:
        one, other = (-torch.stack([s.energy, s.force], 1).view(shape) for s in (ours, theirs))  # type: ignore[attr-defined]
        (found,) = agreements_of(one, other, (0.5,))
        if not found.alignment > LEAST_ALIGNMENT:
            raise ValueError(f"alignment must be above {LEAST_ALIGNMENT}, got {found.alignment:.2f}")

    case = f"{len(crystals)} proposals, {sum(c.template.n_atoms for c in crystals) / len(crystals):.0f} heavy atoms"
    work = ("crystals", len(crystals))
    compare("rewards united", case, "riding", lambda: scores("united"), lambda: scores("riding"), check, work, quick=quick)
    compare("rewards riding", case, "relaxed", lambda: scores("riding"), lambda: scores("relaxed"), check, work, quick=quick)


if __name__ == "__main__":
    main(smallest())
