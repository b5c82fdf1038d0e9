"""What is in figures, and that both ways to draw them give files that stand alone."""

import math

import numpy as np
import pyarrow as pa
import pytest

import packflow
from packflow.errors import InputError
from packflow.evaluate.figures import write
from packflow.evaluate.figures.attention import atom_figure, distance_figure
from packflow.evaluate.figures.comparison import aligned_figure, both, efficiency_figure, tradeoff_figure
from packflow.evaluate.figures.geometry import bond_angles, bond_lengths, geometry_figure, niggli_lattice
from packflow.evaluate.figures.landscape import landscape_figure
from packflow.evaluate.figures.paper import paper_figures
from packflow.evaluate.figures.spec import Curve, Figure, Panel, Points, distribution
from packflow.evaluate.landscape import Landscape


@pytest.fixture(scope="module")
def benzene(urea_and_benzene):
    return next(case.crystals[0] for case in urea_and_benzene.cases if case.molecule == "c1ccccc1")


def test_geometry_of_benzene(benzene):
    assert bond_lengths(benzene) == pytest.approx(1.39, abs=0.02)
    assert len(bond_lengths(benzene)) == 6 * benzene.template.n_copies
    assert bond_angles(benzene) == pytest.approx(120, abs=1.5)
    assert len(bond_angles(benzene)) == 6 * benzene.template.n_copies


def test_a_lattice_has_one_niggli_cell():
    skewed = np.array([5.0, 5 * math.sqrt(2), 9.0, 90.0, 90.0, 45.0])
    assert niggli_lattice(skewed) == pytest.approx([5, 5, 9, 90, 90, 90])


def test_distribution_has_area_one():
    curve = distribution(np.array([0.5, 1.5, 1.6, 7.0]), np.array([1.0, 1.0, 2.0, 1.0]), np.array([0.0, 1.0, 3.0]))
    assert curve.x.tolist() == [0, 0, 1, 1, 3, 3]
    assert curve.y == pytest.approx([0, 0.25, 0.25, 0.375, 0.375, 0])


def test_geometry_figure_weighs_templates_alike(benzene, urea_and_benzene):
    urea = next(case.crystals[0] for case in urea_and_benzene.cases if case.molecule == "NC(N)=O")
    figure = geometry_figure([[benzene], [urea]], {"same": [[benzene] * 5, [urea]]})
    for panel in figure.panels:
        known, same = panel.items
        assert same.y == pytest.approx(known.y)
        assert known.y.max() > 0


def landscape(label="a", shift=0.0):
    energy = np.array([-10.0, -9.99, -9.9]) + shift
    arrays = {"density_before": np.array([1.1, 1.2, 1.0]), "energy_before": energy + 1, "density": np.array([1.4, 1.5, 1.3])}
    known = {"known": ("form I",), "known_density": np.array([1.45]), "known_energy": np.array([-10.02])}
    return Landscape(label, ("x", "y", "z"), **arrays, energy=energy, **known, n_left_out=1)


def test_landscape_is_above_the_lowest_of_all():
    figure = landscape_figure([landscape(), landscape("b", 0.05)])
    before, after, near = figure.panels
    assert [item.label for item in after.items] == ["a", "b", "measured form, relaxed"]
    assert after.items[2].y == pytest.approx([0.0])
    assert after.items[0].y == pytest.approx(96.485 * np.array([0.02, 0.03, 0.12]), rel=1e-4)
    assert before.items[2].y[0] > before.y_range[0] > 0
    assert near.y_range[1] == 10.0
    with pytest.raises(InputError, match="landscapes must be given"):
        landscape_figure([])


