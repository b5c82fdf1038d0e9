"""The installed weights: there, small, described, and better than noise."""

from pathlib import Path

import numpy as np
import pytest

import packflow
from packflow.metrics import clash_percent, density
from packflow.model.pretrained import WEIGHTS, pretrained_names
from packflow.model.weights import save_model
from packflow.structure import AtomsBatch, Molecule, Template

MAX_BYTES = 12_000_000
ASPIRIN = Template(Molecule.from_smiles("CC(=O)Oc1ccccc1C(=O)O"), 4)


def test_installed():
    assert pretrained_names() == ["open-2m", "packflow-open-pa"]
    installed = Path(packflow.__file__).parent / "weights"
    assert sum(path.stat().st_size for path in installed.iterdir()) <= MAX_BYTES


@pytest.mark.parametrize("word", ["## Data", "CC0", "Crystallography Open Database", "steps", "validation", "## Results", "## Licence"])
def test_every_model_has_its_card(word):
    for name in pretrained_names():
        assert word in (WEIGHTS / f"{name}.md").read_text()


def test_aspirin_looks_like_a_crystal():
    """Noise decoded as a crystal has 0.1 to 6 g/cm3 and hardly a bond of the right length."""
    proposals = packflow.sample(packflow.load("open-2m"), ASPIRIN, 6, seed=0)
    crystals = [p.crystal for p in proposals]
    assert all(not p.problem for p in proposals)
    atoms = AtomsBatch.from_crystals(crystals)
    assert 1.2 < density(atoms).median() < 1.6
    assert clash_percent(atoms).mean() < 15
    i, j = ASPIRIN.bond_index
    lengths = np.concatenate([np.linalg.norm(c.positions[i] - c.positions[j], axis=1) for c in crystals])
    assert np.median(lengths) == pytest.approx(1.4, abs=0.05)
    assert np.mean((lengths > 1.1) & (lengths < 1.7)) > 0.95


def test_the_aligned_model_clashes_less():
    """From the same noise; what it is worth over many molecules is in its card."""
    atoms = {
        name: AtomsBatch.from_crystals([p.crystal for p in packflow.sample(packflow.load(name), ASPIRIN, 16, seed=0)])
        for name in pretrained_names()
    }
    clash = {name: clash_percent(some).mean() for name, some in atoms.items()}
    assert clash["packflow-open-pa"] < clash["open-2m"]
    assert density(atoms["packflow-open-pa"]).mean() == pytest.approx(density(atoms["open-2m"]).mean().item(), rel=0.03)


def test_a_training_run_is_loaded_from_its_last_checkpoint(tmp_path):
    first, last = packflow.load(), packflow.load()
    last.head_lattice[2].bias.data.fill_(7.0)
    for name, model in (("step_00000010", first), ("step_00000020", last)):
        (tmp_path / name).mkdir()
        save_model(tmp_path / name / "model.safetensors", model)
    (tmp_path / "step_00000030.partial").mkdir()
    assert packflow.load(tmp_path).head_lattice[2].bias.eq(7.0).all()
