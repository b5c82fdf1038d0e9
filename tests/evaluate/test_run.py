"""Engines sampled, judged and written; the same call continues."""

import csv
import json

import pyarrow.parquet as pq
import pytest
import torch

from packflow.cli import main
from packflow.errors import InputError
from packflow.evaluate.result_files import markdown, write_results
from packflow.evaluate.run import evaluate_engines
from packflow.evaluate.sampled import SamplingOptions, proposals_by_case
from packflow.evaluate.scores import ScoreOptions
from packflow.flow.sampler import SampleConfig
from packflow.metrics import amd_distance, density_error_percent
from packflow.metrics.compat import released_metrics
from packflow.proposal_table import crystal_of
from packflow.structure import AtomsBatch

SAMPLING = SamplingOptions(2)


def test_scores_are_the_metrics_of_the_proposals_in_the_store(made):
    result = made.evaluation.results[0]
    for case, rows in proposals_by_case(made.out / "engines" / result.engine.label, made.test_set.cases):
        atoms = AtomsBatch.from_crystals([crystal_of(row) for row in rows])
        known = AtomsBatch.from_crystals(list(case.crystals) * len(rows))
        scores = [row for row in result.scores.to_pylist() if row["case"] == case.name]
        assert [row["index"] for row in scores] == [0, 1, 2, 3]
        metrics = {"amd_distance": amd_distance, "density_error_percent": density_error_percent}
        for column, values in ((column, metric(atoms, known)) for column, metric in metrics.items()):
            wanted = [None if value != value else pytest.approx(value, abs=1e-9) for value in values.tolist()]
            assert [row[column] for row in scores] == wanted


def test_released_averages_are_means_over_crystals(made):
    result = made.evaluation.results[1]
    means = []
    for case in made.test_set.cases:
        numbers = []
        for _, rows in proposals_by_case(made.out / "engines" / result.engine.label, [case]):
            for one in map(crystal_of, rows):
                pair = (one.template.atomic_numbers, one.positions, one.lattice, case.crystals[0].positions, case.crystals[0].lattice)
                numbers.append(released_metrics(*map(torch.from_numpy, pair))["amd_linf"])
        means.append(sum(numbers) / len(numbers))
    assert result.mean("released_amd_linf").mean == pytest.approx(sum(means) / len(means))


def test_what_was_seen_is_said_and_what_fails_keeps_no_other(made):
    first, other = made.evaluation.results
    assert first.overlap.seen == ("NC(N)=O",)
    assert first.overlap.known
    assert any("TRAINED ON 1 of the 2 test molecules (NC(N)=O)" in warning for warning in made.warnings)
    assert not other.overlap.known
    assert list(made.evaluation.problems) == ["nothing"]
    assert "neither installed or released" in made.evaluation.problems["nothing"]


def test_the_same_call_continues(made, monkeypatch):
    def never(*_):
        raise AssertionError("scores are computed again")

    monkeypatch.setattr("packflow.evaluate.scores.pair_scores", never)
    sampling = SamplingOptions(4, config=SampleConfig(3))
    again = evaluate_engines(
        made.test_set, made.engines[:1], made.out, sampling, ScoreOptions(pdd=True, compat=True, potential="mmff"), progress=False
    )
    assert again.results[0].times == made.evaluation.results[0].times
    assert again.results[0].times.n_timed == 8
    assert again.results[0].means == made.evaluation.results[0].means
    with pytest.raises(InputError, match="was begun with n_steps 3, got 4"):
        evaluate_engines(made.test_set, made.engines[:1], made.out, SamplingOptions(4, config=SampleConfig(4)), progress=False)
    # other options are other scores
    with pytest.raises(AssertionError, match="again"):
        evaluate_engines(made.test_set, made.engines[:1], made.out, sampling, ScoreOptions(rmsd=False), progress=False)


def test_baselines(made, tmp_path):
    found = evaluate_engines(made.test_set, ["random", "rigid-press"], tmp_path, SAMPLING, ScoreOptions(rmsd=False), progress=False)
    assert not found.problems
    for result in found.results:
        assert result.overlap.known
        assert not result.overlap.warnings()
        assert result.mean("bonds_valid_percent").mean == 100


def test_files(made, tmp_path):
    paths = write_results(made.evaluation, tmp_path, {"n_samples": 4})
    assert [path.name for path in paths] == ["evaluation.md", "evaluation.csv", "evaluation.json", "crystals.csv"]
    text = paths[0].read_text()
    assert text.index("TRAINED ON") < text.index("## Table 2 of the paper") < text.index("as the released code averages")
    assert "nothing could not be evaluated" in text
    with paths[1].open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    found = {(row["engine"], row["metric"]): float(row["mean"]) for row in rows if row["mean"]}
    for result in made.evaluation.results:
        for mean in result.means:
            if mean.mean is not None:
                assert found[result.engine.label, mean.metric] == pytest.approx(mean.mean)
    loaded = json.loads(paths[2].read_text())
    assert [engine["label"] for engine in loaded["engines"]] == ["first", "other"]
    assert loaded["engines"][0]["overlap"]["seen"] == ["NC(N)=O"]
    with paths[3].open(newline="") as lines:
        assert len(list(csv.DictReader(lines))) == 2 * made.test_set.n_references


def test_best_of_a_column_is_bold(made):
    lines = markdown(made.evaluation, {}).splitlines()
    start = lines.index("## Table 2 of the paper") + 4
    heading, _, *rows = (line.split(" | ") for line in lines[start : start + 4])
    column = next(k for k, text in enumerate(heading) if text.startswith("AMD"))
    cells = [row[column].strip(" |") for row in rows]
    numbers = [float(text.strip("*")) for text in cells]
    assert [text.startswith("**") for text in cells] == [number == min(numbers) for number in numbers]


def test_command(dataset_folder, network, tmp_path, capfd):
    words = ["evaluate", str(dataset_folder), "--out", str(tmp_path), "--n-samples", "2", "--n-steps", "2", "--max-molecules", "1"]
    assert main([*words, "--engine", network("first"), "--threads", "1", "--no-rmsd"]) == 0
    captured = capfd.readouterr()
    assert "| engine |" in captured.out
    assert "WARNING: engine first: its weights have no complete record" in captured.err
    scores = next((tmp_path / "engines" / "first" / "scores").glob("*.parquet"))
    assert "n_matched" not in pq.read_schema(scores).names
    assert main([*words, "--engine", "first=nothing-there", "--threads", "1"]) == 2
    assert "no engine could be evaluated" in capfd.readouterr().err
    assert main([*words, "--executor", "processes", "--workers", "0"]) == 2
    assert "--workers must be at least 1, got 0" in capfd.readouterr().err
    assert main([*words, "--predicted", "x"]) == 2
    assert "--predicted is for --figures" in capfd.readouterr().err
