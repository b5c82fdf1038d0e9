"""From a molecule to ranked crystals: end to end, cut off between and within stages, refused before work."""

import csv
import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

import packflow
from packflow.campaign.relax_stage import open_stage, relax_store
from packflow.campaign.relaxation import Relaxation
from packflow.campaign.store import shard_paths
from packflow.data.structures import read_structures
from packflow.errors import InputError
from packflow.flow.sampler import SampleConfig
from packflow.pipeline.known import kept_references
from packflow.pipeline.ranking import rank_store
from packflow.pipeline.report import report_store
from packflow.potential import Mmff
from packflow.potential.lennard_jones import LennardJones
from packflow.relax.relax import RelaxConfig
from packflow.structure.cif import read_cif
from packflow.structure.full_sites import full_structure

POTENTIAL = LennardJones()
# as far as molecules of springs stay in the minimum where they are
SETTINGS = {
    "n_copies": (2, 3),
    "n_samples": 4,
    "config": SampleConfig(10),
    "potential": POTENTIAL,
    "relaxation": Relaxation(RelaxConfig()),
    "max_atoms": 12,
    "progress": False,
}


@pytest.fixture(scope="module")
def model():
    return packflow.load("open-2m")


@pytest.fixture(scope="module")
def predicted(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("predicted") / "store"
    return packflow.predict(model, "NC(N)=O", path, **SETTINGS)


@pytest.fixture
def store(predicted, tmp_path):
    return shutil.copytree(predicted.path, tmp_path / "store")


def times_of(path):
    return {p: p.stat().st_mtime_ns for p in (*shard_paths(path), *shard_paths(path / "relaxed"))}


def names_and_energies(ranking):
    return [(row.name, row.rank, row.relative_energy) for row in ranking.rows]


def test_end_to_end(predicted):
    assert predicted.counts.n_proposals == predicted.tally.n_proposals == 8
    ranked = predicted.ranking.ranked
    assert [row.rank for row in ranked] == list(range(1, len(ranked) + 1))
    assert len(ranked) >= 4
    assert ranked[0].relative_energy == 0.0
    assert all(np.diff([row.relative_energy for row in ranked]) >= 0)
    assert all(row.lattice_energy < 0 for row in ranked)
    assert {row.checked.candidate.template.n_copies for row in ranked} == {2, 3}
    folder = predicted.path / "ranked"
    table = pq.read_table(folder / "ranking.parquet").to_pylist()
    assert [row["name"] for row in table] == [row.name for row in predicted.ranking.rows]
    with (folder / "ranking.csv").open(newline="") as lines:
        assert [row["name"] for row in csv.DictReader(lines)] == [row["name"] for row in table]
    assert sorted(p.name for p in (folder / "cifs").iterdir()) == [f"rank_{row.rank:04d}.cif" for row in ranked]
    best = full_structure(read_cif(folder / "cifs" / "rank_0001.cif")[0])
    assert best.template.n_copies == ranked[0].checked.candidate.template.n_copies
    assert ranked[0].checked.intact_before is not None


def test_again_only_ranks(model, predicted, store):
    before = times_of(store)
    again = packflow.predict(model, "NC(N)=O", store, **SETTINGS)
    assert times_of(store) == before
    assert names_and_energies(again.ranking) == names_and_energies(predicted.ranking)
    assert again.counts == predicted.counts


def test_cut_off_within_each_stage(model, predicted, store):
    """Without the last shard of each stage, and with half a ranking."""
    for path in (store, store / "relaxed"):
        list(shard_paths(path))[-1].unlink()
    (store / "ranked.partial").mkdir()
    (store / "ranked.partial" / "half").write_text("")
    again = packflow.predict(model, "NC(N)=O", store, **SETTINGS)
    assert not (store / "ranked.partial").exists()
    for row, other in zip(again.ranking.rows, predicted.ranking.rows, strict=True):
        assert (row.name, row.rank) == (other.name, other.rank)
        assert row.relative_energy == pytest.approx(other.relative_energy, abs=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"potential": Mmff()}, "relaxed was begun with potential lennard_jones, got mmff"),
        ({"relaxation": Relaxation(RelaxConfig(fmax=0.02, max_stress_gpa=0.02))}, "relaxed was begun with fmax 0.05, got 0.02"),
        ({"n_samples": 5}, "was begun with jobs other ones"),
        ({"seed": 1}, "was begun with seed 0, got 1"),
        ({"potential": "magic"}, "potential must be one of mmff"),
        ({"references": ["nowhere.cif"]}, "nowhere.cif is not a file"),
        ({"n_copies": (2, 2)}, "n_copies must be different numbers, got 2 twice"),
    ],
)
def test_refused_before_work(model, store, change, message):
    list(shard_paths(store))[-1].unlink()
    before = times_of(store)
    with pytest.raises(InputError, match=message):
        packflow.predict(model, "NC(N)=O", store, **{**SETTINGS, **change})
    assert times_of(store) == before
    # nothing stays locked
    open_stage(store, POTENTIAL, SETTINGS["relaxation"]).close()


