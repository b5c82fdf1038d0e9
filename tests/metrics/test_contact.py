"""Contacts between molecules, by hand, and that the score tells crystals apart."""

from dataclasses import replace

import pytest
import torch

from packflow.metrics import contact_f1
from packflow.metrics.contact import contacts

CELL = torch.diag(torch.tensor([12.0, 12, 12]))


def test_contacts_by_hand(structure):
    """A C-O bond, and a C of another molecule 3.1 Å from the C, 4.3 Å from the O."""
    atoms = structure([6, 8, 6], [[0.0, 0, 0], [-1.2, 0, 0], [3.1, 0, 0]], CELL, [(0, 1)])
    found = 3 * contacts(atoms, torch.tensor([6, 8])).reshape(3, 18)
    # C-C at 3.1 Å: 60 % at 3.0 and 40 % at 3.25; C-O at 4.3 Å: 80 % at 4.25 and nothing at 4.5
    assert found[0].nonzero()[:, 0].tolist() == [12, 13]
    torch.testing.assert_close(found[0, 12:14], torch.tensor([0.6, 0.4], dtype=torch.float64))
    assert found[1].nonzero()[:, 0].tolist() == [17]
    assert found[1, 17].item() == pytest.approx(0.8)
    assert not found[2].any()


def test_score_by_hand(structure):
    """One contact of two is at the same distance."""
    p = structure([6, 6, 6], [[0.0, 0, 0], [3, 0, 0], [0, 3.5, 0]], CELL, [])
    q = structure([6, 6, 6], [[0.0, 0, 0], [3, 0, 0], [0, 4.0, 0]], CELL, [])
    assert contact_f1(p, q).item() == pytest.approx(0.5)


def test_a_molecule_and_its_own_image_are_in_contact(structure):
    """Two bonded atoms, and the images of both 4.0 Å away."""
    atoms = structure([6, 8], [[0.0, 0, 0], [0, 1.2, 0]], torch.diag(torch.tensor([4.0, 20, 20])), [(0, 1)])
    found = 2 * contacts(atoms, torch.tensor([6, 8])).reshape(3, 18)[:, 16:]
    # C-C and O-O at 4.0 Å; two C-O at 4.176 Å, of which 70 % are at 4.25
    d = (16 + 1.2**2) ** 0.5
    share = 4 * (d - 4.0)
    torch.testing.assert_close(found, torch.tensor([[1.0, 0], [2 * (1 - share), 2 * share], [1, 0]], dtype=torch.float64))


def test_long_molecule_in_a_short_cell(structure):
    """A chain longer than the cell: atom 3 is 4.5 Å along the chain from atom 0, and its image 0.6 Å next to it is another molecule."""
    chain = [[1.5 * k, 0.1 * k, 0.0] for k in range(4)]
    atoms = structure([6] * 4, chain, torch.diag(torch.tensor([4.2, 9, 9])), [(0, 1), (1, 2), (2, 3)])
    found = contacts(atoms, torch.tensor([6]))
    assert found[0, 1] > 0
    twice = [[x + 4.2 * n, y, z] for n in range(2) for x, y, z in chain]
    bonds = [(k + 4 * n, k + 1 + 4 * n) for n in range(2) for k in range(3)]
    doubled = structure([6] * 8, twice, torch.diag(torch.tensor([8.4, 9, 9])), bonds)
    torch.testing.assert_close(contacts(doubled, torch.tensor([6])), found)


def test_unknown_bonds_and_no_contacts(structure):
    near, far = [[0.0, 0, 0], [3, 0, 0]], [[0.0, 0, 0], [6, 0, 0]]
    unknown, single = structure([6, 6], near, CELL, None), structure([6, 6], far, CELL, [])
    known = structure([6, 6], near, CELL, [])
    assert contact_f1(unknown, known).isnan().all()
    assert contact_f1(single, single).isnan().all()
    assert contact_f1(single, known).item() == 0


def test_does_not_saturate(measured):
    """The released score of a random structure against another is 0.99."""
    generator = torch.Generator().manual_seed(0)

    def scattered():
        fractional = torch.rand(measured.positions.shape, generator=generator, dtype=torch.float64)
        return replace(measured, positions=torch.einsum("ni,nij->nj", fractional, measured.cell[measured.structure_index]))

    assert contact_f1(scattered(), measured).mean() < 0.6
    assert contact_f1(scattered(), scattered()).max() < 0.9


def test_falls_with_noise(measured):
    """Continuously, from 1."""
    noise = torch.randn(measured.positions.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scores = [contact_f1(replace(measured, positions=measured.positions + s * noise), measured).mean() for s in (0, 1e-6, 0.02, 0.1, 0.3)]
    assert scores[0] == pytest.approx(1, abs=1e-12)
    assert scores[1] == pytest.approx(1, abs=1e-5)
    assert scores == sorted(scores, reverse=True)
    assert scores[3] < 0.95
