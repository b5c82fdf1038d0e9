"""From stores in each state to a page, and what is refused."""

import json
import re
import shutil

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from packflow.campaign import Job
from packflow.campaign.store import shard_paths
from packflow.cli import main
from packflow.errors import InputError
from packflow.flow.sampler import Proposal
from packflow.pipeline.known import keep_references
from packflow.pipeline.report import report_store
from packflow.pipeline.report_rows import packed
from packflow.report.proposals import ProposalFolder
from packflow.structure import Crystal
from packflow.structure.cif import read_cif
from packflow.structure.full_frame import heavy_crystal
from packflow.structure.full_sites import full_structure

JOBS = [Job.of("urea", "NC(N)=O", 2, 60), Job.of("urea", "NC(N)=O", 4, 45), Job.of("methanol", "CO", 2, 40)]


@pytest.fixture(scope="module")
def stores(make_store, tmp_path_factory):
    """Stores of the three states, and the structures of the last."""
    folder = tmp_path_factory.mktemp("stores")
    structures = {stage: make_store(folder / stage, JOBS, stage) for stage in ("sampled", "relaxed", "ranked")}
    return folder, structures["ranked"]


@pytest.fixture
def ranked(stores, tmp_path):
    return shutil.copytree(stores[0] / "ranked", tmp_path / "ranked")


def data_of(path):
    return json.loads(re.search(r'id="report-data">(.*?)</script>', path.read_text(), re.DOTALL).group(1))


@pytest.mark.parametrize("stage", ["sampled", "relaxed", "ranked"])
def test_a_store_in_each_state(stores, tmp_path, stage):
    report = report_store(stores[0] / stage, tmp_path / "report.html")
    assert (report.n_proposals, report.n_listed, report.problems) == (145, 145, ())
    assert report.n_bytes == report.path.stat().st_size < 2e6
    data = data_of(report.path)
    columns = data["columns"]
    statuses = [data["statuses"][k] for k in columns["status"]]
    assert [molecule["name"] for molecule in data["molecules"]] == ["urea", "methanol"]
    assert statuses.count("no crystal") == 3
    assert statuses.count("implausible") == 14
    assert sum(first is None for first in columns["first_atom"]) == 0
    relaxed = {"relaxed", "ranked", "duplicate", "left out", "failed"} & set(statuses)
    assert relaxed == {"sampled": set(), "relaxed": {"relaxed", "failed"}, "ranked": {"ranked", "duplicate", "left out", "failed"}}[stage]
    assert ("There are no energies" in str(data["warnings"])) is False
    assert any("Sampled only" in text for text in data["warnings"]) == (stage == "sampled")
    assert any("not ranked" in text for text in data["warnings"]) == (stage == "relaxed")
    assert data["settings"][0][0] == "Sampling"
    assert all(group["examples"] or group["stage"] == "replaced by a fresh sample" for group in data["rejected"])


def test_numbers_of_a_ranked_store(stores, tmp_path):
    data = data_of(report_store(stores[0] / "ranked", tmp_path / "report.html").path)
    columns = data["columns"]
    best = columns["rank"].index(1)
    assert columns["relative_energy"][best] == 0.0
    assert columns["lattice_energy"][best] == -110.0
    full = stores[1][columns["name"][best]]
    assert columns["volume"][best] == pytest.approx(abs(np.linalg.det(full.cell)) / full.template.n_copies, rel=1e-5)
    # energies of duplicates and of what was left out are on the same scale as those of ranks
    energies = np.array([x for x, e in zip(columns["relative_energy"], columns["energy"], strict=True) if e is not None])
    assert (energies > -1e-3).sum() >= len(energies) - 8
    duplicate = [data["statuses"][k] for k in columns["status"]].index("duplicate")
    assert columns["duplicate_of"][duplicate] in columns["name"]


def test_a_relaxed_store_is_relative_to_its_lowest(stores, tmp_path):
    columns = data_of(report_store(stores[0] / "relaxed", tmp_path / "report.html").path)["columns"]
    for molecule in (0, 1):
        own = [
            x
            for x, m, c in zip(columns["relative_energy"], columns["molecule"], columns["converged"], strict=True)
            if m == molecule and c == "yes"
        ]
        assert min(own) == 0.0


def test_the_folder_of_one_molecule(stores, tmp_path):
    structures = [full for name, full in stores[1].items() if name.startswith("urea#2-")][:6]
    with ProposalFolder(tmp_path / "one", {"model": "open-2m", "checks": {"clean": False}}) as folder:
        folder.write([Proposal(heavy_crystal(full), k, 7) for k, full in enumerate(structures)])
    data = data_of(report_store(tmp_path / "one", tmp_path / "report.html").path)
    assert data["title"] == "NC(N)=O"
    assert data["columns"]["name"][0] == "proposal#2-0"
    assert ["model", "open-2m"] in data["settings"][0][1]
    assert ["checks, clean", "no"] in data["settings"][0][1]


def test_references_of_a_ranking_are_shown(cif_folder, make_store, tmp_path):
    """Without being told; one that is damaged is named, and the others are shown."""
    make_store(tmp_path / "store")
    known = cif_folder / "2019369.cif"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "2019369.cif").write_text("data_broken\n")
    keep_references([known, tmp_path / "other" / "2019369.cif"], tmp_path / "store" / "ranked")
    data = data_of(report_store(tmp_path / "store", tmp_path / "report.html").path)
    assert [one["name"] for one in data["references"]] == ["2019369"]
    assert len(data["problems"]) == 1
    assert "2019369_2.cif cannot be used" in data["problems"][0]


