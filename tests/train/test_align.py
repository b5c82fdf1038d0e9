"""Alignment runs: updates in the right direction, failures, exact continuation, refusals before the work."""

import csv
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass, field, replace

import pytest
import torch

import packflow
from packflow.errors import InputError
from packflow.flow.draws import Draw
from packflow.flow.sampler import Proposal
from packflow.model.weights import from_dict, save_model
from packflow.potential.foreign import PreparedForeign
from packflow.potential.interface import Evaluation
from packflow.train import alignment
from packflow.train import rollout as rollout_module
from packflow.train.align_config import AlignConfig, RewardConfig
from packflow.train.align_recipes import ALIGN_RECIPES, align_60m, align_tiny
from packflow.train.align_step import align_step, known_lessons, learn, own_share, parts, proposal_lessons, surrogate
from packflow.train.alignment import align, start
from packflow.train.checkpoint import checkpoints_in, read_config_of, read_tensors
from packflow.train.config import OptimConfig
from packflow.train.grpo import main
from packflow.train.initial import random_model
from packflow.train.log import RunLog
from packflow.train.recipes import tiny
from packflow.train.rewards import Rewards
from packflow.train.rollout import draws_of_iteration, judged, n_relaxed_groups, proposals_of

FILES = ("model.safetensors", "ema.safetensors", "optimizer.safetensors", "reference.safetensors")


@dataclass
class Moody:
    """Energies and forces that grow with the distance from the origin, but NaN for crystals with these numbers of atoms."""

    bad: tuple = ()
    name: str = "moody"
    cutoff: float = 3.0
    max_atoms: int = 1000
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def prepare(self, batch):
        return PreparedForeign(self, batch, ["too moody" if n in self.bad else "" for n in batch.sizes.tolist()])

    def compute(self, batch):
        square = torch.zeros(len(batch), dtype=torch.float64).index_add(0, batch.structure_index, batch.positions.square().sum(1))
        return Evaluation(square, -2 * batch.positions, torch.zeros(len(batch), 3, 3, dtype=torch.float64), [""] * len(batch))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Of a small network."""
    file = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_model(file, random_model(tiny()))
    return str(file)


@pytest.fixture
def config(weights):
    """Two iterations of three groups; heavy atoms alone, as Moody allows."""
    base, optim = align_tiny(), OptimConfig(learning_rate=1e-4, weight_decay=0.0, ema_decay=0.5)
    return replace(base, init=weights, n_templates=3, rewards=RewardConfig(hydrogens="none"), optim=optim)


@pytest.fixture
def moody(monkeypatch):
    """Put a Moody in the place of the potential."""

    def install(*bad):
        monkeypatch.setattr(alignment, "potential_of", lambda name, device: Moody(bad))

    install()
    return install


def tensors_of(checkpoint):
    return {f"{file}:{key}": value for file in FILES for key, value in read_tensors(checkpoint / file)[0].items()}


def rows_of(out):
    with (out / "metrics.csv").open(newline="") as file:
        return [{key: value for key, value in row.items() if not key.startswith("seconds")} for row in csv.DictReader(file)]


def lessons(run):
    """Those of the run's first iteration, proposal k of n having an advantage between -1 and 1."""
    config, model = run.config, run.state.model
    draws, known = draws_of_iteration(run.pool, config.seed, 0, config.n_templates, config.group_size)
    rollout = judged(proposals_of(model, draws, config.sample, 4096), draws, known, model.config.space, run.potential, config.rewards)
    return proposal_lessons(run, rollout, range(len(draws)), torch.linspace(-1, 1, len(draws))), known_lessons(run, rollout)