def test_comparisons(made):
    first, other = made.evaluation.results
    curve = efficiency_figure([first, other]).panels[0].items[0]
    assert curve.x.tolist() == [1, 2, 3, 4]
    assert (np.diff(curve.y) <= 0).all()
    if not first.mean("failed").mean:
        assert curve.y[0] == pytest.approx(first.mean("amd_distance").mean)
    assert curve.y[-1] == pytest.approx(first.mean("amd_best").mean)
    points = aligned_figure(first, other).panels[0].items[0]
    assert points.x.mean() == pytest.approx(first.mean("clash_percent").mean)
    assert points.y.mean() == pytest.approx(other.mean("clash_percent").mean)
    x, y, names = both(first, first, "amd_distance")
    assert x.tolist() == y.tolist()
    assert names == made.test_set.molecules


def test_energy_and_force(made):
    first, other = made.evaluation.results
    if first.mean("force").mean is None:
        pytest.skip("no proposal of the random network has an energy")
    marks = tradeoff_figure([first, other]).panels[0].items
    assert marks[0].x[0] == pytest.approx(first.mean("energy_above_known").mean)
    assert marks[0].y[0] == pytest.approx(first.mean("force").mean)


def test_attention_figures(benzene):
    model = packflow.load("open-2m")
    within, between = distance_figure(model, [benzene]).panels
    assert [curve.label for curve in within.items[1:]] == ["t = 1", "t = 0.8", "t = 0.6", "t = 0.4", "t = 0.2", "t = 0.02"]
    # bonds are shorter than what is between molecules
    assert within.items[-1].x.min() < 1.5 < 3.0 < between.items[-1].x.min()
    assert within.items[-1].y.max() > 2
    picture, by_distance = atom_figure(model, benzene, atom=1).panels
    assert picture.bare
    n_copies = benzene.template.n_copies
    assert [len(item.x) for item in by_distance.items[1:]] == [5, 6 * (n_copies - 1) - (n_copies - 1), n_copies - 1]
    with pytest.raises(InputError, match="attention-atom must be from 0 to"):
        atom_figure(model, benzene, atom=1000)


def test_a_figure_that_cannot_be_drawn_keeps_no_other(made):
    warnings = []
    figures = paper_figures(made.evaluation, made.out, warnings.append, crystal="nothing")
    names = [figure.name for figure in figures]
    assert names[:3] == ["geometry", "sample_efficiency", "first_against_other"]
    assert "attention_distance" in names
    assert len(warnings) == 1
    assert warnings[0].startswith("no figure of attention of an atom: attention-crystal must be one of the test set")


EVERYTHING = Figure(
    "everything",
    "Everything",
    (
        Panel("lines", "x (Å)", "y", (Curve(np.arange(3.0), np.ones(3), "line", filled=True, low=np.zeros(3), high=2 * np.ones(3)),)),
        Panel("log", "x", "y", (Points(np.ones(2), np.ones(2), "named", names=["<a>", "b"]),), (0, 2), (0.5, 2), y_log=True),
        Panel("bare", "", "", (Points(np.arange(2.0), np.ones(2), values=np.arange(2.0), values_label="values"),), bare=True),
        Panel("diagonal", "x", "y", (Points(np.ones(1), np.ones(1), "text", marker="ring"),), (0, 2), (0, 2), diagonal=True),
    ),
)


def test_files(tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("plotly")
    image, page = write.write_figures([EVERYTHING], tmp_path / "figures")
    assert image.read_bytes().startswith(b"\x89PNG")
    text = page.read_text()
    assert 'src="plotly.min.js"' in text
    assert "http" not in text.replace("http://www.w3.org", "")
    assert (tmp_path / "figures" / "plotly.min.js").stat().st_size > 1e6


def test_packages_that_are_not_there(monkeypatch):
    monkeypatch.setattr(write, "find_spec", lambda name: None if name == "plotly" else object())
    with pytest.raises(InputError, match=r"figures need plotly: pip install 'packflow-csp\[figures\]'"):
        write.check_packages()


def test_energies_are_needed_for_the_trade(made):
    bare = [type(r)(r.engine, r.scores, pa.table({}), (), r.times, r.overlap) for r in made.evaluation.results]
    with pytest.raises(InputError, match="give --potential"):
        tradeoff_figure(bare)
