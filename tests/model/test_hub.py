"""Where released checkpoints are looked for: a path, the folder of an environment variable, the hub; nothing is fetched here."""

import sys
from types import SimpleNamespace

import pytest
import torch

import packflow
from packflow.errors import InputError
from packflow.model.hub import FOLDER_VARIABLE, RELEASED
from packflow.model.pretrained import load_with_origin

SIZES = (16, 2, 24, 1)
ON_THE_HUB = {
    "packflow-2m": "packflow-2M/best_model.pt",
    "packflow-20m": "packflow-20M/best_model.pt",
    "packflow-60m": "packflow-ddp/best_model.pt",
    "packflow-pa": "packflow-pa/best_model.pt",
}


@pytest.fixture
def write(official_shapes, official_state, official_file):
    """A function that writes a small checkpoint with weights of a seed."""
    return lambda path, seed: official_file(path, official_state(official_shapes(*SIZES), seed))


@pytest.fixture
def hub(monkeypatch, tmp_path, write):
    """What was asked of a hub that has everything; the weights depend on the name."""
    asked = []

    def hf_hub_download(repo_id, filename):
        asked.append((repo_id, filename))
        return str(write(tmp_path / "cache" / filename, list(ON_THE_HUB.values()).index(filename)))

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(hf_hub_download=hf_hub_download))
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    return asked


def same(model, other):
    return all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("name", ON_THE_HUB)
def test_from_the_hub(hub, name, tmp_path):
    model, origin = load_with_origin(name)
    assert hub == [("aksub99/packflow-checkpoints", ON_THE_HUB[name])]
    assert same(model, packflow.load(tmp_path / "cache" / ON_THE_HUB[name]))
    assert origin.source == f"aksub99/packflow-checkpoints, {ON_THE_HUB[name]}"
    assert "CC BY-NC 4.0" in origin.licence


def test_every_released_name_is_tested():
    assert ON_THE_HUB.keys() == RELEASED.keys()


def test_spelling_of_the_repository(hub):
    packflow.load("packflow-2M")
    assert hub == [("aksub99/packflow-checkpoints", "packflow-2M/best_model.pt")]


@pytest.mark.parametrize("folder", ["packflow-ddp", "packflow-60M"])
def test_the_variable_comes_before_the_hub(hub, write, tmp_path, monkeypatch, folder):
    file = write(tmp_path / "mine" / folder / "best_model.pt", 11)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "mine"))
    assert same(packflow.load("packflow-60m"), packflow.load(file))
    assert hub == []
    packflow.load("packflow-pa")  # not in the folder
    assert hub == [("aksub99/packflow-checkpoints", "packflow-pa/best_model.pt")]


def test_a_path_comes_first(hub, write, tmp_path, monkeypatch):
    file = write(tmp_path / "packflow-2m" / "best_model.pt", 12)
    write(tmp_path / "mine" / "packflow-2M" / "best_model.pt", 11)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "mine"))
    assert same(packflow.load("packflow-2m"), packflow.load(file))
    assert hub == []


def test_a_variable_that_names_no_folder(hub, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, "/nowhere")
    with pytest.raises(InputError, match="PACKFLOW_CHECKPOINT_DIR must name a folder, got '/nowhere'"):
        packflow.load("packflow-2m")
    assert hub == []


def test_without_huggingface_hub(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        InputError, match=r"pip install huggingface_hub, or set PACKFLOW_CHECKPOINT_DIR .*packflow-ddp/best_model.pt"
    ) as error:
        packflow.load("packflow-60m")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("reason", ["no connection\nand more", ""], ids=["two lines", "no words"])
def test_a_hub_that_does_not_answer(hub, monkeypatch, reason):
    def fail(repo_id, filename):
        raise FileNotFoundError(reason)  # the base of what huggingface_hub raises offline

    monkeypatch.setattr(sys.modules["huggingface_hub"], "hf_hub_download", fail)
    with pytest.raises(
        InputError, match=r"cannot be fetched from aksub99/packflow-checkpoints \((no connection|FileNotFoundError)\)"
    ) as error:
        packflow.load("packflow-20m")
    assert "\n" not in str(error.value)


def test_an_unknown_name(hub):
    with pytest.raises(InputError, match=r"'packflow-80m' is neither installed or released .*open-2m.*packflow-pa"):
        packflow.load("packflow-80m")
    assert hub == []