def test_a_run_with_mmff_changes_the_weights_and_tells_of_it(source, tmp_path):
    result = align(align_tiny(), source, tmp_path / "run")
    assert (result.step, result.checkpoint.name) == (2, "step_00000002")
    rows = rows_of(tmp_path / "run")
    assert [row["step"] for row in rows] == ["0", "1", "2"]
    assert all(float(row["divergence"]) >= 0 for row in rows[1:])
    assert all(row["validation/clash"] for row in (rows[0], rows[2]))
    tensors = tensors_of(result.checkpoint)
    assert any(not torch.equal(tensors[f"model.safetensors:{key}"], value) for key, value in packflow.load().state_dict().items())
    assert all(torch.equal(tensors[f"reference.safetensors:{key}"], value) for key, value in packflow.load().state_dict().items())
    assert packflow.load(tmp_path / "run").config == packflow.load().config


def test_a_resumed_run_is_the_straight_run_to_the_last_bit(config, source, tmp_path, moody, monkeypatch):
    config = replace(config, n_steps=4)
    straight = align(config, source, tmp_path / "straight")
    advance = RunLog.advance

    def interrupted(self, done, values):
        advance(self, done, values)
        if done == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(RunLog, "advance", interrupted)
    half = align(config, source, tmp_path / "run")
    assert (half.step, half.stopped_by) == (2, signal.SIGINT)
    monkeypatch.setattr(RunLog, "advance", advance)
    resumed = align(read_config_of(half.checkpoint, AlignConfig), source, tmp_path / "run", half.checkpoint)
    ours, theirs = tensors_of(resumed.checkpoint), tensors_of(straight.checkpoint)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert rows_of(tmp_path / "run") == rows_of(tmp_path / "straight")


def test_one_update_makes_better_proposals_likelier(config, source, moody):
    run, _ = start(replace(config, beta=0.0, n_epochs=1), source, None, "cpu")
    [lesson], _ = lessons(run)
    with torch.no_grad():
        before = surrogate(run, run.state.model, lesson.draws)
    [[first]], _ = learn(run, [lesson], [], len(before))
    assert torch.equal(first.ratio, torch.ones_like(before))  # the weights that sampled
    assert torch.equal(first.divergence, torch.zeros_like(before))  # and the reference; known where it does not count too
    with torch.no_grad():
        gain = before - surrogate(run, run.state.model, lesson.draws)
    assert (gain * lesson.advantages).mean() > 0


def test_the_divergence_holds_the_weights(config, source, moody):
    """The same epochs, with and without it."""
    moved = {}
    for beta in (0.0, 100.0):
        run, _ = start(replace(config, beta=beta, n_epochs=6), source, None, "cpu")
        [lesson], _ = lessons(run)
        learn(run, [lesson], [], len(lesson.advantages))
        with torch.no_grad():
            moved[beta] = (surrogate(run, run.state.model, lesson.draws) - surrogate(run, run.reference, lesson.draws)).abs().mean().item()
    assert moved[100.0] < moved[0.0] / 2


def test_an_anchor_makes_known_crystals_likelier(config, source, moody):
    run, _ = start(replace(config, beta=0.0, n_epochs=4, anchor=5.0), source, None, "cpu")
    [lesson], [anchor] = lessons(run)
    assert anchor.advantages.tolist() == [5.0] * config.n_templates
    with torch.no_grad():
        before = surrogate(run, run.state.model, anchor.draws)
    epochs, _ = learn(run, [lesson], [anchor], len(lesson.advantages))
    assert [len(found) for found in epochs] == [1] * 4  # what is told is of proposals
    with torch.no_grad():
        assert surrogate(run, run.state.model, anchor.draws).mean() < before.mean()
    run, _ = start(config, source, None, "cpu")
    assert lessons(run)[1] == []


def test_some_groups_of_some_iterations_are_judged_with_relaxed_hydrogens(source, weights, monkeypatch):
    """Two of the first group of every second iteration."""
    config = RewardConfig(hydrogens="united", relaxed_every=2, relaxed_share=0.3, ranks=True)
    assert [n_relaxed_groups(config, step, 4) for step in range(4)] == [0, 1, 0, 1]
    assert [n_relaxed_groups(replace(config, relaxed_share=share), 1, 4) for share in (0.0, 0.5, 1.0)] == [1, 2, 4]
    asked = []

    def noting(crystals, potential, channels, hydrogens, densities, groups):
        asked.append((hydrogens, list(groups)))
        return Rewards(torch.zeros(len(crystals), len(channels), dtype=torch.float64), channels, [""] * len(crystals))

    monkeypatch.setattr(rollout_module, "rewards_of", noting)
    known = [source[0], source[1]]
    proposals = [Proposal(crystal, k, 0) for k, crystal in enumerate([source[0]] * 3 + [source[1]] * 3)]
    draws = [Draw(p.crystal.template, p.index, 0) for p in proposals]
    judged(proposals, draws, known, packflow.load(weights).config.space, Moody(), config, n_relaxed=1)
    assert sorted(asked) == [("relaxed", [0, 0, 0]), ("united", [1, 1, 1])]


