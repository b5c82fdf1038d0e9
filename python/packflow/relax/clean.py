"""Geometric clean-up of sampled crystals: bonds to their lengths, clashes apart, cells to a plausible volume. No energies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from packflow.metrics.validity import problems as problems_of
from packflow.metrics.validity import volume
from packflow.ops._crystals import check_count
from packflow.relax.clean_centers import SIDED
from packflow.relax.clean_layout import Contacts, Layout
from packflow.relax.clean_push import Push
from packflow.relax.clean_report import CleanReport
from packflow.relax.clean_steps import SLACK, Motion, Settled, settle
from packflow.relax.clean_volume import expected_volume, plausible_factor
from packflow.structure import AtomsBatch, Crystal, CrystalBatch, TemplateBatch

MAX_STEPS = 100
# atoms that are cleaned at once: bounds memory, about 2 kB an atom
MAX_ATOMS = 20_000


@dataclass(frozen=True)
class Cleaned:
    """A batch after its clean-up, on the device and in the precision that it came in.

    crystals: the batch, centred where it changed.
    report:   what was done.
    """

    crystals: CrystalBatch
    report: CleanReport


@torch.no_grad()
def clean(crystals: CrystalBatch, max_steps: int = MAX_STEPS) -> Cleaned:
    """Mend the geometry of sampled crystals without an energy, all of a batch at once.

    A crystal is clean if all atoms at most three bonds apart are within RDKit's range of distances and a tolerance, no other two atoms
    are too near (`clean_wanted`), no tetrahedral atom is flat (`clean_centers`), and the volume is plausible (`clean_volume`). What is
    clean stays as it is. In any other:

    - an implausible cell is rescaled, isotropically, to the expected volume, molecules undeformed;
    - distances between atoms at most three bonds apart are drawn into RDKit's range, for 30 steps to where they were in it, and
      tetrahedral atoms are pushed out of the plane of their neighbours, on the side where they were;
    - other pairs closer than their van der Waals radii are pushed apart, by shifts and turns of whole molecules and small
      motions of atoms: damped Gauss-Newton steps with inertia while that goes downhill, as in FIRE (Bitzek et al., Phys. Rev. Lett.
      2006, 97, 170201), each crystal for itself, until it is clean and at least 30;
    - where nothing but contacts is wrong after 80 % of the steps, the cell's edges grow by 0.05 % a step, at most to the largest
      plausible volume.

    A crystal in which a tetrahedral atom would end on the other side of its neighbours stays as it was and has a problem.

    Args:
        crystals: Any values; float32 or float64. Worked on in float64.
        max_steps: Steps for each crystal, at most; at least 1.

    Returns:
        The crystals, and a report of what was done to each. One that is not clean after the last step comes as far as it got.

    Raises:
        ValueError: max_steps is no integer of at least 1.
    """
    check_count("max_steps", max_steps)
    atoms = AtomsBatch.from_batch(replace(crystals, positions=crystals.positions.double(), lattice=crystals.lattice.double()))
    problems = problems_of(atoms)
    report = CleanReport.untouched(problems)
    good = torch.tensor([not p for p in problems], dtype=torch.bool, device=atoms.cell.device)
    if not bool(good.any()):
        return Cleaned(crystals, report)
    task, before = _first_look(Layout.of(crystals.template, atoms.positions).select(good), atoms.select(good))
    rows = good.nonzero()[:, 0]
    report = replace(report, near_before=_put(report.near_before, rows, before.n_near))
    report = replace(report, contacts_before=_put(report.contacts_before, rows, before.n_contacts))
    if not len(task.rows):
        return Cleaned(crystals, report)
    settled = settle(task.layout, task.motion, max_steps)
    return _apply(crystals, replace(task, rows=rows[task.rows]), settled, report)


def clean_crystals(
    crystals: Sequence[Crystal], max_steps: int = MAX_STEPS, device: torch.device | str = "cpu", max_atoms: int = MAX_ATOMS
) -> tuple[list[Crystal], CleanReport]:
    """`clean` for a list, in float64; a crystal that is not changed is the same object.

    Args:
        crystals: Any number, none included.
        max_steps: As for `clean`.
        device: Where to work.
        max_atoms: Atoms worked on at once, about; bounds memory and changes no result.

    Raises:
        ValueError: max_steps or max_atoms is no integer of at least 1.
    """
    check_count("max_steps", max_steps)
    last = np.cumsum([c.template.n_atoms for c in crystals], dtype=np.int64) - 1
    stretch = last // check_count("max_atoms", max_atoms)
    out: list[Crystal] = []
    reports = []
    for place in np.unique(stretch).tolist():
        some = [crystals[k] for k in np.flatnonzero(stretch == place).tolist()]
        found = clean(_packed(some).to(device), max_steps)
        mended = found.crystals.split([c.template for c in some])
        out += [new if changed else old for new, old, changed in zip(mended, some, found.report.changed.tolist(), strict=True)]
        reports.append(found.report)
    return out, CleanReport.join(reports)


@dataclass(frozen=True)
class _Task:
    """Crystals of a batch that are not clean: their rows, what they are, and the start after cells were rescaled."""

    rows: Tensor
    atoms: AtomsBatch
    layout: Layout
    motion: Motion


def _packed(crystals: Sequence[Crystal]) -> CrystalBatch:
    """A batch in float64."""
    positions, lattice = np.concatenate([c.positions for c in crystals]), np.stack([c.lattice for c in crystals])
    template = TemplateBatch.pack([c.template for c in crystals])
    return CrystalBatch(template, torch.from_numpy(positions).double(), torch.from_numpy(lattice).double())


def _first_look(layout: Layout, atoms: AtomsBatch) -> tuple[_Task, Push]:
    """What is wrong with crystals without problems, and those of them where something is."""
    expected = expected_volume(atoms)
    factor = plausible_factor(volume(atoms), expected)
    contacts = Contacts.of(layout, atoms.positions, atoms.cell)
    arms = atoms.positions - layout.centroids(atoms.positions)[layout.molecule]
    push = Push.of(layout, contacts, atoms.positions, atoms.cell, arms, slack=SLACK)
    work = ~push.clean | (factor != 1)
    scaled = layout.scaled(atoms.positions, factor), atoms.cell * factor[:, None, None]
    motion = Motion.at_rest(layout, *scaled, expected).select(layout, work)
    return _Task(work.nonzero()[:, 0], atoms.select(work), layout.select(work), motion), push


def _apply(crystals: CrystalBatch, task: _Task, settled: Settled, report: CleanReport) -> Cleaned:
    """The batch with those that settled in it, and its report; those that went wrong are left as they were."""
    layout, atoms, rows = task.layout, task.atoms, task.rows
    factor = (torch.linalg.det(settled.cell) / torch.linalg.det(atoms.cell)).abs() ** (1 / 3)
    problems = _gone_wrong(task, settled)
    fine = torch.tensor([not p for p in problems], dtype=torch.bool, device=rows.device)
    positions = layout.centered(settled.positions)
    beyond = positions - layout.centered(layout.scaled(atoms.positions, factor))
    squared = factor.new_zeros(len(rows)).index_add_(0, layout.crystal, beyond.square().sum(1))
    moved = torch.zeros(len(crystals.lattice), dtype=torch.bool, device=rows.device)
    moved[rows[fine]] = True
    of_atoms = moved[crystals.template.crystal_index]
    mended = crystals.positions.clone()
    mended[of_atoms] = positions[fine[layout.crystal]].to(mended.dtype)
    lattice = crystals.lattice.clone()
    lattice[moved, :3] = (lattice[moved, :3].double() * factor[fine, None]).to(lattice.dtype)
    unclean = (settled.n_near + settled.n_contacts > 0) | ~fine
    report = replace(
        report,
        changed=moved.cpu(),
        finished=_put(report.finished, rows, ~unclean),
        displacement=_put(report.displacement, rows[fine], (squared / atoms.sizes).sqrt()[fine]),
        volume_percent=_put(report.volume_percent, rows[fine], 100 * (factor**3 - 1)[fine]),
        near_after=_put(report.near_before, rows[fine], settled.n_near[fine]),
        contacts_after=_put(report.contacts_before, rows[fine], settled.n_contacts[fine]),
        problems=_said(report.problems, rows, problems),
    )
    return Cleaned(CrystalBatch(crystals.template, mended, lattice), report)


def _gone_wrong(task: _Task, settled: Settled) -> list[str]:
    """Why a crystal that settled cannot be used; empty where it can."""
    layout, centers = task.layout, task.layout.centers
    turned = (centers.volumes(task.atoms.positions) > SIDED) & (centers.volumes(settled.positions) < 0)
    lost = ~settled.positions.isfinite().all(1)
    rows = torch.cat([layout.crystal[centers.atoms[0, turned]], layout.crystal[lost] + layout.n_crystals])
    n_turned, n_lost = torch.bincount(rows, minlength=2 * layout.n_crystals).reshape(2, -1).tolist()
    return [_wrong(*counts) for counts in zip(n_turned, n_lost, strict=True)]


def _wrong(n_turned: int, n_lost: int) -> str:
    """A sentence on numbers of atoms; empty if both are zero."""
    if n_lost:
        return f"clean-up must keep coordinates finite, {n_lost} atoms lost theirs"
    if n_turned:
        return f"clean-up must keep tetrahedral atoms on their side of their neighbors, {n_turned} would have changed it"
    return ""


def _put(values: Tensor, rows: Tensor, new: Tensor) -> Tensor:
    """A copy with other values in some rows, on the CPU."""
    out = values.clone()
    out[rows.cpu()] = new.cpu().to(out.dtype)
    return out


def _said(known: tuple[str, ...], rows: Tensor, problems: list[str]) -> tuple[str, ...]:
    found = dict(zip(rows.tolist(), problems, strict=True))
    return tuple(found.get(k) or known[k] for k in range(len(known)))
