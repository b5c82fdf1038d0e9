"""Groups that turn: which, where to when alone, away from clashes, towards acceptors, and nothing else."""

import itertools
import math

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem, rdMolTransforms

from packflow import Crystal, Molecule, Template
from packflow.relax.hydrogens import add_hydrogens
from packflow.relax.hydrogens_contacts import bond_depth, repulsion, straightness
from packflow.relax.hydrogens_molecule import hydrogen_table
from packflow.relax.rotor_costs import RotorCosts, turned
from packflow.relax.rotor_settle import Turns, settle, total_costs
from packflow.structure.full import full_mol
from packflow.structure.molecule import heavy_atom_mol

ROOMY = 30.0


def in_box(smiles: str, copies, side: float = ROOMY) -> Crystal:
    """Copies of a molecule, [n_heavy, 3] each, in a cubic cell."""
    template = Template(Molecule.from_smiles(smiles), len(copies))
    return Crystal(template, np.concatenate(copies), np.array([side, side, side, 90.0, 90, 90]))


def embedded(smiles: str, seed: int = 1) -> np.ndarray:
    mol = Chem.Mol(full_mol(smiles))
    AllChem.EmbedMolecule(mol, randomSeed=seed)
    return mol.GetConformer().GetPositions()[: heavy_atom_mol(smiles).GetNumAtoms()]


def hydrogenated(crystal, **options):
    (result,) = add_hydrogens([crystal], **options)
    assert result.problem == ""
    return result


def by_copy(result):
    return result.structure.positions.reshape(result.structure.template.n_copies, -1, 3)


def dihedral(smiles: str, x: np.ndarray, pattern: str) -> float:
    """Degrees, 0 to 180, of the first match of a SMARTS of four atoms with explicit hydrogens."""
    mol = Chem.Mol(full_mol(smiles))
    conformer = Chem.Conformer(len(x))
    conformer.SetPositions(np.ascontiguousarray(x))
    mol.AddConformer(conformer)
    return abs(rdMolTransforms.GetDihedralDeg(mol.GetConformer(), *mol.GetSubstructMatch(Chem.MolFromSmarts(pattern))))


ROTORS = {
    "CCO": {0: "120", 2: "360"},
    "CC(=O)O": {0: "120", 3: "360"},
    "C[NH3+]": {0: "120", 1: "120"},
    "CN": {0: "120", 1: "360"},
    "CNC": {0: "120", 1: "flip", 2: "120"},
    "CPC": {0: "120", 1: "flip", 2: "120"},
    "CC(N)=O": {0: "120"},
    "Nc1ccccc1": {},
    "NC(N)=O": {},
    "c1c[nH]cn1": {},
    "C=C": {},
    "CC=N": {0: "120"},
    "C#N": {},
    "CS": {0: "120", 1: "360"},
    "C[SiH3]": {0: "120", 1: "120"},
    "OB(O)c1ccccc1": {0: "360", 2: "360"},
    "O": {},
    "CC(C)[NH2+]C": {0: "120", 2: "120", 4: "120"},
    "OO": {0: "360", 1: "360"},
}


@pytest.mark.parametrize("smiles", ROTORS)
def test_what_turns(smiles):
    table = hydrogen_table(smiles)
    r = table.rotors
    assert {c: "flip" if f else f"{p:.0f}" for c, f, p in zip(r.centers.tolist(), r.flips, r.periods, strict=True)} == ROTORS[smiles]
    for rotor, center in enumerate(r.centers):
        assert table.bearer[r.of_atom == rotor].tolist() == [center] * int((r.of_atom == rotor).sum())
        assert r.of_atom[r.first[rotor]] == rotor
    assert (r.of_atom[table.bearer < 0] == -1).all()


