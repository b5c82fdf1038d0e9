"""A store as `packflow sample --input`, `relax` and `rank` write it, of crystals that are made up, as many as wanted and in no time."""

from dataclasses import asdict
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import rdDistGeom

from packflow.campaign import Job
from packflow.campaign.job_files import jobs_text
from packflow.campaign.manifest import MANIFEST, campaign_digest, manifest_of, manifest_text, read_manifest
from packflow.campaign.plan import Plan
from packflow.campaign.proposal_source import find_proposals, unit_of
from packflow.campaign.relax_stage import RELAXATION, stage_digest
from packflow.campaign.relaxation import Outcome, Relaxation
from packflow.campaign.relaxed_shard import relaxed_shard
from packflow.campaign.shard import shard_of
from packflow.campaign.store import JOBS, shard_path
from packflow.flow.acceptance import Checks
from packflow.flow.sampler import Proposal, SampleConfig
from packflow.rank.ranking_files import SCHEMA
from packflow.relax.relax import Relaxed
from packflow.structure.full import FullStructure, full_mol
from packflow.structure.full_frame import heavy_crystal
from packflow.structure.lattice import cell_from_lattice

MADE_OF = {"weights": "0" * 64, "jobs": "1" * 64, "seed": 7, "sample": asdict(SampleConfig(10)), "checks": asdict(Checks())}
FLAG = "clash: 12.5 % of the atoms, above 5; density: 3.2 g/cm3, outside 0.7 to 3"
GROUPS = ("P2_1/c", "P-1", "P2_12_12_1", "C2/c")


@lru_cache(maxsize=8)
def conformer_of(smiles):
    mol = Chem.Mol(full_mol(smiles))
    assert rdDistGeom.EmbedMolecule(mol, randomSeed=1) == 0
    points = mol.GetConformer().GetPositions()
    return points - points.mean(0)


def full_structure(template, rng):
    """Copies of a conformer, turned and moved at random in a cell of plausible volume."""
    edge = (18.0 * template.n_atoms) ** (1 / 3)
    lattice = np.concatenate([edge * rng.uniform(0.8, 1.25, 3), rng.uniform(80, 100, 3)])
    cell = cell_from_lattice(torch.from_numpy(lattice)).numpy()
    turns = np.linalg.qr(rng.normal(size=(template.n_copies, 3, 3)))[0]
    centers = rng.uniform(0, 1, (template.n_copies, 3)) @ cell
    return FullStructure(template, (conformer_of(template.molecule.smiles) @ turns + centers[:, None]).reshape(-1, 3), cell)


def write_store(path, jobs, rng):
    """The sampled part; every tenth proposal is flagged, every 37th is no crystal, every 13th was sampled twice."""
    plan, structures = Plan(jobs, 4096), {}
    path.mkdir(parents=True, exist_ok=True)
    (path / MANIFEST).write_bytes(manifest_of(plan, MADE_OF))
    (path / JOBS).write_text(jobs_text(jobs))
    digest = campaign_digest(read_manifest(path)["made_of"], plan.unit_atoms)
    for number in range(plan.n_units):
        unit = plan.unit(number)
        proposals = []
        for name, draw in zip(unit.names(), unit.draws(7), strict=True):
            structures[name] = full = full_structure(draw.template, rng)
            problem = "impossible cell" if draw.index % 37 == 36 else ""
            flag = problem or (FLAG if draw.index % 10 == 9 else "")
            replaced = (FLAG,) if draw.index % 13 == 12 else ()
            proposals.append(Proposal(heavy_crystal(full), draw.index, 7, problem, flag, len(replaced), replaced))
        shard = shard_path(path, number)
        shard.parent.mkdir(parents=True, exist_ok=True)
        shard.write_bytes(shard_of(unit, proposals, digest))
    return structures


def write_relaxed(path, structures, rng):
    """The relaxed part, energies at random; every 17th failed."""
    made_of = {"potential": "mmff", "potential_parameters": {"cutoff": 10.0}, "proposals": "x", "relaxation": Relaxation().described()}
    text = manifest_text(RELAXATION, {"made_of": made_of})
    (path / "relaxed").mkdir()
    (path / "relaxed" / MANIFEST).write_bytes(text)
    digest = stage_digest(read_manifest(path / "relaxed", RELAXATION)["made_of"])
    for number, portion in find_proposals(path).portions.items():
        rows = unit_of(portion).rows()
        outcomes = [outcome_of(row, structures[row["name"]], rng) for row in rows]
        shard = shard_path(path / "relaxed", number)
        shard.parent.mkdir(parents=True, exist_ok=True)
        shard.write_bytes(relaxed_shard(rows, outcomes, number, digest))


def outcome_of(row, full, rng):
    if row["problem"] or row["flag"]:
        return Outcome(f"no crystal: {row['problem']}" if row["problem"] else f"flagged: {row['flag']}")
    energy = row["n_copies"] * (0.05 * float(rng.gamma(4.0)) - 1.0)
    failed = "relaxed: the cell left the range of volumes" if row["index"] % 17 == 16 else ""
    problem = failed.partition(": ")[2]
    return Outcome(failed, Relaxed(0, full, energy, 0.005, np.zeros((3, 3)), 80, row["index"] % 11 != 10, problem), full, 20)


def write_ranking(path):
    """A ranking by the energies of the relaxed part; every seventh is a duplicate of the best, those that did not converge are left out."""
    rows = []
    for file in sorted((path / "relaxed" / "shards").rglob("*.parquet")):
        rows += pq.read_table(file).to_pylist()
    good = [row for row in rows if not row["problem"] and row["converged"]]
    found = []
    for smiles in {row["smiles"] for row in rows}:
        own = sorted((row for row in good if row["smiles"] == smiles), key=lambda row: row["energy_per_molecule_ev"])
        best, rank = own[0], 0
        for place, row in enumerate(own):
            duplicate = place % 7 == 6
            rank += not duplicate
            about = {"rank": None, "duplicate_of": best["name"], "reason": f"duplicate of {best['name']}"} if duplicate else {"rank": rank}
            relative = 96.485 * (row["energy_per_molecule_ev"] - best["energy_per_molecule_ev"])
            found.append(ranked_row(row, smiles, relative, place) | about)
    for row in rows:
        if row["problem"] or not row["converged"]:
            found.append({"name": row["name"], "smiles": row["smiles"], "reason": row["problem"] or "not converged after 80 steps"})
    (path / "ranked").mkdir()
    pq.write_table(pa.Table.from_pylist(found, SCHEMA), path / "ranked" / "ranking.parquet")


def ranked_row(row, smiles, relative, place):
    return {
        "name": row["name"],
        "smiles": smiles,
        "reason": "",
        "energy": row["energy_per_molecule_ev"],
        "relative_energy_kj_mol": relative,
        "lattice_energy_kj_mol": relative - 110.0,
        "space_group": GROUPS[place % len(GROUPS)],
        "z_prime": 1.0,
        "n_duplicates": 0,
        "symmetry_tolerance": 0.05,
    }


@pytest.fixture(scope="session")
def make_store():
    """A function that makes a store as far as "sampled", "relaxed" or "ranked", and returns the structures by name."""

    def make(path, jobs=None, stage="ranked", seed=0):
        rng = np.random.default_rng(seed)
        jobs = jobs or [Job.of("urea", "NC(N)=O", 2, 40)]
        structures = write_store(path, jobs, rng)
        if stage != "sampled":
            write_relaxed(path, structures, rng)
        if stage == "ranked":
            write_ranking(path)
        return structures

    return make
