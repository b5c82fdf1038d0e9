"""`nonbonded` with a kept list against the same sums in PyTorch with autograd, and against a list made at every step; one thread."""

from __future__ import annotations

import math

import torch
from harness import compare, smallest
from molecules import Molecules, molecules
from torch import Tensor

from packflow.ops import Nonbonded, NonbondedPairs, neighbors, nonbonded, nonbonded_tail
from packflow.ops.ewald import COULOMB, split_of, wave_box
from packflow.ops.nonbonded_tail import switch, van_der_waals

CUTOFF, BUFFER = 10.0, 0.05  # Å
N_STEPS = 30
STEP = 0.01  # Å that an atom moves at most along each axis in a step


class Autograd:
    """All pairs of a batch as flat tensors, found beforehand; forces and stress by autograd."""

    def __init__(self, x: Molecules) -> None:
        self.x = x
        found = neighbors(x.positions, x.cell, x.atom_ptr, CUTOFF, half=True)
        self.owner = torch.repeat_interleave(torch.arange(len(x.cell)), x.atom_ptr.diff().long())
        (self.i, self.j), self.shifts = found.pair_index, found.cell_shifts.double()
        home = (found.cell_shifts == 0).all(1)
        own = home & (x.molecule[self.i] == x.molecule[self.j])
        one, other, which = x.types[self.i].long(), x.types[self.j].long(), (~own).long()
        self.radius, self.epsilon = x.radius[which, one, other], x.epsilon[which, one, other]
        self.qq = COULOMB * x.charges[self.i] * x.charges[self.j]
        self.scale = torch.ones(len(self.i), 2, dtype=torch.float64)
        source = torch.repeat_interleave(torch.arange(len(x.positions)), x.special_ptr.diff().long())
        keys = source * len(x.positions) + x.special_index
        order = keys.argsort()
        place = torch.searchsorted(keys[order], self.i * len(x.positions) + self.j).clamp(max=max(0, len(keys) - 1))
        if len(keys):
            special = own & (keys[order][place] == self.i * len(x.positions) + self.j)
            self.scale[special] = x.special_scale[order][place[special]]
        self.alpha, self.k_cutoff = split_of(CUTOFF)
        self.waves = [self._waves_of(cell) for cell in x.cell]
        self.tail = nonbonded_tail(x.atom_ptr, x.types, x.radius, x.epsilon, CUTOFF)

    def _waves_of(self, cell: Tensor) -> Tensor:
        """One of each k and -k below the cutoff, as whole numbers. [n_waves, 3]"""
        reach = wave_box(cell[None], self.k_cutoff)[0].tolist()
        grid = torch.cartesian_prod(*(torch.arange(-n, n + 1, dtype=torch.float64) for n in reach))
        grid = grid[len(grid) // 2 + 1 :]
        return grid[(2 * math.pi * grid @ torch.linalg.inv(cell).T).norm(dim=1) < self.k_cutoff]

    def energies(self, positions: Tensor, cell: Tensor, volume: Tensor) -> tuple[Tensor, Tensor]:
        """Van der Waals and Coulomb. [n_crystals] each"""
        d = positions[self.j] - positions[self.i] + torch.einsum("pk,pkl->pl", self.shifts, cell[self.owner[self.i]])
        r = d.norm(dim=1)
        on = switch(r, CUTOFF)
        near = on * self.scale[:, 0] * van_der_waals(r, self.radius, self.epsilon)
        bare = 1 / r - BUFFER / r**2
        gauss = torch.exp(-((self.alpha * r) ** 2))
        screened = torch.erfc(self.alpha * r) / r - BUFFER * gauss / r**2
        screened = screened + on * self.scale[:, 1] * (1 / (r + BUFFER) - bare) - (1 - self.scale[:, 1]) * bare
        owner, zero = self.owner[self.i], torch.zeros_like(volume)
        far = torch.stack([self._far(positions, cell, volume, c) for c in range(len(cell))])
        return zero.index_add(0, owner, near) + self.tail / volume, zero.index_add(0, owner, self.qq * screened) + far

    def _far(self, positions: Tensor, cell: Tensor, volume: Tensor, c: int) -> Tensor:
        first, last = self.x.atom_ptr[c : c + 2].tolist()
        k = 2 * math.pi * self.waves[c] @ torch.linalg.inv(cell[c]).T
        k2, phase, q = (k**2).sum(1), k @ positions[first:last].T, self.x.charges[first:last]
        structure2 = (phase.cos() @ q) ** 2 + (phase.sin() @ q) ** 2
        weight = torch.exp(-k2 / (4 * self.alpha**2)) / k2 - BUFFER * math.pi / 2 * torch.erfc(k2.sqrt() / (2 * self.alpha)) / k2.sqrt()
        itself = self.alpha / math.sqrt(math.pi) - BUFFER * self.alpha**2 / 2
        return COULOMB * (4 * math.pi / volume[c] * (weight * structure2).sum() - itself * (q**2).sum())

    def __call__(self) -> Nonbonded:
        positions = self.x.positions.clone().requires_grad_(True)
        strain = torch.zeros_like(self.x.cell, requires_grad=True)
        deformation = torch.eye(3, dtype=torch.float64) + (strain + strain.mT) / 2
        cell = self.x.cell @ deformation
        volume = torch.linalg.det(cell).abs()
        near, coulomb = self.energies(torch.einsum("ni,nij->nj", positions, deformation[self.owner]), cell, volume)
        gradient, slope = torch.autograd.grad((near + coulomb).sum(), (positions, strain))
        problem = torch.zeros(len(cell), dtype=torch.uint8)
        return Nonbonded(near.detach(), coulomb.detach(), -gradient, slope / volume.detach()[:, None, None], problem)


def check(ours: Nonbonded, theirs: Nonbonded) -> None:
    """Bonded atoms beyond the cutoff, of which there are none, would differ."""
    for field in ("van_der_waals", "coulomb", "forces", "stress", "problem"):
        torch.testing.assert_close(getattr(ours, field), getattr(theirs, field), rtol=1e-8, atol=1e-8)


def relaxation(x: Molecules) -> list[Molecules]:
    """Positions and cells of some steps: every atom drifts in a direction of its own, and the cell shrinks a little."""
    generator = torch.Generator().manual_seed(0)
    owner = torch.repeat_interleave(torch.arange(len(x.cell)), x.atom_ptr.diff().long())
    drift = STEP * (2 * torch.rand(x.positions.shape, generator=generator, dtype=torch.float64) - 1)
    strain = 2e-4 * torch.randn(x.cell.shape, generator=generator, dtype=torch.float64)
    steps = []
    for k in range(N_STEPS):
        deformation = torch.eye(3, dtype=torch.float64) + k * strain
        steps.append(x.moved(torch.einsum("ni,nij->nj", x.positions + k * drift, deformation[owner]), x.cell @ deformation))
    return steps


def follow(steps: list[Molecules], tail: Tensor, pairs: NonbondedPairs | None) -> list[Nonbonded]:
    return [nonbonded(*x.arguments, CUTOFF, pairs=pairs, tail=tail) for x in steps]


def check_all(ours: list[Nonbonded], theirs: list[Nonbonded]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        check(one, other)


def main() -> None:
    torch.set_num_threads(1)
    quick = smallest()
    name, x = molecules(3 if quick else 64)
    tail = nonbonded_tail(x.atom_ptr, x.types, x.radius, x.epsilon, CUTOFF)
    pairs, peer = NonbondedPairs(), Autograd(x)
    work = "pairs", len(peer.i)
    kept = lambda: nonbonded(*x.arguments, CUTOFF, pairs=pairs, tail=tail)  # noqa: E731
    compare("nonbonded", f"{name}, {CUTOFF:g} Å", "torch autograd", kept, peer, check, work, quick=quick)

    steps = relaxation(x)
    counter = NonbondedPairs()
    follow(steps, tail, counter)
    case = f"{name}, {N_STEPS} steps, {counter.n_builds} lists"
    kept_list, every_step = (lambda: follow(steps, tail, NonbondedPairs())), (lambda: follow(steps, tail, None))
    compare("nonbonded", case, "a list every step", kept_list, every_step, check_all, ("steps", N_STEPS), quick=quick)


if __name__ == "__main__":
    main()