BONDS = {
    "amide": ("CC(=O)NC", {1: 0.9}, {2: 1.0}),
    "carboxylic acid": ("CC(=O)O", {1: 1.0}, {2: 1.0, 3: 0.5}),
    "zwitterion": ("[NH3+]CC(=O)[O-]", {3: 1.35}, {3: 1.5, 4: 1.5}),
    "pyridine": ("c1ccncc1", {}, {3: 1.0}),
    "imidazole": ("c1c[nH]cn1", {1: 0.9}, {4: 1.0}),
    "nitro": ("C[N+](=O)[O-]", {}, {2: 0.4, 3: 0.4}),
    "aniline": ("Nc1ccc(Br)cc1", {2: 0.9}, {0: 0.5, 5: 0.2}),
}


@pytest.mark.parametrize(("smiles", "donors", "acceptors"), BONDS.values(), ids=BONDS)
def test_donors_and_acceptors(smiles, donors, acceptors):
    """How many hydrogens donate with which strength; which atoms accept."""
    table = hydrogen_table(smiles)
    assert sorted(table.donates[table.donates > 0].tolist()) == pytest.approx(sorted(x for n, x in donors.items() for _ in range(n)))
    assert {i: x for i, x in enumerate(table.accepts.tolist()) if x} == pytest.approx(acceptors)


ALONE = {
    "acid is syn": ("CC(=O)O", "[#1]OC=O", 0),
    "oxime is anti": ("C/C=N/O", "[#1]ON=C", 180),
    "phenol is planar": ("Oc1ccc(C#N)cc1", "[#1]Occ", (0, 180)),
    "alcohol is staggered": ("CC(C)(C)O", "[#1]OCC", (60, 180)),
    "methyl is staggered": ("CC(F)(F)F", "[#1]CCF", (60, 180)),
    "methyl eclipses the carbonyl": ("O=C(C)Cl", "O=CC[#1]", (0, 120)),
}


@pytest.mark.parametrize(("smiles", "pattern", "wanted"), ALONE.values(), ids=ALONE)
def test_a_molecule_alone(smiles, pattern, wanted):
    x = embedded(smiles)
    found = dihedral(smiles, by_copy(hydrogenated(in_box(smiles, [x])))[0], pattern)
    assert min(abs(found - w) for w in np.atleast_1d(wanted)) < 12


@pytest.mark.parametrize(("smiles", "angle"), [("Oc1ccccc1", 110), ("CC(=O)O", 110), ("C/C=N/O", 110), ("CCO", None), ("C[OH2+]", None)])
def test_hydroxyls_on_planar_atoms_are_bent(smiles, angle):
    """RDKit has 120 degrees; others stay as they are."""
    crystal, table = in_box(smiles, [embedded(smiles)]), hydrogen_table(smiles)
    found = []
    for turn in (False, True):
        x = by_copy(hydrogenated(crystal, turn=turn))[0]
        h, center, other = next((h, c, o) for h, c, o in table.angles.T if table.donates[h] > 0 and table.numbers[o] > 1)
        one, two = x[h] - x[center], x[other] - x[center]
        found.append(math.degrees(math.acos(one @ two / np.linalg.norm(one) / np.linalg.norm(two))))
    assert found[1] == pytest.approx(found[0] if angle is None else angle, abs=1e-6)
    assert angle is None or found[0] == pytest.approx(120, abs=1)


def test_hydrogen_bond_within_a_molecule():
    """Salicylaldehyde, with the carbonyl beside the hydroxyl."""
    smiles = "O=Cc1ccccc1O"
    mol = Chem.Mol(full_mol(smiles))
    AllChem.EmbedMolecule(mol, randomSeed=1)
    rdMolTransforms.SetDihedralDeg(mol.GetConformer(), 0, 1, 2, 7, 0.0)
    x = mol.GetConformer().GetPositions()[:9]
    full = by_copy(hydrogenated(in_box(smiles, [x])))[0]
    h = int(np.nonzero(hydrogen_table(smiles).bearer == 8)[0][0])
    assert np.linalg.norm(full[h] - full[0]) < 2.1


