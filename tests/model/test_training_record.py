"""Which molecules weights were trained on, from training to the warning."""

import numpy as np
import pytest
import torch

from packflow.cli import main
from packflow.data.dataset import CrystalDataset
from packflow.data.split import family
from packflow.errors import InputError
from packflow.evaluate.overlap import overlap_with
from packflow.model import ModelConfig, PackFlow
from packflow.model.pretrained import record_of
from packflow.model.training_record import TrainingRecord, read_record
from packflow.model.weights import save_model
from packflow.structure import FlowSpace
from packflow.train.seen import record_of_split, seen_by


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    model = PackFlow(ModelConfig(32, 4, 64, 1, FlowSpace("packed")))

    def write(name, record=None):
        save_model(tmp_path / name, model, record=record)
        return tmp_path / name

    return write


def test_round_trip(weights):
    record = TrainingRecord.of(["CCO", "CC", "CCO"], ["graph"], complete=False)
    file = weights("a.safetensors", record)
    assert read_record(file) == record
    assert len(record.molecules) == 2
    assert read_record(weights("b.safetensors")) is None
    assert record | TrainingRecord.of(["N"], []) == TrainingRecord.of(["CC", "CCO", "N"], ["graph"], complete=False)


def test_size_of_many_molecules():
    record = TrainingRecord.of((str(k) for k in range(80_000)), ())
    assert len(record.molecules) == 80_000
    assert sum(map(len, record.metadata().values())) < 11 * 80_000


@pytest.mark.parametrize("text", ["not base64!", "AAAA"])
def test_damage_is_told(text, tmp_path):
    metadata = {**TrainingRecord.of(["C"], []).metadata(), "training_molecules": text}
    with pytest.raises(InputError, match="damaged record of its training molecules"):
        TrainingRecord.from_metadata(metadata, tmp_path / "x")


def test_what_was_seen_whatever_the_spelling():
    record = TrainingRecord.of(["CC(N)C(=O)O"], [family("CC(N)C(=O)O")])
    found = overlap_with(record, ["OC(=O)C(C)N", "C[C@H](N)C(=O)O", "c1ccccc1"])
    assert found.seen == ("OC(=O)C(C)N",)
    assert found.kin == ("C[C@H](N)C(=O)O",)
    assert len(found.warnings()) == 2
    assert not overlap_with(record, ["c1ccccc1"]).warnings()
    assert "no complete record" in overlap_with(None, ["C"]).warnings()[0]


def test_a_run_knows_its_training_molecules_and_what_came_before(dataset_folder, weights):
    dataset = CrystalDataset.open(dataset_folder)
    own = seen_by(dataset)
    trained, tested = ([dataset.smiles[k] for k in np.unique(dataset.molecule_index[dataset.indices(s)])] for s in ("train", "test"))
    assert set(overlap_with(own, trained).seen) == set(trained)
    assert not overlap_with(own, tested).seen
    before = weights("before.safetensors", TrainingRecord.of(tested, []))
    assert set(overlap_with(seen_by(dataset, str(before)), tested).seen) == set(tested)
    unknown = seen_by(dataset, str(weights("unknown.safetensors")))
    assert not unknown.complete
    assert unknown.molecules == own.molecules


def test_open_2m_has_its_record():
    record = record_of("open-2m")
    assert record.complete
    assert len(record.molecules) == 888


def test_convert_keeps_and_adds(dataset_folder, weights, tmp_path, capfd):
    source = weights("a.safetensors", TrainingRecord.of(["CCO"], []))
    assert main(["convert", str(source), str(tmp_path / "kept.safetensors")]) == 0
    assert read_record(tmp_path / "kept.safetensors") == read_record(source)
    added = str(tmp_path / "added.safetensors")
    assert main(["convert", str(source), added, "--half", "--trained-on", str(dataset_folder)]) == 0
    wanted = record_of_split(CrystalDataset.open(dataset_folder)) | TrainingRecord.of(["CCO"], [])
    assert read_record(tmp_path / "added.safetensors") == wanted
    assert f"trained on: {len(wanted.molecules)} molecules" in capfd.readouterr().out
