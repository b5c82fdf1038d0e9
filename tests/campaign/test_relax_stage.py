"""Relaxation as a stage of a store: what is written, what may interrupt it, what is refused."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
import torch

from packflow.campaign.processes import TRIES, processes
from packflow.campaign.relax_stage import RelaxWork, open_stage, read_relaxed, relax_store
from packflow.campaign.relaxation import Relaxation, relax_proposals, relaxation_of
from packflow.campaign.relaxed_shard import Counts, relaxed_of, start_of
from packflow.campaign.store import shard_paths
from packflow.errors import InputError
from packflow.flow.sampler import Proposal
from packflow.pipeline.proposals import sample_to_folder
from packflow.potential import Mmff
from packflow.potential.lennard_jones import LennardJones
from packflow.potential.mmff_parameters import UntypedError, mmff_parameters
from packflow.proposal_table import crystal_of, rows_of, template_of
from packflow.relax.fire import FireConfig
from packflow.relax.relax import RelaxConfig
from packflow.report.proposals import ProposalFolder
from packflow.structure.full import FullBatch
from packflow.structure.full_frame import heavy_atoms

POTENTIAL = LennardJones()
N_PROPOSALS = 7


def check_same_rows(rows, others):
    """The same results, to what numbers of threads may change."""
    assert [row["name"] for row in rows] == [row["name"] for row in others]
    for row, other in zip(rows, others, strict=True):
        assert (row["problem"], row["converged"], row["n_steps"]) == (other["problem"], other["converged"], other["n_steps"])
        np.testing.assert_allclose(row["energy_ev"], other["energy_ev"], atol=1e-6)
        np.testing.assert_allclose(row["positions"], other["positions"], atol=1e-4)


@pytest.fixture(scope="session")
def whole(sampled_once, tmp_path_factory):
    """Rows of an uninterrupted relaxation."""
    path = shutil.copytree(sampled_once, tmp_path_factory.mktemp("whole") / "store")
    assert [done.problem for done in relax_store(path, POTENTIAL)] == ["", "", ""]
    return list(read_relaxed(path))


def test_rows_are_what_the_potential_says(whole, sampled_once, rows_in):
    proposals = rows_in(sampled_once)
    assert [row["name"] for row in whole] == [row["name"] for row in proposals]
    for row, proposal in zip(whole, proposals, strict=True):
        assert all(row[key] == proposal[key] for key in ("index", "seed", "attempt", "smiles", "n_copies", "flag"))
        relaxed, start = relaxed_of(row), start_of(row)
        batch = FullBatch.pack([relaxed.structure])
        found = POTENTIAL.prepare(batch).evaluate(batch.positions, batch.cell)
        assert float(found.energy) == pytest.approx(row["energy_ev"], abs=1e-9)
        assert row["energy_per_molecule_ev"] == pytest.approx(row["energy_ev"] / 2)
        assert float(found.forces.norm(dim=1).max()) == pytest.approx(row["max_force"], abs=1e-7)
        torch.testing.assert_close(found.stress[0], torch.tensor(row["stress"], dtype=torch.float64).reshape(3, 3), rtol=0, atol=1e-9)
        assert row["converged"]
        assert row["max_force"] < 0.01
        assert 0 < row["n_steps_hydrogens"] <= 25
        assert row["volume"] == pytest.approx(np.linalg.det(relaxed.structure.cell))
        assert row["atomic_numbers"] == batch.atomic_numbers.tolist()
        crystal = crystal_of(proposal)
        moved = start.positions[heavy_atoms(start)] - crystal.positions
        np.testing.assert_allclose(moved, np.broadcast_to(moved.mean(0), moved.shape), atol=1e-4)
        np.testing.assert_allclose(row["start_lattice"], crystal.lattice, atol=1e-6)


def test_cut_off_and_continued(sampled, whole):
    results = relax_store(sampled, POTENTIAL)
    next(results)
    results.close()
    first = next(shard_paths(sampled / "relaxed"))
    written = first.stat().st_mtime_ns
    assert len(list(shard_paths(sampled / "relaxed"))) == 1
    assert [done.unit.number for done in relax_store(sampled, POTENTIAL)] == [1, 2]
    assert first.stat().st_mtime_ns == written
    assert list(relax_store(sampled, POTENTIAL)) == []
    check_same_rows(list(read_relaxed(sampled)), whole)


def test_processes(sampled, whole):
    """Also with another working set; the potential is sent to the workers."""
    settings = Relaxation(replace(RelaxConfig.for_ranking(), max_atoms=20))
    results = list(relax_store(sampled, POTENTIAL, settings, executor=partial(processes, n_workers=2)))
    assert sorted(done.unit.number for done in results) == [0, 1, 2]
    check_same_rows(list(read_relaxed(sampled)), whole)


class Deadly(LennardJones):
    """Ends the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (7,)


