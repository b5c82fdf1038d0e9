"""The stages of a solver run on a packed batch, on a GPU as replays of one captured stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from packflow.errors import InputError
from packflow.flow.solvers import Stage
from packflow.ops import ode

# (positions [n_atoms, 3], flow_lattice [n_crystals, 6], number of the stage [1] int64) -> velocities of both
Velocity = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
# (positions, flow_lattice, t_positions [1], t_lattice [1]) -> velocities of both
Field = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
# Standard normal numbers of positions [n_atoms, 3] and flow lattice [n_crystals, 6].
NoiseSource = Callable[[], tuple[Tensor, Tensor]]


def at_stages(field: Field, stages: Sequence[Stage]) -> Velocity:
    """A field in flow times as a velocity at the stages of a solver."""
    t_positions, t_lattice = stage_times(stages)

    def velocity(positions: Tensor, flow_lattice: Tensor, stage: Tensor) -> tuple[Tensor, Tensor]:
        times = (t.to(positions).index_select(0, stage) for t in (t_positions, t_lattice))
        return field(positions, flow_lattice, *times)

    return velocity


def stage_times(stages: Sequence[Stage]) -> tuple[Tensor, Tensor]:
    """Times of positions and lattice at every stage, float64. [n_stages] each"""
    times = torch.tensor([(stage.t_positions, stage.t_lattice) for stage in stages], dtype=torch.float64)
    return times[:, 0], times[:, 1]


class Integration:
    """The stages of a solver from noise (t = 1) to data (t = 0) for packed batches of one layout, with memory of its own.

    On a GPU without noise, a stage is captured once as a CUDA graph and replayed: nothing of it is launched one by one.
    """

    def __init__(
        self,
        velocity: Velocity,
        atom_ptr: Tensor,  # [n_crystals + 1]
        stages: Sequence[Stage],
        center: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Make the memory.

        Args:
            velocity: d(state)/dt; must look at nothing that changes but its arguments.
            atom_ptr: First atom of each crystal, then n_atoms, int32. [n_crystals + 1]
            stages: From `solver_stages`.
            center: Whether to keep the mean of each crystal's positions at the origin, as a model wants that starts from centered noise.
            dtype: Of the state, float32 or float64.

        Raises:
            InputError: the stages are those of another number of crystals.
        """
        n_crystals, n_atoms, device = len(atom_ptr) - 1, int(atom_ptr[-1]), atom_ptr.device
        self.velocity, self.atom_ptr, self.center = velocity, atom_ptr, center
        # One copy to the device, so that no stage waits for it.
        self.coefficients = torch.stack([_of_each_crystal(stage, n_crystals) for stage in stages]).to(device, dtype)
        self.is_noisy = [stage.is_noisy for stage in stages]
        empty = {"dtype": dtype, "device": device}
        self.state = (torch.empty(n_atoms, 3, **empty), torch.empty(n_crystals, 6, **empty))  # type: ignore[call-overload]
        self.history = (torch.empty_like(self.state[0]), torch.empty_like(self.state[1]))
        self.finite = torch.empty(n_crystals, dtype=torch.bool, device=device)
        self.stage = torch.zeros(1, dtype=torch.int64, device=device)
        self.graph: torch.cuda.CUDAGraph | None = None

    @torch.no_grad()
    def run(
        self,
        positions: Tensor,  # [n_atoms, 3]
        flow_lattice: Tensor,  # [n_crystals, 6]
        noise: NoiseSource | None = None,
        on_stage: Callable[[], None] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Integrate.

        Args:
            positions: Noise in units of the flow space; left as it is. [n_atoms, 3]
            flow_lattice: Noise in units of the flow space, likewise. [n_crystals, 6]
            noise: Called before each update that adds noise.
            on_stage: Called after each.

        Returns:
            Positions and flow lattice at t = 0, same shapes, and whether all numbers of a crystal were finite at every stage, bool
            [n_crystals]. The next run overwrites them.
        """
        if noise is None and any(self.is_noisy):
            raise InputError("noise must be given, since the stages add noise (eta above 0), got None")
        for ours, given in zip(self.state, (positions, flow_lattice), strict=True):
            ours.copy_(given)
        self.finite.fill_(True)
        self.stage.zero_()
        for number, is_noisy in enumerate(self.is_noisy):
            if self.stage.is_cuda and not any(self.is_noisy):
                self._replay(number)
            else:
                self._advance(noise() if noise is not None and is_noisy else None)
            if on_stage:
                on_stage()
        return *self.state, self.finite

    def _advance(self, noise: tuple[Tensor, Tensor] | None = None) -> None:
        """One stage, whose number is in `stage`."""
        moved = [x.contiguous() for x in self.velocity(*self.state, self.stage)]
        coefficients = self.coefficients.index_select(0, self.stage)[0]
        ode(self.state, (moved[0], moved[1]), self.history, coefficients, self.atom_ptr, self.finite, noise, self.center)
        self.stage += 1

    def _replay(self, number: int) -> None:
        """One stage on a GPU. The first of all is run as it is, which loads and compiles what it needs; the second is captured."""
        if self.graph is not None:
            self.graph.replay()
        elif number == 0:
            self._advance()
        else:
            self.graph = self._captured()
            self.graph.replay()

    def _captured(self) -> torch.cuda.CUDAGraph:
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream(self.stage.device)
        stream.wait_stream(torch.cuda.current_stream(self.stage.device))
        with torch.cuda.stream(stream):
            graph.capture_begin()
            self._advance()
            graph.capture_end()
        torch.cuda.current_stream(self.stage.device).wait_stream(stream)
        return graph


def _of_each_crystal(stage: Stage, n_crystals: int) -> Tensor:
    """Coefficients [n_crystals, 2, 6]."""
    if stage.coefficients.dim() == 3 and len(stage.coefficients) != n_crystals:
        raise InputError(f"stages must have coefficients of {n_crystals} crystals, got those of {len(stage.coefficients)}")
    return stage.coefficients.expand(n_crystals, 2, 6)


def integrate(
    field: Field,
    positions: Tensor,  # [n_atoms, 3]
    flow_lattice: Tensor,  # [n_crystals, 6]
    atom_ptr: Tensor,  # [n_crystals + 1]
    stages: Sequence[Stage],
    center: bool = False,
    noise: NoiseSource | None = None,
    on_stage: Callable[[], None] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """An `Integration` of a field in flow times, run once; arguments and results as there."""
    integration = Integration(at_stages(field, stages), atom_ptr, stages, center, positions.dtype)
    return integration.run(positions, flow_lattice, noise, on_stage)
