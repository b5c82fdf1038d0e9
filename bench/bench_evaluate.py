"""What judging costs beside sampling: all metrics of proposals against their known crystal, and the sampling of the same proposals.

Ours is what `packflow evaluate` does to proposals (density, clash, AMD, RDF, contacts, bonds, distinct packings), with open-2m's default of
15 steps, the fastest sampling there is and so the hardest to keep up with. A ratio of 20 is an overhead of 5 %. The cases "with RMSD_15"
add packing similarity of the proposals without clash. Templates have 36 and 52 heavy atoms; the known crystal is a molecule of another
sample under P2_1/c, symmetric as nearly all known crystals are: RMSD_15 starts from every conformation of either crystal.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow as pa
import torch
from harness import compare, smallest

import packflow
from packflow.evaluate.scores import ScoreOptions, scores_of
from packflow.evaluate.test_set import Case
from packflow.flow.sampler import Proposal, SampleConfig
from packflow.flow.time_grid import LINEAR
from packflow.metrics import amd_distance, clash_percent, rdf_distance
from packflow.model import PackFlow
from packflow.proposal_table import rows_of
from packflow.structure import AtomsBatch, Crystal, Molecule, Template
from packflow.structure.lattice import cell_from_lattice

# benzoic acid, aspirin
TEMPLATES = (
    ("O=C(O)c1ccccc1", 4),
    ("CC(=O)Oc1ccccc1C(=O)O", 4),
)
N_SAMPLES = 20
CONFIGS = {"15 steps of ab2": SampleConfig(), "50 Euler steps": SampleConfig(50, "euler", LINEAR, LINEAR)}


def symmetric(sample: Crystal) -> Crystal:
    """The first of four molecules and its images under P2_1/c, in a monoclinic cell of the same volume."""
    lattice = np.concatenate([sample.lattice[:3], [90.0, 100.0, 90.0]])
    lattice[:3] *= (abs(np.linalg.det(sample.cell)) / lattice[:3].prod() / np.sin(np.radians(100.0))) ** (1 / 3)
    to_fractional = np.linalg.inv(cell_from_lattice(torch.from_numpy(lattice)).numpy())
    molecule = sample.positions[: sample.template.molecule.n_atoms]
    x = (molecule - molecule.mean(0)) @ to_fractional + [0.2, 0.15, 0.3]
    glide = x * [1, -1, 1] + [0, 0.5, 0.5]
    return Crystal.from_fractional(sample.template, np.concatenate([x, -x, glide, -glide]), lattice)


def cases_of(model: PackFlow) -> list[Case]:
    found = []
    for k, (smiles, n_copies) in enumerate(TEMPLATES, 1):
        made = packflow.sample(model, Template(Molecule.from_smiles(smiles), n_copies), 1, seed=1000)
        found.append(Case(f"molecule_{k}#{n_copies}", smiles, ("P2_1/c",), (symmetric(made[0].crystal),)))
    return found


def sampled(model: PackFlow, cases: list[Case], config: SampleConfig) -> list[list[Proposal]]:
    return [packflow.sample(model, case.template, N_SAMPLES, config=config) for case in cases]


def judged(cases: list[Case], rows: list[list[dict]], options: ScoreOptions) -> list[pa.Table]:
    return [scores_of(of_case, case, options) for case, of_case in zip(cases, rows, strict=True)]


def named_rows(case: Case, proposals: list[Proposal]) -> list[dict]:
    return [{"name": f"{case.name}-{p.index}", **row} for p, row in zip(proposals, rows_of(proposals), strict=True)]


def check(cases: list[Case], tables: object, proposals: object) -> None:
    """Scores are those of the metrics called one by one, of the very proposals that the sampling gives."""
    for case, table, made in zip(cases, tables, proposals, strict=True):
        atoms, known = (AtomsBatch.from_crystals(x) for x in ([p.crystal for p in made], [case.crystals[0]] * len(made)))
        first = table.slice(0, len(made))
        for name, values in (
            ("amd_distance", amd_distance(atoms, known)),
            ("clash_percent", clash_percent(atoms)),
            ("rdf_distance", rdf_distance(atoms, known)),
        ):
            # proposals are stored in float32
            np.testing.assert_allclose(first[name].to_numpy(), values.numpy(), atol=0.02 if name == "rdf_distance" else 1e-4)


def main() -> None:
    torch.set_num_threads(1)
    quick = smallest()
    model = packflow.load("open-2m")
    cases = cases_of(model)[: 1 if quick else None]
    for steps, config in CONFIGS.items():
        rows = [named_rows(case, made) for case, made in zip(cases, sampled(model, cases, config), strict=True)]
        for what, options in (("", ScoreOptions(rmsd=False)), (" with RMSD_15", ScoreOptions())):
            if options.rmsd and config != SampleConfig():
                continue
            compare(
                "evaluate",
                f"{len(cases)} x {N_SAMPLES} proposals{what}",
                f"sampling, {steps}",
                partial(judged, cases, rows, options),
                partial(sampled, model, cases, config),
                partial(check, cases),
                ("proposals", len(cases) * N_SAMPLES),
                quick=quick,
            )


if __name__ == "__main__":
    main()
