"""The text of a report page: data that decode to what they were made of, and names that stay names."""

import base64
import hashlib
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from packflow.report.html_page import html_page, script_safe
from packflow.report.html_payload import best_first, payload
from packflow.report.page import Facts, Listed, Overlay, Page, Reference

UREA = "NC(N)=O"
LATTICE = (5.0, 6.0, 7.0, 90.0, 95.0, 90.0)
EVIL = "</script><script>alert(1)</script><!--{{data}}"


def positions(n_atoms, seed=0):
    return np.random.default_rng(seed).normal(size=(n_atoms, 3)).astype(np.float32)


def row(name="urea#2-0", status="ranked", n_atoms=16, hydrogens=True, **values):
    return Listed(name, UREA, 2, status, "", values, LATTICE, positions(n_atoms), hydrogens)


def page(*listed, **facts):
    return Page(Facts("urea", len(listed), **facts), listed)


def decoded(made, max_listed=100):
    text, coordinates = payload(made, max_listed)
    return json.loads(text), coordinates


def test_coordinates_decode_one_structure_at_a_time():
    rows = (row("urea#2-0", rank=1), row("urea#2-1", "sampled", 8, False), row("urea#2-2", "failed"))
    rows = tuple(replace(one, positions=positions(len(one.positions), k)) for k, one in enumerate(rows))
    data, coordinates = decoded(page(*rows))
    assert data["columns"]["name"] == ["urea#2-0", "urea#2-1", "urea#2-2"]
    assert data["columns"]["first_atom"] == [0, 16, 24]
    for one, first in zip(rows, data["columns"]["first_atom"], strict=True):
        text = coordinates[16 * first : 16 * (first + len(one.positions))]
        found = np.frombuffer(base64.b64decode(text), "<f4").reshape(-1, 3)
        np.testing.assert_array_equal(found, one.positions)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"positions": None}, "it has no coordinates"),
        ({"lattice": None}, "it has no coordinates"),
        ({"positions": positions(15)}, "it has 15 atoms, its molecules have 16"),
        ({"positions": np.full((16, 3), np.nan, np.float32)}, "some of its atoms have no coordinates"),
        ({"lattice": (5.0, 6.0, 7.0, 90.0, 90.0, 180.0)}, "its cell has no volume"),
        ({"smiles": "not a molecule"}, "cannot be parsed"),
    ],
)
def test_what_cannot_be_shown_says_why_and_the_rest_goes_on(change, reason):
    data, _ = decoded(page(row(rank=1), replace(row("urea#2-1", rank=2), **change)))
    assert data["columns"]["first_atom"] == [0, None]
    assert reason in data["columns"]["not_shown"][1]
    assert data["columns"]["not_shown"][0] == ""


def test_best_first_of_each_molecule():
    rows = [row("a", "sampled"), row("b", rank=2), row("c", rank=1), replace(row("d", rank=1), smiles="CO"), row("e", "left out")]
    assert [one.name for one in best_first(rows, [UREA, "CO"])] == ["c", "d", "b", "a", "e"]


def test_more_than_are_listed_are_counted():
    data, coordinates = decoded(page(*(row(f"urea#2-{k}", rank=k + 1) for k in range(5))), 2)
    assert (data["n_listed"], data["n_proposals"]) == (2, 5)
    assert data["columns"]["rank"] == [1, 2]
    assert data["molecules"][0]["counts"]["ranked"] == 5
    assert len(coordinates) == 2 * 16 * 16


def test_rejected_by_stage_and_kind():
    flags = ("clash: 12 % of the atoms, above 5; density: 3.2 g/cm3, outside 0.7 to 3", "clash: 7 % of the atoms, above 5")
    rows = [replace(row(f"urea#2-{k}", "implausible"), reason=flags[k % 2]) for k in range(3)]
    rows += [replace(row("urea#2-3", "failed"), reason="relaxed: the cell left the range 0.25 to 4")]
    made = page(*rows, replaced={(UREA, "clash"): 9})
    found = [(group["stage"], group["reason"], group["n"]) for group in decoded(made)[0]["rejected"]]
    assert found == [
        ("replaced by a fresh sample", "clash", 9),
        ("sampling", "clash, density", 2),
        ("relaxation", "relaxed: the cell left the range to", 1),
        ("sampling", "clash", 1),
    ]


def test_numbers_that_are_not_finite_are_missing():
    data, _ = decoded(page(row(rank=1, density=float("nan"), relative_energy=1.23456789)))
    assert data["columns"]["density"] == [None]
    assert data["columns"]["relative_energy"] == [1.234568]


def test_overlays_and_references():
    reference = Reference("known", UREA, 2, 1.3, positions(16), np.eye(3) * 5, LATTICE)
    overlay = Overlay("urea#2-0", "known", 15, 0.1, np.eye(3), np.zeros(3), np.zeros((15, 4), dtype=np.int64))
    data, _ = decoded(replace(page(row(rank=1)), references=(reference,), overlays=(overlay,)))
    assert data["references"][0]["name"] == "known"
    assert data["overlays"]["urea#2-0"]["rotation"] == np.eye(3).ravel().tolist()


def test_names_never_become_html():
    made = page(replace(row(EVIL, rank=1), reason=EVIL, values={"space_group": EVIL}), names={UREA: EVIL}, problems=(EVIL,))
    text = html_page(replace(made, facts=replace(made.facts, title=EVIL)))
    assert "alert(1)</script>" not in text
    assert "<script>alert" not in text
    data = re.search(r'<script type="application/json" id="report-data">(.*?)</script>', text, re.DOTALL).group(1)
    assert json.loads(data)["columns"]["name"] == [EVIL]
    assert text.count("</script>") == 4


def test_policy_lets_run_what_is_in_the_page_and_nothing_else():
    text = html_page(page(row(rank=1)))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text).group(1)
    scripts = re.findall(r"<script(?: type=\"module\")?>(.*?)</script>", text, re.DOTALL)
    assert len(scripts) == 2
    for script in scripts:
        assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    assert "{{" not in re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert "University of Pittsburgh" in text


def test_script_safe():
    assert script_safe('a = "</script>"; b = "<!-- </SCRIPT"') == 'a = "<\\/script>"; b = "<\\!-- <\\/SCRIPT"'