def test_a_unit_that_kills_its_workers_is_given_up(sampled, whole):
    results = relax_store(sampled, Deadly(), executor=partial(processes, n_workers=1))
    assert next(results).problem == f"{TRIES} workers died of it, the last with exit code 7"
    results.close()
    assert list(read_relaxed(sampled)) == []
    list(relax_store(sampled, POTENTIAL))
    check_same_rows(list(read_relaxed(sampled)), whole)


@pytest.mark.parametrize("executor", ["here", pytest.param("processes", marks=pytest.mark.slow)])
def test_kill_in_the_middle(sampled, executor):
    """kill -9 of the command, then the same command: only what was being relaxed is done again."""
    command = [sys.executable, "-m", "packflow.cli", "relax", str(sampled), "--threads", "1", "--executor", executor, "--optimizer", "fire"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not list(shard_paths(sampled / "relaxed")):
            assert process.poll() is None
            time.sleep(0.02)
        workers = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
    assert psutil.wait_procs(workers, timeout=20)[1] == []
    before = {path: path.stat().st_mtime_ns for path in shard_paths(sampled / "relaxed")}
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert f"of {N_PROPOSALS} relaxed" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list(read_relaxed(sampled))) == N_PROPOSALS
    assert not list(sampled.rglob("*.partial"))


OTHERS = {
    "potential": ({"potential": LennardJones(cutoff=7.0)}, "was begun with cutoff 8.0, got 7.0"),
    "name": ({"potential": Mmff()}, "was begun with potential lennard_jones, got mmff"),
    "fmax": ({"settings": Relaxation(RelaxConfig(fmax=0.02, max_stress_gpa=0.02))}, "was begun with fmax 0.01, got 0.02"),
    "cell": ({"settings": Relaxation(RelaxConfig(cell="frechet"))}, "was begun with cell molecular, got frechet"),
    "optimizer": ({"settings": Relaxation(RelaxConfig(optimizer=FireConfig()))}, "was begun with"),
    "hydrogens": ({"settings": Relaxation(only_hydrogens=True)}, "was begun with ends_with full, got hydrogens"),
    "flagged": ({"settings": Relaxation(flagged=True)}, "was begun with flagged False, got True"),
}


@pytest.mark.parametrize("change", OTHERS)
def test_other_settings_are_refused(sampled, contents, change):
    list(relax_store(sampled, POTENTIAL))
    before = contents(sampled)
    asked, message = OTHERS[change]
    with pytest.raises(InputError, match=f"relaxed {message}.*move that folder away"):
        relax_store(sampled, **{"potential": POTENTIAL, **asked})
    assert contents(sampled) == before


def damage_manifest(store):
    (store / "relaxed/manifest.json").write_text("{")


def damage_shard(store):
    path = next(shard_paths(store / "relaxed"))
    path.write_bytes(path.read_bytes()[:-9])


def rename_shard(store):
    next(shard_paths(store / "relaxed")).rename(store / "relaxed/shards/00000/00000002.parquet")


def foreign_shard(store):
    (store / "relaxed/shards/00000/00000002.parquet").write_bytes(next(shard_paths(store)).read_bytes())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_manifest, "manifest.json is damaged"),
        (damage_shard, "00000000.parquet is damaged or no shard of a relaxation: remove it"),
        (rename_shard, "00000002.parquet is not of this relaxation: remove it"),
        (foreign_shard, "00000002.parquet is damaged or no shard of a relaxation"),
        (lambda store: (store / "relaxed/manifest.json").unlink(), "holds files already and no relaxation"),
    ],
    ids=["manifest", "shard", "renamed", "foreign", "no manifest"],
)
def test_damage_is_refused(sampled, contents, damage, message):
    results = relax_store(sampled, POTENTIAL)
    next(results)
    results.close()
    damage(sampled)
    before = contents(sampled)
    with pytest.raises(InputError, match=message):
        relax_store(sampled, POTENTIAL)
    assert contents(sampled) == before


