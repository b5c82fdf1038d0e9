"""How well cheap advantages agree with costly ones."""

import csv
import json
import math

import numpy as np
import pytest
import torch

from packflow.cli.proxy_check import proxy_check_parser, run_proxy_check, templates_of
from packflow.data.dataset import CrystalDataset, write_dataset
from packflow.errors import InputError
from packflow.flow.sampler import SampleConfig, sample
from packflow.model.pretrained import load
from packflow.potential.mmff import Mmff
from packflow.structure import Crystal, Molecule, Template
from packflow.train.proxy_check import Scorer, agreements_of, mean_and_error, proxy_check, seed_of
from packflow.train.scores import riding_scores

QUICK = SampleConfig(n_steps=3, solver="euler")
TEMPLATES = [Template(Molecule.from_smiles(smiles), 2) for smiles in ("OCCO", "NC(N)=O")]


@pytest.fixture(scope="module")
def model():
    return load("open-2m")


def test_agreement_is_the_paper_s_cosine_and_share_of_signs():
    rewards = torch.randn(6, 5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    others = rewards + torch.randn(6, 5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = agreements_of(rewards, others, (0.0, 0.3))
    for row in found:
        cosines, signs = [], []
        for a, b in zip(rewards.numpy(), others.numpy(), strict=True):
            one, two = ((x - x.mean(0)) / x.std(0) @ [row.weight, 1 - row.weight] for x in (a, b))
            cosines.append(one @ two / np.linalg.norm(one) / np.linalg.norm(two))
            signs.append(np.mean(np.sign(one) == np.sign(two)))
        assert row.alignment == pytest.approx(np.mean(cosines))
        assert row.alignment_error == pytest.approx(np.std(cosines, ddof=1) / math.sqrt(6))
        assert row.sign == pytest.approx(np.mean(signs))
        assert (row.n_groups, row.n_skipped) == (6, 0)
    same = agreements_of(rewards, 3 * rewards + 1)
    assert [row.weight for row in same] == [0.0, 0.5, 1.0]
    assert [row.alignment for row in same] == pytest.approx([1.0] * 3)
    assert [row.sign for row in same] == [1.0] * 3


def test_groups_that_say_nothing_are_skipped_and_counted():
    rewards = torch.randn(4, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    full = rewards.clone()
    full[1, 1:] = torch.nan  # one proposal left
    full[2] = 1.0  # no spread
    for row in agreements_of(rewards, full):
        assert (row.n_groups, row.n_skipped) == (2, 2)
        assert row.alignment == pytest.approx(1.0)
    (nothing,) = agreements_of(rewards[:1], full[2:3], (0.5,))
    assert nothing.n_groups == 0
    assert math.isnan(nothing.alignment)
    assert math.isnan(mean_and_error(torch.ones(1))[1])


def test_a_check_scores_the_same_proposals_twice(model):
    check = proxy_check(model, TEMPLATES, 4, 5, QUICK, Scorer(Mmff(), "riding"), Scorer(Mmff(), "relaxed"))
    for k, (template, group) in enumerate(zip(TEMPLATES, check.proxy, strict=True)):
        scores = riding_scores([p.crystal for p in sample(model, template, 4, seed_of(5, k), QUICK)], Mmff())
        torch.testing.assert_close(group, -torch.stack([scores.energy, scores.force], 1), rtol=1e-3, atol=1e-3, equal_nan=True)
    assert check.full.shape == (2, 4, 2)
    assert not torch.equal(check.proxy.nan_to_num(), check.full.nan_to_num())
    assert check.agreements == agreements_of(check.proxy, check.full)
    assert check.n_failed()[0] == int(check.proxy.isnan().all(2).sum())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"templates": []}, "templates must be"),
        ({"n_samples": 1}, "got 1"),
        ({"weights": [0.5, 1.5]}, "got 1.5"),
        ({"proxy": Scorer(Mmff(), "none")}, "mmff needs all"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_sampled(change, message):
    asked = {"templates": TEMPLATES, "n_samples": 2, "seed": 0, "proxy": Scorer(Mmff(), "riding")} | change
    with pytest.raises(InputError, match=message):
        proxy_check(None, config=QUICK, full=Scorer(Mmff(), "relaxed"), **asked)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Three crystals of two molecules, with two and four copies."""
    path = tmp_path_factory.mktemp("proxy") / "data"
    of_each = [(smiles, n) for smiles, n in (("OCCO", 2), ("OCCO", 4), ("OCCO", 2), ("NC(N)=O", 2))]
    crystals = []
    for k, (smiles, n_copies) in enumerate(of_each):
        template = Template(Molecule.from_smiles(smiles), n_copies)
        positions = np.random.default_rng(k).normal(size=(template.n_atoms, 3))
        crystals.append(Crystal(template, positions, np.array([9.0, 9.0, 9.0, 90.0, 90.0, 90.0])))
    columns = {"name": ["a", "b", "c", "d"], "split": ["test"] * 4}
    write_dataset(path, crystals, columns, {"smiles": [t.molecule.smiles for t in TEMPLATES]}, {}, {})
    return path


def test_templates_are_of_different_molecules_first(dataset):
    found = templates_of(CrystalDataset.open(dataset), "test", 10, 0, 100)
    assert {t.molecule.smiles for t in found[:2]} == {t.molecule.smiles for t in TEMPLATES}
    assert sorted(t.n_copies for t in found) == [2, 2, 4]
    assert len(templates_of(CrystalDataset.open(dataset), "test", 2, 0, 100)) == 2
    with pytest.raises(InputError, match="at most 100 heavy atoms, got none in 'train'"):
        templates_of(CrystalDataset.open(dataset), "train", 2, 0, 100)


def test_the_command_writes_what_it_shows(dataset, tmp_path, capsys):
    quick = ["--n-samples", "3", "--n-steps", "3", "--solver", "euler", "--threads", "1"]
    for name in ("found.json", "found.csv"):
        run_proxy_check(proxy_check_parser().parse_args(["--data", str(dataset), "--out", str(tmp_path / name), *quick]))
    shown = capsys.readouterr().out
    assert "0.793" in shown  # the paper's
    assert "3 groups of 3" in shown
    found = json.loads((tmp_path / "found.json").read_text())
    assert np.array(found["proxy"], dtype=float).shape == (3, 3, 2)
    with (tmp_path / "found.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["weight"]) for row in rows] == [0.0, 0.5, 1.0]
    assert [float(row["sign"]) for row in rows] == pytest.approx([row["sign"] for row in found["agreements"]])


@pytest.mark.parametrize(("option", "message"), [(["--proxy", "all"], "proxy must be"), (["--out", "x.txt"], "must end in .csv")])
def test_options_that_make_no_sense_are_refused(dataset, option, message):
    with pytest.raises(InputError, match=message):
        run_proxy_check(proxy_check_parser().parse_args(["--data", str(dataset), *option]))
