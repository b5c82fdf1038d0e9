"""Mmff as a potential: derivatives, invariances of a crystal, batches, problems, lattice energies."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from packflow import Molecule, Template
from packflow.potential import Mmff
from packflow.structure.cif import from_ase
from packflow.structure.full import FullBatch, FullStructure
from packflow.structure.full_sites import full_structure

CODS = [
    "2019369",
    "4501703",
    "7221763",
    "4037663",
    "1010060",
]  # urea, benzene, an isoxazole with bromine, glycine, carbon dioxide (fallback)
KJ_MOL = 96.485
# eV; what a sum over thousands of pairs in float64 leaves, with much to spare
EXACT = 1e-8


@pytest.fixture(scope="module")
def batch(crystal_of, gas_of):
    """Crystals and molecules in vacuum, moved a little from where forces are small."""
    crystals = [crystal_of(cod) for cod in CODS]
    structures = [*crystals, gas_of(crystals[0]), gas_of(crystals[2])]
    rng = np.random.default_rng(0)
    return FullBatch.pack([replace(s, positions=s.positions + rng.normal(scale=0.02, size=s.positions.shape)) for s in structures])


@pytest.fixture(scope="module")
def potential():
    return Mmff()


def strained(batch, strain):
    deformation = torch.eye(3, dtype=torch.float64) + strain
    return batch.at(batch.positions @ deformation, batch.cell @ deformation)


def test_forces_are_the_derivative(batch, potential):
    """Of one atom of each structure along a skew direction."""
    prepared = potential.prepare(batch)
    forces = prepared.evaluate(batch.positions, batch.cell).forces
    step, direction = 1e-4, torch.tensor([0.48, -0.6, 0.64], dtype=torch.float64)
    atoms = batch.atom_ptr[:-1].long() + 3
    moved = torch.zeros_like(batch.positions)
    moved[atoms] = step * direction
    energies = [prepared.evaluate(batch.positions + sign * moved, batch.cell).energy for sign in (1, -1)]
    slope = (energies[0] - energies[1]) / (2 * step)
    torch.testing.assert_close(forces[atoms] @ direction, -slope, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("axes", [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)], ids=str)
def test_stress_is_the_derivative(batch, potential, axes):
    prepared = potential.prepare(batch)
    found = prepared.evaluate(batch.positions, batch.cell)
    step, strain = 1e-5, torch.zeros(3, 3, dtype=torch.float64)
    strain[axes] += step / 2
    strain[axes[::-1]] += step / 2
    energies = [prepared.evaluate(b.positions, b.cell).energy for b in (strained(batch, strain), strained(batch, -strain))]
    slope = (energies[0] - energies[1]) / (2 * step)
    crystals = batch.periodic
    volume = torch.linalg.det(batch.cell[crystals]).abs()
    torch.testing.assert_close(found.stress[crystals][:, axes[0], axes[1]] * volume, slope[crystals], rtol=1e-5, atol=1e-4)
    assert (found.stress[~crystals] == 0).all()


def test_supercells_cells_and_shifts_do_not_matter(crystal_of, evaluate, potential):
    """The energy of a molecule is the same in a supercell, another cell of the lattice, turned, moved, molecules elsewhere or reordered."""
    crystal = crystal_of("2019369")
    template, positions, cell = crystal.template, crystal.positions, crystal.cell
    molecules = positions.reshape(template.n_copies, -1, 3)
    turn, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    double = np.concatenate([molecules, molecules + cell[1]])
    elsewhere = np.concatenate([molecules[:1] + cell[0] - 2 * cell[2], molecules[1:]])
    structures = {
        "as it is": crystal,
        "supercell": FullStructure(Template(template.molecule, 2 * template.n_copies), double.reshape(-1, 3), cell * [[1], [2], [1]]),
        "another cell": replace(crystal, cell=np.array([[1, 0, 0], [1, 1, 0], [0, -1, 1]]) @ cell),
        "left-handed": replace(crystal, cell=cell[[1, 0, 2]]),
        "moved": replace(crystal, positions=positions + np.array([0.3, 20.0, -7.7])),
        "turned": replace(crystal, positions=positions @ turn, cell=cell @ turn),
        "a molecule elsewhere": replace(crystal, positions=elsewhere.reshape(-1, 3)),
        "molecules reordered": replace(crystal, positions=molecules[::-1].reshape(-1, 3)),
    }
    batch = FullBatch.pack(list(structures.values()))
    found = evaluate(potential, batch)
    per_molecule = found.energy / torch.tensor([t.n_copies for t in batch.templates])
    torch.testing.assert_close(per_molecule, per_molecule[:1].expand(len(structures)), rtol=0, atol=EXACT)
    stress, names = found.stress, list(structures)
    for name in ("supercell", "another cell", "left-handed", "moved", "a molecule elsewhere", "molecules reordered"):
        torch.testing.assert_close(stress[names.index(name)], stress[0], rtol=0, atol=EXACT)
    turned = torch.from_numpy(turn)
    torch.testing.assert_close(stress[names.index("turned")], turned.T @ stress[0] @ turned, rtol=0, atol=EXACT)


def test_a_structure_does_not_depend_on_its_batch(batch, evaluate, potential):
    together = evaluate(potential, batch)
    for s in range(len(batch)):
        alone = batch.select(torch.tensor([s]))
        found = evaluate(potential, alone)
        atoms = batch.structure_index == s
        torch.testing.assert_close(found.energy, together.energy[s : s + 1], rtol=0, atol=EXACT)
        torch.testing.assert_close(found.forces, together.forces[atoms], rtol=0, atol=EXACT)
        torch.testing.assert_close(found.stress, together.stress[s : s + 1], rtol=0, atol=EXACT)


@pytest.mark.parametrize("rows", [[3, 0, 5, 0], [1], []], ids=str)
def test_select_is_preparing_anew(batch, evaluate, potential, rows):
    rows = torch.tensor(rows, dtype=torch.int64)
    some = batch.select(rows)
    prepared = potential.prepare(batch)
    prepared.evaluate(batch.positions, batch.cell)
    found, expected = prepared.select(rows).evaluate(some.positions, some.cell), evaluate(potential, some)
    for name in ("energy", "forces", "stress"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=0, atol=EXACT)
    assert found.problems == expected.problems == [""] * len(rows)


def test_kept_neighbours_change_nothing(batch, evaluate, potential):
    """Atoms and cells that move in small steps, evaluated by one prepared potential and by new ones."""
    prepared = potential.prepare(batch)
    rng = torch.Generator().manual_seed(5)
    moved = batch
    for step in range(6):
        strain = 0.004 * torch.randn(3, 3, generator=rng, dtype=torch.float64)
        moved = strained(moved, (strain + strain.T) / 2)
        moved = moved.at(moved.positions + 0.03 * torch.randn(moved.positions.shape, generator=rng, dtype=torch.float64), moved.cell)
        found, expected = prepared.evaluate(moved.positions, moved.cell), evaluate(potential, moved)
        torch.testing.assert_close(found.energy, expected.energy, rtol=0, atol=EXACT, msg=f"step {step}")
        torch.testing.assert_close(found.forces, expected.forces, rtol=0, atol=EXACT)


def test_problems_do_not_touch_the_others(batch, evaluate, potential, crystal_of, scattered):
    urea = crystal_of("2019369")
    nowhere, on_top = urea.positions.copy(), urea.positions.copy()
    nowhere[3, 1] = np.nan
    on_top[8:16] = on_top[0:8] + 0.01
    flat = urea.cell.copy()
    flat[2] = flat[0] + flat[1]
    structures = {
        "good": urea,
        "NaN": replace(urea, positions=nowhere),
        "overlap": replace(urea, positions=on_top),
        "flat cell": replace(urea, cell=flat),
        "no parameters": scattered("FS(F)(F)(F)(F)c1ccccc1", 1),
        "charged": scattered("C[NH3+]", 2),
        "good too": crystal_of("4501703"),
        "a bond of no length": replace(urea, positions=np.concatenate([urea.positions[:1], urea.positions[:1], urea.positions[2:]])),
    }
    pack = FullBatch.pack(list(structures.values()))
    prepared = potential.prepare(pack)
    assert [bool(p) for p in prepared.problems] == [name in ("no parameters", "charged") for name in structures]
    found = prepared.evaluate(pack.positions, pack.cell)
    problems = dict(zip(structures, found.problems, strict=True))
    assert problems["good"] == problems["good too"] == ""
    assert "finite" in problems["NaN"]
    assert "at least 0.3 Å apart" in problems["overlap"]
    assert "volume" in problems["flat cell"]
    assert "S with 6 neighbors" in problems["no parameters"]
    assert problems["charged"] == "a crystal must be neutral, but C[NH3+] carries a charge"
    for s, name in enumerate(structures):
        if name in ("good", "good too"):
            alone = evaluate(potential, pack.select(torch.tensor([s])))
            torch.testing.assert_close(found.energy[s], alone.energy[0], rtol=0, atol=EXACT)
            assert found.forces[pack.structure_index == s].isfinite().all()
        else:
            assert problems[name]
            assert found.energy[s].isnan()
            assert found.forces[pack.structure_index == s].isnan().all()
            assert found.stress[s].isnan().all()


def test_an_ion_in_vacuum_is_no_problem(evaluate, potential, scattered):
    found = evaluate(potential, FullBatch.pack([scattered("C[NH3+]", periodic=False)]))
    assert found.problems == [""]
    assert found.energy.isfinite().all()


def test_factors_act_between_molecules_only(crystal_of, gas_of, evaluate):
    crystal = crystal_of("4501703")
    batch = FullBatch.pack([crystal, gas_of(crystal)])
    plain, scaled = (evaluate(Mmff(scales=type(Mmff().scales)(*s)), batch).energy for s in ((1.0, 1.0), (0.95, 2.0)))
    assert plain[1] == scaled[1]
    assert plain[0] - scaled[0] > 0.1


def test_the_cutoff_hardly_matters(batch, evaluate):
    """Coulomb is summed to convergence and the tail is added: 14 Å instead of 10 Å moves a molecule by less than 0.2 kJ/mol."""
    near, far = (evaluate(Mmff(cutoff=cutoff), batch).energy for cutoff in (10.0, 14.0))
    copies = torch.tensor([t.n_copies for t in batch.templates])
    assert (KJ_MOL * (near - far) / copies).abs().max() < 0.2


def test_lattice_energies_of_x23(x23_folder, gas_of, evaluate, potential):
    """At the cells of the benchmark, with the default factors; the bound holds for crystals held out of the fit (docs/energy.md)."""
    from ase.io import read

    references = [float(line.split()[0]) for line in (x23_folder / "DMC").read_text().splitlines() if line.strip()]
    files = sorted((x23_folder / "solid").glob("*.vasp"))
    crystals = [full_structure(from_ase(read(f)), "O=C=O" if "co2" in f.name else None) for f in files]
    solid = evaluate(potential, FullBatch.pack(crystals))
    gas = evaluate(potential, FullBatch.pack([gas_of(crystal) for crystal in crystals]))
    copies = torch.tensor([crystal.template.n_copies for crystal in crystals])
    errors = KJ_MOL * (solid.energy / copies - gas.energy) - torch.tensor(references)
    assert errors.abs().mean() < 10
    assert errors.mean().abs() < 5


def test_molecule_of_one_template_object_or_equal_ones(evaluate, potential, crystal_of):
    urea = crystal_of("2019369")
    other = replace(urea, template=Template(Molecule.from_smiles(urea.template.molecule.smiles), urea.template.n_copies))
    energy = evaluate(potential, FullBatch.pack([urea, other])).energy
    assert energy[0] == energy[1]


@pytest.mark.gpu
def test_cuda_equals_cpu(batch, evaluate, potential):
    got, expected = evaluate(potential, batch.to("cuda")), evaluate(potential, batch)
    for name in ("energy", "forces", "stress"):
        torch.testing.assert_close(getattr(got, name).cpu(), getattr(expected, name), rtol=0, atol=EXACT)
