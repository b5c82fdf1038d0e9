"""Where a run reports: a CSV file, TensorBoard events, a progress bar and lines on the terminal."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

from packflow.errors import InputError

METRICS, BOARD = "metrics.csv", "tensorboard"


class Log:
    """Keeps nothing: the log of a process beside the first. As a context it does nothing."""

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """End."""

    def write(self, step: int, values: dict[str, float]) -> None:
        """Numbers of a step."""

    def advance(self, step: int, values: str) -> None:
        """A step is done; `values` is what a progress bar says of it."""

    def line(self, text: str) -> None:
        """A line for people."""


class Logs(Log):
    """Several logs as one."""

    def __init__(self, *logs: Log) -> None:
        """logs: in the order in which they begin; they end in the reverse."""
        self._logs = logs

    def __enter__(self) -> Self:
        """Begin all."""
        with ExitStack() as begun:
            for log in self._logs:
                begun.enter_context(log)
            self._begun = begun.pop_all()  # they stay open unless one could not begin
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """End all."""
        self._begun.__exit__(kind, error, traceback)

    def write(self, step: int, values: dict[str, float]) -> None:
        """Numbers of a step, in each."""
        for log in self._logs:
            log.write(step, values)

    def advance(self, step: int, values: str) -> None:
        """A step is done."""
        for log in self._logs:
            log.advance(step, values)

    def line(self, text: str) -> None:
        """A line for people."""
        for log in self._logs:
            log.line(text)


class RunLog(Log):
    """Log of one run; as a context it shows a progress bar, where the terminal can."""

    def __init__(self, out: Path, columns: Sequence[str], n_steps: int, first_step: int = 0) -> None:
        """Open the files; on a resumed run, rows of steps that will be done again are dropped.

        Args:
            out: Folder of the run.
            columns: Names of the numbers that are written, "step" first.
            n_steps: Of the whole run.
            first_step: Steps that are done.
        """
        self.path = out / METRICS
        with written(self.path):
            rows = [row for row in read_rows(self.path) if int(row["step"]) <= first_step]
            partial = self.path.with_name(METRICS + ".partial")
            with partial.open("w", newline="") as file:
                kept = csv.DictWriter(file, columns)
                kept.writeheader()
                kept.writerows(rows)
            partial.replace(self.path)  # so that a kill at any moment leaves the rows
            self._file = self.path.open("a", newline="")
            self._writer = csv.DictWriter(self._file, columns)
            self._board = SummaryWriter(str(out / BOARD), purge_step=first_step + 1)
        self.console = Console(highlight=False)
        shown = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"), TimeRemainingColumn())
        self._bar = Progress(*shown, TextColumn("{task.fields[values]}"), console=self.console, disable=not self.console.is_terminal)
        self._task = self._bar.add_task("train", total=n_steps, completed=first_step, values="")

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Close the files and the bar."""
        self._bar.stop()
        with written(self.path):
            try:
                self._file.close()
            finally:
                self._board.close()

    def write(self, step: int, values: dict[str, float]) -> None:
        """One row of the CSV and one event per value; the names are columns.

        Raises:
            InputError: the disk is full or not writable.
        """
        with written(self.path):
            self._writer.writerow({"step": step, **{name: f"{value:.8g}" for name, value in values.items()}})
            self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def advance(self, step: int, values: str) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=step, values=values)

    def line(self, text: str) -> None:
        """A line above the bar."""
        self.console.print(text, soft_wrap=True, markup=False)
        self.console.file.flush()  # a run in the background is followed in its log file


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Say which file could not be written, and why, when the disk is full."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error}): mend that and resume; checkpoints are complete") from error


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a log, none if it does not exist; a last line that was cut off is dropped."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [row for row in rows if row["step"].isdigit() and None not in row.values()]