def facing(smiles: str, toward: int, distance: float, seed: int = 1):
    """Two copies in a roomy cell: a heavy atom of the second, `toward`, is `distance` Å beyond a hydrogen of the last rotor."""
    x = embedded(smiles, seed)
    table = hydrogen_table(smiles)
    full = by_copy(hydrogenated(in_box(smiles, [x]), turn=False))[0]
    h, center = int(table.rotors.first[-1]), int(table.rotors.centers[-1])
    along = (full[h] - full[center]) / np.linalg.norm(full[h] - full[center])
    other = x - x[toward]
    # the second molecule lies beyond its atom, seen from the first
    spread = other.mean(0) / max(np.linalg.norm(other.mean(0)), 1e-9)
    turn = rotation_to(spread, along)
    return in_box(smiles, [x, full[h] + distance * along + other @ turn.T]), h


def rotation_to(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The shortest rotation that takes unit vector a to b."""
    axis = np.cross(a, b)
    sine = np.linalg.norm(axis)
    angle = math.atan2(sine, float(a @ b))
    return np.stack([turned(e, axis / max(sine, 1e-12), np.array(angle)) for e in np.eye(3)], 1)


PLANTED = [("CCO", 0, 1.0), ("CC(C)(C)S", 0, 1.0), ("CC[NH3+]", 0, 1.7), ("CC(F)(F)F", 2, 1.5), ("CCN", 0, 1.2)]


@pytest.mark.parametrize(("smiles", "atom", "distance"), PLANTED)
def test_turned_away_from_a_planted_clash(smiles, atom, distance):
    """An atom in the way of a hydrogen."""
    crystal, h = facing(smiles, atom, distance)
    before, after = hydrogenated(crystal, turn=False), hydrogenated(crystal)
    assert h in before.clash_index[0]
    assert h not in after.clash_index[0]
    assert len(after.clash_distances) < len(before.clash_distances)
    assert after.n_turned > 0
    only_rotors_moved(crystal, before, after)


def only_rotors_moved(crystal, before, after):
    """Heavy atoms and fixed hydrogens keep every bit; the others keep their distances to their atom and to its other neighbors."""
    table = hydrogen_table(crystal.template.molecule.smiles)
    fixed = np.tile(table.rotors.of_atom < 0, crystal.template.n_copies)
    assert np.array_equal(before.structure.positions[fixed], after.structure.positions[fixed])
    h, _, other = table.angles
    for a, b in zip(by_copy(before), by_copy(after), strict=True):
        distance = [np.linalg.norm(x[h] - x[other], axis=1) for x in (a, b)]
        bent = np.isin(h, table.rotors.first[table.rotors.bends > 0])
        kept = (table.numbers[other] > 1) & ~bent
        assert np.allclose(distance[0][kept], distance[1][kept], atol=1e-9)
        bonds = [np.linalg.norm((x - x[table.bearer])[table.bearer >= 0], axis=1) for x in (a, b)]
        assert np.allclose(*bonds, atol=1e-12)


def test_across_the_boundary_as_inside():
    """The same two molecules, one of them moved to the next cell."""
    crystal, h = facing("CCO", 0, 0.9)
    x = crystal.positions.copy()
    x[3:] -= [ROOMY, 0, 2 * ROOMY]
    before, after = (hydrogenated(Crystal(crystal.template, x, crystal.lattice), turn=t) for t in (False, True))
    assert h in before.clash_index[0]
    assert h not in after.clash_index[0]
    assert np.allclose(by_copy(after)[0], by_copy(hydrogenated(crystal))[0], atol=1e-9)


def test_a_clash_with_its_own_image():
    """A short cell along the bond: the molecule meets itself."""
    smiles = "CO"
    x = np.array([[0.0, 0, 0], [1.43, 0, 0]])
    lattice = np.array([4.0, ROOMY, ROOMY, 90, 90, 90])
    (alone,) = add_hydrogens([Crystal(Template(Molecule.from_smiles(smiles), 1), x, lattice)])
    table = hydrogen_table(smiles)
    h = int(np.nonzero(table.bearer == 1)[0][0])
    full = alone.structure.positions
    hydrogens = full[table.bearer == 0] + [4.0, 0, 0]
    # it stands between the methyl hydrogens of the image, seen along the bond
    angle = [math.degrees(math.atan2(*(v - [v[0], 0, 0])[1:])) for v in [full[h], *hydrogens]]
    away = min(abs((angle[0] - a + 180) % 360 - 180) for a in angle[1:])
    assert away > 45


@pytest.mark.parametrize(("smiles", "acceptor"), [("CCO", 2), ("CCN", 2), ("OCC#N", 3), ("[NH3+]CC(=O)[O-]", 3)])
def test_hydrogen_bonds_are_found(smiles, acceptor):
    """The acceptor of the other molecule is 2.8 Å from the donor, off the hydrogen's place by some turns of the bond."""
    table = hydrogen_table(smiles)
    donors = [r for r, first in enumerate(table.rotors.first) if table.donates[first] > 0]
    rotor = donors[0]
    center, bearer = int(table.rotors.centers[rotor]), int(table.rotors.neighbors[rotor, 0])
    x = embedded(smiles)
    full = by_copy(hydrogenated(in_box(smiles, [x]), turn=False))[0]
    axis = (x[center] - x[bearer]) / np.linalg.norm(x[center] - x[bearer])
    other = x - x[acceptor]
    good = 0
    for degrees in (40, 80, 120, 200, 280):
        along = turned(full[table.rotors.first[rotor]] - x[center], axis, np.array(math.radians(degrees)))
        along /= np.linalg.norm(along)
        beyond = other @ rotation_to(other.mean(0) / np.linalg.norm(other.mean(0)), along).T
        crystal = in_box(smiles, [x, x[center] + 2.8 * along + beyond])
        a, b = by_copy(hydrogenated(crystal))
        hydrogens = a[table.rotors.of_atom == rotor]
        best = straightness(a[center] - hydrogens, b[acceptor] - hydrogens).max()
        # the other molecule may point here instead, if its donor is the atom that accepts
        back = b[table.donates > 0]
        back = straightness(b[center] - back, a[center] - back).max() if acceptor == center else 0
        good += max(best, back) > math.cos(math.radians(25)) ** 4
    assert good >= 4


def test_inversion_of_an_amine_makes_a_hydrogen_bond():
    """Dimethylamine, its nitrogen's hydrogen on the wrong side of where another nitrogen is."""
    smiles = "CNC"
    x = embedded(smiles)
    table = hydrogen_table(smiles)
    h = int(np.nonzero(table.bearer == 1)[0][0])
    full = by_copy(hydrogenated(in_box(smiles, [x]), turn=False))[0]
    axis = x[1] - (x[0] + x[2]) / 2
    other_side = turned(full[h] - x[1], axis / np.linalg.norm(axis), np.array(math.pi))
    along = other_side / np.linalg.norm(other_side)
    # the other one's lone pair, where its own hydrogen is not, looks this way
    second = (x - x[1]) @ rotation_to(along, -along + 1e-6 * axis).T + x[1] + 3.0 * along
    result = hydrogenated(in_box(smiles, [x, second]))
    a, b = by_copy(result)
    # the two are alike: one of them, and not both, turns to the other
    bonds = [straightness(one[1] - one[h], other[1] - one[h]) > 0.95 for one, other in ((a, b), (b, a))]
    assert sorted(bonds) == [False, True]


def test_dense_packings_get_better_and_heavy_atoms_stay():
    rng = np.random.default_rng(0)
    crystals = []
    for smiles in ("CCO", "OCC(O)CO", "CC(=O)O", "C[NH2+]CC(=O)[O-]", "CC(C)(C)N", "OCc1ccccc1"):
        x = embedded(smiles) - embedded(smiles).mean(0)
        for _ in range(6):
            copies = [x @ np.linalg.qr(rng.normal(size=(3, 3)))[0] + rng.uniform(0, 9, 3) for _ in range(4)]
            side = (4 * len(x) * 22.0) ** (1 / 3)
            crystals.append(in_box(smiles, copies, side))
    before, after = add_hydrogens(crystals, turn=False), add_hydrogens(crystals)
    kept = [(c, b, a) for c, b, a in zip(crystals, before, after, strict=True) if not b.problem]
    assert len(kept) > 25
    for crystal, b, a in kept:
        only_rotors_moved(crystal, b, a)
    n_before, n_after = (sum(len(r.clash_distances) for r in results) for results in (before, after))
    assert n_after < 0.95 * n_before


def random_costs(rng, n_rotors, n_states, n_edges):
    edges = sorted(rng.permutation(list(itertools.combinations(range(n_rotors), 2)))[:n_edges].tolist())
    first, second = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    return RotorCosts(rng.normal(size=(n_rotors, n_states)), first, second, rng.normal(size=(n_edges, n_states, n_states)))


@pytest.mark.parametrize("seed", range(12))
def test_no_choice_of_one_rotor_or_two_is_cheaper(seed):
    rng = np.random.default_rng(seed)
    costs = random_costs(rng, 6, 4, 7)
    owner = np.zeros(6, dtype=np.int64)
    state = settle(costs, rng.random((6, 3)), owner)
    cost = total_costs(state, costs, owner, 1)[0]
    for rotors in [*itertools.combinations(range(6), 1), *zip(costs.first.tolist(), costs.second.tolist(), strict=True)]:
        for choice in itertools.product(range(4), repeat=len(rotors)):
            other = state.copy()
            other[list(rotors)] = choice
            assert total_costs(other, costs, owner, 1)[0] > cost - 1e-4


def test_most_are_the_best_of_all():
    best = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        costs = random_costs(rng, 5, 3, 6)
        owner = np.zeros(5, dtype=np.int64)
        state = settle(costs, rng.random((5, 3)), owner)
        every = [total_costs(np.array(s), costs, owner, 1)[0] for s in itertools.product(range(3), repeat=5)]
        best += total_costs(state, costs, owner, 1)[0] < min(every) + 1e-9
    assert best >= 32


def test_rotors_of_one_level_do_not_touch_and_lower_ranks_choose_first():
    rng = np.random.default_rng(0)
    costs = random_costs(rng, 30, 2, 70)
    turns = Turns.of(costs, rng.random((30, 3)))
    level = np.full(30, -1)
    for n, (rotors, *_) in enumerate(turns.levels):
        level[rotors] = n
    assert (turns.rank[turns.low] < turns.rank[turns.high]).all()
    assert (level[turns.low] < level[turns.high]).all()
    for low, high, both, back in zip(turns.low, turns.high, turns.both[:70], turns.both[70:], strict=True):
        (edge,) = np.nonzero((np.minimum(low, high) == costs.first) & (np.maximum(low, high) == costs.second))[0]
        assert np.array_equal(both, costs.both[edge] if low < high else costs.both[edge].T)
        assert np.array_equal(back, both.T)


def test_shapes_of_the_costs():
    assert repulsion(np.array([2.4, 2.0, 2.91]), np.array(2.4)) == pytest.approx([0.3, 0.3 * math.exp(3.7 * 0.4), 0.0])
    # two oxygens: full strength up to 2.75 Å, half a kcal/mol left near the end of its reach
    depth = bond_depth(np.array([2.4, 2.75, 3.3, 4.1, 4.3]), np.array(3.04))
    assert depth[:2] == pytest.approx([7.0, 7.0])
    assert depth[1] > depth[2] > depth[3] > 0 == depth[4]
    # DREIDING: -(5 (R0/R)^12 - 6 (R0/R)^10)
    assert depth[2] == pytest.approx(-7 * (5 * (2.75 / 3.3) ** 12 - 6 * (2.75 / 3.3) ** 10))
    straight = straightness(np.array([-1.0, 0, 0]), np.array([[2.0, 0, 0], [1, 1, 0], [0, 1, 0], [-1, 0.1, 0]]))
    assert straight == pytest.approx([1, 0.25, 0, 0])
