"""`ode` against the same update as plain torch expressions, on the CPU with one thread and, where there is one, on the GPU."""

from __future__ import annotations

import torch
from cases import Case, cases
from harness import compare, smallest

from packflow.ops import ode

# A second-order step with centering; the history is the endpoint.
COEFFICIENTS = (1.02, -0.03, -0.02, 0.0, 1.0, -0.4)


def arguments_of(case: Case, device: str) -> dict:
    generator = torch.Generator().manual_seed(0)
    shapes = (case.positions.shape, (len(case.cell), 6))
    state, velocity, history = (tuple(torch.randn(s, generator=generator).to(device) for s in shapes) for _ in range(3))
    coefficients = torch.tensor(COEFFICIENTS, device=device).expand(len(case.cell), 2, 6).contiguous()
    finite = torch.ones(len(case.cell), dtype=torch.bool, device=device)
    return {
        "state": state,
        "velocity": velocity,
        "history": history,
        "coefficients": coefficients,
        "atom_ptr": case.atom_ptr.to(device),
        "finite": finite,
    }


def in_torch(state, velocity, history, coefficients, atom_ptr, finite):
    """The update out of place, as one writes it; what does not change from step to step is made here."""
    counts = atom_ptr.diff().long()
    owner = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    rows = [coefficients[owner, 0, :, None].unbind(1), coefficients[:, 1, :, None].unbind(1)]

    def run():
        moved, kept = [], []
        for (a, b, h, _, d, e), x, v, y in zip(rows, state, velocity, history, strict=True):
            moved.append(a * x + b * v + h * y)
            kept.append(d * x + e * v)
        means = torch.zeros(len(counts), 3, device=owner.device).index_add_(0, owner, moved[0]) / counts[:, None]
        moved[0] = moved[0] - means[owner]
        bad = torch.zeros(len(counts), device=owner.device).index_add_(0, owner, (~moved[0].isfinite()).any(1).float())
        return *moved, *kept, finite & moved[1].isfinite().all(1) & (bad == 0)

    return run


def in_place(arguments: dict):
    """The first call, which is checked, starts where the other side always does; later ones go on from where the last one ended."""

    def run():
        ode(**arguments, center=True)
        return *arguments["state"], *arguments["history"], arguments["finite"]

    return run


def check(ours, theirs) -> None:
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=2e-5)


def main() -> None:
    torch.set_num_threads(1)
    quick = smallest()
    for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
        for case in cases(quick):
            compare(
                "ode",
                case.name,
                "torch",
                in_place(arguments_of(case, device)),
                in_torch(**arguments_of(case, device)),
                check,
                ("atoms", len(case.positions)),
                device=device,
                quick=quick,
            )


if __name__ == "__main__":
    main()
