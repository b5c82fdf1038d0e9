"""Sampling and judging by several processes, folders that grow, and what is said of the time that it took."""

import json
from functools import partial

import pyarrow.parquet as pq
import pytest
import torch

from packflow.campaign.manifest import MANIFEST
from packflow.campaign.processes import processes
from packflow.campaign.store import shard_paths
from packflow.errors import InputError
from packflow.evaluate import judging, scores
from packflow.evaluate.engines import engine_name
from packflow.evaluate.judging import score_engine
from packflow.evaluate.result_files import paper_table, times_text
from packflow.evaluate.run import evaluate_engines
from packflow.evaluate.sampled import TIMES, SamplingOptions, Workers, proposals_by_case, sample_cases, stretches
from packflow.evaluate.scores import ScoreOptions
from packflow.evaluate.test_set import TestSet
from packflow.evaluate.times import Part, Times, read_times
from packflow.flow.sampler import SampleConfig

CONFIG = SampleConfig(3)
SCORING = ScoreOptions(rmsd=False)


def sampled(n_samples, **options):
    return SamplingOptions(n_samples, config=CONFIG, **options)


def without_time(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def test_processes_find_the_same(urea_and_benzene, network, tmp_path):
    engine, cases = engine_name(network("first", ["NC(N)=O"])), urea_and_benzene.cases
    tables, stores = [], []
    for name, executor, number in (("one", None, 1), ("two", partial(processes, n_workers=2, n_threads=1), 2)):
        workers = Workers(executor, number) if executor else Workers()
        times = sample_cases(engine, cases, tmp_path / name, sampled(4, max_atoms=16, workers=workers), progress=False)
        assert [(part.workers, part.threads, part.n_timed) for part in times.parts] == [(number, torch.get_num_threads(), 8)]
        assert times.per_proposal > 0
        tables.append(score_engine(tmp_path / name, cases, SCORING, progress=False, executor=executor))
        stores.append([without_time(rows) for _, rows in proposals_by_case(tmp_path / name, cases)])
    assert stores[0] == stores[1]
    assert tables[0].equals(tables[1])


@pytest.fixture
def grown(urea_and_benzene, network, tmp_path):
    """A folder of 3 proposals of each template, then asked for 5; and another of 5 at once."""
    engine, found = network("first", ["NC(N)=O"]), []
    for folder, numbers in (("grown", (3, 5)), ("at-once", (5,))):
        for number in numbers:
            found.append(evaluate_engines(urea_and_benzene, [engine], tmp_path / folder, sampled(number), SCORING, progress=False))
    return found, tmp_path, engine


def test_a_folder_grows(grown, urea_and_benzene, monkeypatch):
    (three, five, at_once), out, engine = grown
    folder = out / "grown" / "engines" / "first"
    assert [(stretch.first, stretch.number) for stretch in stretches(folder, 5)] == [(0, 3), (3, 2)]
    drop = ["packing", "digest"]
    assert five.results[0].scores.drop_columns(drop).equals(at_once.results[0].scores.drop_columns(drop))
    assert five.results[0].scores["packing"].equals(at_once.results[0].scores["packing"])
    assert five.results[0].times.n_timed == 10
    # a smaller number judges the first, and nothing is computed for it
    monkeypatch.setattr(scores, "pair_scores", lambda *_: pytest.fail("scores are computed again"))
    shards = [path.stat().st_mtime_ns for path in shard_paths(folder / "proposals")]
    again = evaluate_engines(urea_and_benzene, [engine], out / "grown", sampled(3), SCORING, progress=False)
    assert again.results[0].scores.equals(three.results[0].scores)
    assert again.results[0].crystals["n_proposals"].to_pylist() == [3, 3]
    assert [path.stat().st_mtime_ns for path in shard_paths(folder / "proposals")] == shards
    assert len(pq.read_table(next((folder / judging.SCORES).glob("*.parquet")))) == 5


def test_only_new_proposals_are_judged(grown, urea_and_benzene, monkeypatch):
    _, out, engine = grown
    judged = []
    real = scores.pair_scores

    def counted(rows, *rest):
        judged.append([row["index"] for row in rows])
        return real(rows, *rest)

    monkeypatch.setattr(scores, "pair_scores", counted)
    evaluate_engines(urea_and_benzene, [engine], out / "grown", sampled(6), SCORING, progress=False)
    assert judged == [[5], [5]]


def test_another_test_set_is_refused(grown, urea_and_benzene):
    _, out, engine = grown
    fewer = TestSet(urea_and_benzene.cases[:1])
    with pytest.raises(InputError, match="was begun with another test set"):
        evaluate_engines(fewer, [engine], out / "grown", sampled(3), SCORING, progress=False)


def test_damaged_files_are_named_and_made_again(grown, urea_and_benzene):
    (_, five, _), out, engine = grown
    folder = out / "grown" / "engines" / "first"
    file = next((folder / judging.SCORES).glob("*.parquet"))
    file.write_bytes(file.read_bytes()[:100])
    (folder / TIMES).write_text('{"parts": [{"workers": "two"}]}')
    said = []
    again = evaluate_engines(urea_and_benzene, [engine], out / "grown", sampled(5), SCORING, said.append, progress=False)
    assert again.results[0].scores.equals(five.results[0].scores)
    assert again.results[0].times == Times()
    assert [sentence.split(" is damaged")[0] for sentence in said if "TRAINED ON" not in sentence] == [
        f"engine first: {folder / TIMES}",
        f"engine first: {file}",
    ]
    assert len(pq.read_table(file)) == 5
    (folder / "proposals" / MANIFEST).write_text("{")
    with pytest.raises(InputError, match="no engine could be evaluated: first: "):
        evaluate_engines(urea_and_benzene, [engine], out / "grown", sampled(5), SCORING, progress=False)


def test_times_of_different_workers_stay_apart(made, tmp_path):
    file = tmp_path / TIMES
    file.write_text(json.dumps({"seconds": 8.0, "n_timed": 4}))
    assert read_times(file).per_proposal == 2
    times = read_times(file).plus(Part(2, 1, "cpu", 6.0, 3.5, 4)).plus(Part(2, 1, "cpu", 6.0, 3.5, 4))
    assert times.per_proposal == pytest.approx(20 / 12)
    assert times.text() == (
        "4 proposals by 1 worker (cpu), 2 s of a worker each, 8 s elapsed; "
        "8 proposals by 2 workers of 1 thread side by side (cpu), 1.5 s of a worker each, 7 s elapsed"
    )
    first, other = made.evaluation.results
    alike, mixed = ((first, other), (first, type(other)(other.engine, other.scores, other.crystals, other.means, times, other.overlap)))
    columns = (("seconds", "wall time, s", 9),)
    assert sum("**" in line for line in paper_table(alike, columns)) == 1
    assert sum("**" in line for line in paper_table(mixed, columns)) == 0
    assert "do not compare" in times_text(mixed)[-1]
    assert "do not compare" not in times_text(alike)[-1]
