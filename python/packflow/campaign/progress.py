"""Progress of a stage for who waits for it, and what is said of units that were given up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from packflow.campaign.work import Done
from packflow.errors import InputError


def with_progress(results: Iterator[Done], what: str, total: int, n_done: Callable[[], int], show: bool = True) -> list[Done]:
    """Take all results, with a progress bar on standard error.

    Args:
        results: Of a stage.
        what: The stage does, such as "sampling".
        total: Proposals.
        n_done: Asked after each result: proposals that are done, those of earlier calls too.
        show: The bar.

    Returns:
        Those that were given up.
    """
    columns = (TextColumn(f"{what:<9}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    given_up = []
    with Progress(*columns, console=Console(stderr=True), disable=not show) as bar:
        work = bar.add_task("proposals", total=total, completed=n_done())
        for result in results:
            bar.update(work, completed=n_done())
            if result.problem:
                given_up.append(result)
    return given_up


def check_none_given_up(given_up: Sequence[Done], done: str) -> None:
    """Raise InputError if units were given up; `done` is what they could not be, such as "sampled"."""
    if given_up:
        units = f"{len(given_up)} units ({sum(result.unit.n_proposals for result in given_up)} proposals)"
        raise InputError(f"{units} could not be {done}, the same command tries them again; the first: {given_up[0].problem}")