def test_a_shard_that_was_removed_is_relaxed_again(sampled, whole):
    list(relax_store(sampled, POTENTIAL))
    list(shard_paths(sampled / "relaxed"))[1].unlink()
    assert [done.unit.number for done in relax_store(sampled, POTENTIAL)] == [1]
    check_same_rows(list(read_relaxed(sampled)), whole)


def test_a_damaged_page_is_found(sampled):
    list(relax_store(sampled, POTENTIAL))
    path = next(shard_paths(sampled / "relaxed"))
    columns = pq.read_metadata(path).row_group(0)
    largest = max((columns.column(k) for k in range(columns.num_columns)), key=lambda column: column.total_compressed_size)
    data = bytearray(path.read_bytes())
    data[largest.data_page_offset + largest.total_compressed_size // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"00000000.parquet is damaged .* its proposals are relaxed again"):
        list(read_relaxed(sampled))


def test_one_writer_at_a_time(sampled):
    with open_stage(sampled, POTENTIAL), pytest.raises(InputError, match="relaxed is in use by another packflow"):
        open_stage(sampled, POTENTIAL)
    open_stage(sampled, POTENTIAL).close()


def test_sampling_goes_on_meanwhile(sampled, whole):
    """What is not sampled yet is relaxed by a later call."""
    last = list(shard_paths(sampled))[2]
    data = last.read_bytes()
    last.unlink()
    with open_stage(sampled, POTENTIAL) as stage:
        assert stage.source.n_proposals < stage.source.n_planned == N_PROPOSALS
    assert len(list(relax_store(sampled, POTENTIAL))) == 2
    last.write_bytes(data)
    assert [done.unit.number for done in relax_store(sampled, POTENTIAL)] == [2]
    check_same_rows(list(read_relaxed(sampled)), whole)


def test_where_there_is_nothing(sampled, tmp_path):
    with pytest.raises(InputError, match="is no folder: give one that packflow sample wrote"):
        relax_store(tmp_path / "nowhere", POTENTIAL)
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError, match=r"holds neither manifest.json nor proposals.parquet"):
        relax_store(tmp_path / "mine", POTENTIAL)
    with pytest.raises(InputError, match="holds no relaxed proposals: call packflow relax"):
        read_relaxed(sampled)
    with pytest.raises(InputError, match="potential must be one of mmff"):
        relax_store(sampled, "magic")
    for path in list(shard_paths(sampled)):
        path.unlink()
    with pytest.raises(InputError, match="holds no proposals yet"):
        relax_store(sampled, POTENTIAL)
    assert not (sampled / "relaxed").exists()