def test_parts_of_an_iteration_add_up(config, source, moody):
    """A budget of atoms changes the memory, not the update."""
    weights = []
    for max_atoms in (4096, 10):
        run, _ = start(replace(config, max_atoms=max_atoms, n_epochs=1), source, None, "cpu")
        plain = [torch.optim.SGD(run.state.model.parameters(), 1.0)]  # Adam makes as much of rounding as of a gradient
        run = replace(run, state=replace(run.state, optimizers=plain))
        found, _ = lessons(run)
        learn(run, found, [], sum(len(lesson.advantages) for lesson in found))
        weights.append([p.detach().clone() for p in run.state.model.parameters()])
    assert len(found) > 1
    for one, other in zip(*weights, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    assert parts([(0, 4), (1, 6), (2, 11), (3, 1)], 10) == [[0, 1], [2], [3]]


def test_groups_without_two_rewards_are_skipped_and_counted(config, source, moody):
    sizes = set(source.n_atoms.tolist())
    moody(*sizes)
    run, _ = start(config, source, None, "cpu")
    before = [p.detach().clone() for p in run.state.model.parameters()]
    report = align_step(run)
    assert (report.values["failed"], report.values["skipped"]) == (1.0, 1.0)
    assert all(torch.equal(p, q) for p, q in zip(run.state.model.parameters(), before, strict=True))
    assert run.state.progress.step == 1
    moody(min(sizes))
    run, _ = start(replace(config, n_templates=12), source, None, "cpu")
    report = align_step(run)
    assert 0 < report.values["skipped"] <= report.values["failed"] < 1
    assert report.values["gradient_norm"] > 0


def test_processes_share_the_groups(config):
    @dataclass
    class Fabric:
        world_size: int
        global_rank: int

    @dataclass
    class Run:
        config: AlignConfig
        fabric: Fabric

    draws, known = list(range(15)), list("abcde")
    shares = [own_share(Run(config, Fabric(2, rank)), draws, known) for rank in (0, 1)]
    assert shares == [([0, 1, 2, 6, 7, 8, 12, 13, 14], ["a", "c", "e"]), ([3, 4, 5, 9, 10, 11], ["b", "d"])]


@pytest.mark.slow
def test_two_processes_are_one_process(dataset_folder, tmp_path):
    options = [
        "--recipe",
        "align-tiny",
        "--data",
        str(dataset_folder),
        "--threads",
        "1",
        "--device",
        "cpu",
        "--optim.learning_rate",
        "1e-4",
    ]
    assert main([*options, "--out", str(tmp_path / "one")]) == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "packflow.train.grpo"]
    done = subprocess.run([*torchrun, *options, "--out", str(tmp_path / "two")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    one, two = (tensors_of(checkpoints_in(tmp_path / name)[-1]) for name in ("one", "two"))
    start = packflow.load().state_dict()
    ours, theirs = (torch.cat([some[f"model.safetensors:{key}"].flatten() for key in start]) for some in (one, two))
    moved = ours - torch.cat([value.flatten() for value in start.values()])
    # not weight by weight: Adam moves those without a gradient by the sign of its rounding
    assert (ours - theirs).norm() < 0.05 * moved.norm()
    for ours, theirs in zip(rows_of(tmp_path / "one"), rows_of(tmp_path / "two"), strict=True):
        assert {k: float(v) for k, v in ours.items() if v} == pytest.approx({k: float(v) for k, v in theirs.items() if v}, rel=1e-2)


def test_a_reference_of_another_network_is_refused(config, source, tmp_path):
    with pytest.raises(InputError, match=r"reference must be weights of the same network as init .*tiny\.safetensors, got open-2m"):
        align(replace(config, reference="open-2m", rewards=RewardConfig()), source, tmp_path / "run")
    with pytest.raises(InputError, match="model 'nothing' is neither installed"):
        align(replace(config, init="nothing", rewards=RewardConfig()), source, tmp_path / "run")


def test_a_missing_potential_is_refused(config, source, tmp_path):
    with pytest.raises(InputError, match="potential must be one of mmff"):
        align(replace(config, rewards=RewardConfig("mmf")), source, tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.csv").exists()


def test_a_potential_that_needs_hydrogens_is_refused_before_the_first_iteration(config, source, tmp_path):
    with pytest.raises(InputError, match="hydrogens 'none' needs a potential that sees atoms alone"):
        align(config, source, tmp_path / "run")
    assert checkpoints_in(tmp_path / "run") == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--recipe", "align2m"], "did you mean align-2m?"),
        (["--group_size", "1"], "group_size must be at least 2"),
        (["--rewards.energy_share", "1.5"], "rewards.energy_share must be from 0 to 1, got 1.5"),
        (["--rewards.clash", "0.6", "--rewards.bonds", "0.6"], "at most 1 together, got clash 0.6, bonds 0.6"),
        (["--rewards.hydrogens", "some"], "rewards.hydrogens"),
        (["--rewards.densities", "some"], "rewards.densities"),
        (["--rewards.relaxed_every", "-1"], "rewards.relaxed_every must be 0 or more"),
        (["--beta", "-1"], "beta must be 0 or above"),
        (["--bta", "1"], "option --bta is unknown: did you mean --beta?"),
        ([], "a run needs --data"),
    ],
)
def test_mistakes_are_one_line_and_status_2(words, message, capsys):
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("packflow align: ")
    assert message in error
    assert error.count("\n") == 1


def test_the_recipe_of_the_paper_is_its_table_4():
    config = align_60m()
    assert (config.max_templates, config.group_size, config.sample.n_steps, config.sample.tempering) == (8000, 8, 200, 1.0)
    assert (config.advantage_epsilon, config.advantage_clip, config.n_epochs, config.ratio_clip, config.beta) == (1e-8, 5.0, 4, 0.2, 1.0)
    assert (config.n_steps * config.n_templates, config.n_templates) == (100 * 8000, 16)
    optim = config.optim
    assert (optim.name, optim.learning_rate, optim.weight_decay, optim.clip_norm, optim.warmup_steps) == ("adamw", 3e-7, 0.0, 1.0, 0)
    assert (config.rewards.potential, config.rewards.hydrogens, config.loss.lattice_weight, config.time.shared) == (
        "uma",
        "none",
        1.0,
        True,
    )
    assert RewardConfig(energy_share=0.5).weights == {"energy": 0.5, "force": 0.5}
    assert RewardConfig(energy_share=0.25, clash=0.2).weights == pytest.approx({"energy": 0.2, "force": 0.6, "clash": 0.2})


def test_a_recipe_survives_its_checkpoint(tmp_path):
    for recipe in ALIGN_RECIPES.values():
        assert from_dict(AlignConfig, asdict(recipe()), tmp_path) == recipe()


def test_what_cannot_change_on_resume(source, config, tmp_path, moody, capsys, dataset_folder):
    align(config, source, tmp_path / "run")
    place = ["--data", str(dataset_folder), "--out", str(tmp_path / "run")]
    assert main([*place, "--resume", "auto", "--init", "elsewhere"]) == 2
    assert "that of a resumed run cannot change, got elsewhere" in capsys.readouterr().err
    assert main([*place, "--resume", "auto", "--recipe", "align-2m"]) == 2
    assert "is of recipe align-tiny, not align-2m" in capsys.readouterr().err
    assert main(place) == 2
    assert "holds another run" in capsys.readouterr().err