def test_a_known_crystal_is_found(predicted, store, tmp_path):
    """The third of the ranking, as a CIF file, is the third of the ranking: it cannot relax much further."""
    known = tmp_path / "known.cif"
    shutil.copy(store / "ranked" / "cifs" / "rank_0003.cif", known)
    ranking = rank_store(store, tmp_path / "out", references=[known], potential=POTENTIAL)
    third = ranking.ranked[2]
    assert third.match.known == "known"
    assert third.match.n_matched == 15
    assert third.match.rmsd < 0.05
    assert third.match.energy_above == pytest.approx(0, abs=0.1)
    assert ranking.ranked[0].match.energy_above == pytest.approx(-third.relative_energy, abs=0.1)
    # the file is kept, so that a report shows it without being told
    assert [path.read_bytes() for path in kept_references(tmp_path / "out")] == [known.read_bytes()]
    page = report_store(store, tmp_path / "report.html", ranking=tmp_path / "out").path.read_text()
    data = json.loads(page.partition('id="report-data">')[2].partition("</script>")[0])
    assert [one["name"] for one in data["references"]] == ["known"]
    assert data["overlays"][third.name]["n_matched"] == 15


def test_a_known_crystal_without_hydrogens(predicted, store, tmp_path):
    """They are added; the packing is found all the same."""
    lines = (store / "ranked" / "cifs" / "rank_0001.cif").read_text().splitlines(keepends=True)
    bare = tmp_path / "bare.cif"
    begin = next(k for k, line in enumerate(lines) if line.startswith("_geom_bond")) - 1
    bare.write_text("".join(line for line in lines[:begin] if line.split()[1:2] != ["H"]))
    assert set(read_cif(bare)[0].atomic_numbers.tolist()) == {6, 7, 8}
    match = rank_store(store, references=[bare], gas=False, potential=POTENTIAL).ranked[0].match
    assert (match.known, match.n_matched) == ("bare", 15)
    assert match.rmsd < 0.1


def test_a_known_crystal_of_another_molecule(store, cif_folder):
    other = sorted(cif_folder.glob("*.cif"))[0]
    with pytest.raises(InputError, match=f"reference {other.name} is no crystal of the molecules that were sampled"):
        rank_store(store, references=[other], potential=POTENTIAL)


def test_top_and_no_gas(store, tmp_path, predicted):
    ranking = rank_store(store, tmp_path / "out", top=2, gas=False, potential=POTENTIAL)
    assert len(ranking.ranked) == len(predicted.ranking.ranked)
    assert [rank for rank in pq.read_table(tmp_path / "out" / "ranking.parquet")["rank"].to_pylist() if rank] == [1, 2]
    assert all(np.isnan(row.lattice_energy) for row in ranking.ranked)
    assert sorted(p.name for p in (tmp_path / "out" / "cifs").iterdir()) == ["rank_0001.cif", "rank_0002.cif"]
    with pytest.raises(InputError, match="out holds files already"):
        rank_store(store, tmp_path / "out", potential=POTENTIAL)
    with pytest.raises(InputError, match="top must be at least 1, got 0"):
        rank_store(store, top=0, potential=POTENTIAL)
    with pytest.raises(InputError, match="with other parameters than it has here"):
        rank_store(store, potential=LennardJones(cutoff=9.0))


def test_settings_of_another_version(store):
    manifest = json.loads((store / "relaxed/manifest.json").read_text())
    manifest["made_of"]["relaxation"]["full"]["optimizer"]["name"] = "newton"
    (store / "relaxed/manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="relaxed with settings that this packflow does not know: use the packflow that relaxed it"):
        rank_store(store, potential=POTENTIAL)


def test_nothing_to_rank(predicted, store):
    shutil.rmtree(store / "relaxed")
    with pytest.raises(InputError, match="holds no relaxed proposals: call packflow relax"):
        rank_store(store, potential=POTENTIAL)


def test_all_proposals_without_a_crystal(predicted, store):
    """Limits that none can keep: everything has a reason, nothing has a rank."""
    shutil.rmtree(store / "relaxed")
    list(relax_store(store, POTENTIAL, Relaxation(RelaxConfig(volume_factors=(0.9999, 1.0001)))))
    ranking = rank_store(store, gas=False, potential=POTENTIAL)
    assert ranking.ranked == ()
    assert all("the cell left the range" in row.reason for row in ranking.rows)
    assert not list((store / "ranked" / "cifs").iterdir())


def test_metrics_of_a_store_are_those_of_its_proposals(store, predicted):
    """What later stages wrote beside them is not taken for more proposals, and can be judged by its own name."""
    assert len(read_structures(store)) == 8
    relaxed = read_structures(store / "relaxed")
    assert len(relaxed) == 8
    assert set(relaxed.bonds) == {"stated"}
    assert len(read_structures(store / "ranked" / "cifs")) == len(predicted.ranking.ranked)