def test_the_folder_of_a_single_molecule(sampled_once, rows_in, tmp_path, whole):
    """The table of `packflow sample SMILES` is one unit for every so many rows; another table is refused."""
    proposals = [Proposal(crystal_of(row), row["index"], row["seed"]) for row in rows_in(sampled_once) if row["smiles"] == "CO"]
    with ProposalFolder(tmp_path / "one", {}) as folder:
        folder.write(proposals)
    assert [(d.unit.number, d.unit.n_proposals) for d in relax_store(tmp_path / "one", POTENTIAL)] == [(0, 3)]
    rows = list(read_relaxed(tmp_path / "one"))
    assert [row["name"] for row in rows] == ["proposal#2-0", "proposal#2-1", "proposal#2-2"]
    check_same_rows([{**row, "name": ""} for row in rows], [{**row, "name": ""} for row in whole if row["smiles"] == "CO"])
    for name in ("proposals.parquet", "run.json"):
        (tmp_path / "one" / name).unlink()
    (tmp_path / "one" / "proposals.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"proposals.parquet is damaged, or still being written"):
        relax_store(tmp_path / "one", POTENTIAL)
    with ProposalFolder(tmp_path / "two", {}) as folder:
        folder.write(proposals[:2])
    (tmp_path / "two" / "proposals.parquet").rename(tmp_path / "one" / "proposals.parquet")
    with pytest.raises(InputError, match="was begun with proposals other ones"):
        relax_store(tmp_path / "one", POTENTIAL)


def test_units_of_a_folder(model, tmp_path):
    sample_to_folder(model, template_of("C", 1), tmp_path / "many", 70, progress=False)
    with open_stage(tmp_path / "many", POTENTIAL) as stage:
        units = list(stage.missing())
    assert [unit.n_proposals for unit in units] == [32, 32, 6]
    assert [row["index"] for unit in units for row in unit.rows()] == list(range(70))


def no_methanol(smiles):
    """Parameters of any molecule but methanol."""
    if smiles == "CO":
        raise UntypedError("no parameters")
    return mmff_parameters(smiles)


def test_who_fails_says_why(sampled_once, rows_in):
    rows = rows_in(sampled_once)
    rows[0]["problem"] = "not finite"
    rows[1]["flag"] = "density: 3.2 g/cm3, outside 0.7 to 3"
    rows[2]["positions"] = [0.0] * len(rows[2]["positions"])
    found = relax_proposals(Mmff(parameters=no_methanol), rows, Relaxation())
    assert found[0].problem == "no crystal: not finite"
    assert found[1].problem == "flagged: density: 3.2 g/cm3, outside 0.7 to 3"
    assert found[2].problem.startswith("hydrogens: heavy atoms 0 and 1 coincide")
    assert [outcome.problem for outcome in found[3:]] == ["", *["hydrogens relaxed: no parameters"] * 3]
    assert found[3].relaxed.converged
    counts = Counts.of(found)
    assert counts.problems == {"no crystal": 1, "flagged": 1, "hydrogens": 1, "hydrogens relaxed": 3}
    assert counts.text() == "1 of 7 relaxed, 1 of them converged; not relaxed: hydrogens relaxed 3, no crystal 1, flagged 1, hydrogens 1"
    assert relax_proposals(POTENTIAL, rows[1:2], Relaxation(flagged=True))[0].problem == ""


def test_an_exploding_cell(sampled_once, rows_in):
    settings = Relaxation(RelaxConfig(volume_factors=(0.999, 1.001)))
    found = relax_proposals(POTENTIAL, rows_in(sampled_once)[:2], settings)
    assert {outcome.problem for outcome in found} == {"relaxed: the cell left the range of 0.999 to 1.001 times its first volume"}


def test_hydrogens_alone(sampled_once, rows_in):
    rows = rows_in(sampled_once)[:2]
    for row, outcome in zip(rows, relax_proposals(POTENTIAL, rows, Relaxation(only_hydrogens=True)), strict=True):
        heavy = heavy_atoms(outcome.start)
        np.testing.assert_array_equal(outcome.relaxed.structure.positions[heavy], outcome.start.positions[heavy])
        assert np.abs(outcome.relaxed.structure.positions - outcome.start.positions).max() > 1e-3
        assert outcome.problem == ""
        assert crystal_of(row).template == outcome.start.template


def test_settings_are_read_back():
    for settings in (
        Relaxation(),
        Relaxation(RelaxConfig.as_ase(), flagged=True),
        Relaxation(only_hydrogens=True),
        Relaxation(RelaxConfig(fmax=0.1, volume_factors=(0.5, 2.0))),
    ):
        assert relaxation_of(settings.described()) == settings


def test_a_potential_with_a_name_is_made_anew_where_it_is_used():
    work = RelaxWork("digest", Relaxation(), "cpu", "mmff", Mmff())
    assert work.portable().potential is None
    assert work.portable().to("cpu").potential == Mmff()


def test_rows_that_nothing_is_known_of(sampled_once, rows_in):
    """A proposal with a problem may have no lattice at all."""
    row = rows_in(sampled_once)[0]
    crystal = crystal_of(row)
    broken = Proposal(replace(crystal, lattice=np.full(6, np.nan)), 3, 0, problem="not finite", flag="not finite")
    found = relax_proposals(POTENTIAL, rows_of([broken]), Relaxation(flagged=True))
    assert found[0].problem == "no crystal: not finite"
    assert found[0].relaxed is None
