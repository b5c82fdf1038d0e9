"""An evaluation of a random network on two small crystals, made once."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from packflow.evaluate.run import Evaluation, evaluate_engines
from packflow.evaluate.sampled import SamplingOptions
from packflow.evaluate.scores import ScoreOptions
from packflow.evaluate.test_set import TestSet, read_test_set
from packflow.flow.sampler import SampleConfig
from packflow.model import ModelConfig, PackFlow
from packflow.model.training_record import TrainingRecord
from packflow.model.weights import save_model
from packflow.structure import FlowSpace

SAMPLING = SamplingOptions(n_samples=4, config=SampleConfig(3))


@dataclass(frozen=True)
class Made:
    """What `evaluate_engines` was given and gave."""

    test_set: TestSet
    engines: list[str]
    out: Path
    evaluation: Evaluation
    warnings: list[str]


@pytest.fixture(scope="session")
def urea_and_benzene(cif_folder):
    """Two measured crystals."""
    found = read_test_set(cif_folder, table=cif_folder / "table.csv")
    wanted = ("NC(N)=O", "c1ccccc1")
    return TestSet(tuple(case for case in found.cases if case.molecule in wanted), found.left_out)


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    """A function that writes a random network that was trained on some molecules."""
    folder = tmp_path_factory.mktemp("networks")

    def write(name, molecules=None, seed=0):
        torch.manual_seed(seed)
        path = folder / f"{name}.safetensors"
        record = None if molecules is None else TrainingRecord.of(molecules, [])
        save_model(path, PackFlow(ModelConfig(32, 4, 64, 2, FlowSpace("packed"), center_noise=True)), record=record)
        return str(path)

    return write


@pytest.fixture(scope="session")
def made(urea_and_benzene, network, tmp_path_factory):
    """Two networks, of which one has seen urea, and a baseline that campaigns do not know."""
    out = tmp_path_factory.mktemp("evaluation")
    engines = [network("first", ["NC(N)=O"]), f"other={network('second', seed=1)}", "nothing=no-such-weights"]
    warnings = []
    scoring = ScoreOptions(pdd=True, compat=True, potential="mmff")
    evaluation = evaluate_engines(urea_and_benzene, engines, out, SAMPLING, scoring, warnings.append, progress=False)
    return Made(urea_and_benzene, engines, out, evaluation, warnings)