def test_a_reference_is_overlaid(cif_folder, tmp_path):
    """A known crystal in a cell whose axes change places, so that it is turned, lies on itself when it is moved as the page is told."""
    known = cif_folder / "2019369.cif"
    heavy = heavy_crystal(full_structure(read_cif(known)[0], "NC(N)=O"))
    turned = Crystal.from_fractional(heavy.template, heavy.fractional[:, [1, 2, 0]], heavy.lattice[[1, 2, 0, 4, 5, 3]])
    with ProposalFolder(tmp_path / "one", {}) as folder:
        folder.write([Proposal(turned, 0, 7)])
    data = data_of(report_store(tmp_path / "one", tmp_path / "report.html", [known]).path)
    overlay, reference = data["overlays"]["proposal#2-0"], data["references"][0]
    assert (overlay["n_matched"], overlay["rmsd"]) == (15, pytest.approx(0, abs=1e-3))
    assert (data["columns"]["known"], data["columns"]["n_matched"]) == (["2019369"], [15])
    assert reference["density"] == pytest.approx(1.37, abs=0.01)
    copies = np.reshape(reference["positions"], (2, 8, 3))[:, :4]
    rotation = np.reshape(overlay["rotation"], (3, 3))
    moved = turned.positions.reshape(2, 4, 3) @ rotation.T + overlay["shift"]
    assert not np.allclose(rotation, np.eye(3), atol=0.1)
    for copy, *steps in overlay["cluster"]:
        wanted = copies[copy] + np.array(steps) @ reference["cell"]
        # some copy, shifted by lattice vectors, is there
        cell = turned.cell @ rotation.T
        steps_back = np.rint((wanted.mean(0) - moved.mean(1)) @ np.linalg.inv(cell))
        images = moved + (steps_back @ cell)[:, None]
        off = [cdist(image, wanted).min(1).max() for image in images]
        assert min(off) < 2e-3


def test_a_damaged_shard_is_listed_and_the_rest_goes_on(ranked, tmp_path, capsys):
    shard = next(shard_paths(ranked / "relaxed"))
    data = bytearray(shard.read_bytes())
    data[200] ^= 255
    shard.write_bytes(data)
    assert main(["report", str(ranked), "-o", str(tmp_path / "report.html")]) == 0
    said = capsys.readouterr().out
    assert f"not shown: {shard} is damaged" in said
    assert "written:" in said
    assert "is damaged" in data_of(tmp_path / "report.html")["problems"][0]


def test_max_structures_and_title(stores, tmp_path, capsys):
    arguments = ["report", str(stores[0] / "ranked"), "-o", str(tmp_path / "r.html"), "--max-structures", "20", "--title", "Two molecules"]
    assert main(arguments) == 0
    assert "20 of 145 proposals" in capsys.readouterr().out
    data = data_of(tmp_path / "r.html")
    assert (data["title"], data["n_listed"], data["n_proposals"]) == ("Two molecules", 20, 145)
    assert set(data["columns"]["molecule"]) == {0, 1}


def test_what_is_refused(stores, ranked, tmp_path):
    out = tmp_path / "report.html"
    (tmp_path / "empty").mkdir()
    (tmp_path / "begun").mkdir()
    shutil.copy(ranked / "manifest.json", tmp_path / "begun")
    (ranked / "ranked" / "ranking.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(InputError, match="nowhere is no folder"):
        report_store(tmp_path / "nowhere", out)
    with pytest.raises(InputError, match=r"holds neither manifest.json nor proposals.parquet"):
        report_store(tmp_path / "empty", out)
    with pytest.raises(InputError, match="holds no proposals yet"):
        report_store(tmp_path / "begun", out)
    with pytest.raises(InputError, match=r"ranking.parquet is damaged .* call packflow rank again"):
        report_store(ranked, out)
    with pytest.raises(InputError, match=r"out must end in .html, got .*report.pdf"):
        report_store(stores[0] / "ranked", tmp_path / "report.pdf")
    with pytest.raises(InputError, match="missing is no folder: make it first"):
        report_store(stores[0] / "ranked", tmp_path / "missing" / "report.html")
    with pytest.raises(InputError, match="max_structures must be at least 1, got 0"):
        report_store(stores[0] / "ranked", out, max_listed=0)
    with pytest.raises(InputError, match="nowhere is no folder: give one that packflow rank --out wrote"):
        report_store(stores[0] / "ranked", out, ranking=tmp_path / "nowhere")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(InputError, match=r"folder.html is a folder"):
        report_store(stores[0] / "ranked", tmp_path / "folder.html")
    assert not out.exists()


def test_coordinates_that_are_not_three_an_atom_are_none():
    assert packed({"positions": [1.0, 2.0]})["positions"] is None
    assert packed({"positions": None})["positions"] is None
    np.testing.assert_array_equal(packed({"positions": [1.0, 2.0, 3.0]})["positions"], [[1, 2, 3]])


def test_all_shards_damaged(stores, tmp_path):
    store = shutil.copytree(stores[0] / "sampled", tmp_path / "store")
    for shard in shard_paths(store):
        data = bytearray(shard.read_bytes())
        data[200] ^= 255
        shard.write_bytes(data)
    with pytest.raises(InputError, match="is damaged"):
        report_store(store, tmp_path / "report.html")


def test_a_disk_that_is_full(stores, tmp_path, monkeypatch):
    def full(self, *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("packflow.campaign.disk.flush_to_disk", full)
    with pytest.raises(InputError, match=r"report.html cannot be written \(No space left on device\)"):
        report_store(stores[0] / "sampled", tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []
