"""Runs of Genarris 3 (Yang et al., J. Chem. Theory Comput. 2025, 5c01080), for users who have it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from packflow.baseline.conformer import Conformer
from packflow.baseline.genarris_files import (
    GENERATION,
    LOG,
    PRESS,
    SETTINGS,
    GenarrisConfig,
    GenarrisStructure,
    input_files,
    read_structures,
)
from packflow.errors import InputError

PROGRAM = "gnrs"
SOURCE = "https://github.com/Yi5817/Genarris"
# what its log says where no structure was found; then it fails in the statistics of none
NOTHING = "No structures to write!"
# of its own error text
LAST_LINES, MAX_LENGTH = 8, 500


def check_genarris(command: Sequence[str]) -> None:
    """Raise InputError if a word of a command that must be a program is none."""
    for word in dict.fromkeys([command[0], *(word for word in command if Path(word).name == PROGRAM)]):
        if shutil.which(word) is None:
            hint = f"Genarris 3 is not installed: install it from {SOURCE} (it needs MPI), or give the command that starts it"
            raise InputError(f"{hint}; {word!r} is not found")


def genarris_structures(
    conformer: Conformer,
    n_copies: int,
    groups: Sequence[int],
    per_group: int,
    seed: int,
    config: GenarrisConfig | None = None,
    press: bool = False,
) -> list[GenarrisStructure]:
    """Run Genarris once, in a folder of its own that is then removed.

    Args:
        conformer: The rigid molecule.
        n_copies: Molecules per unit cell.
        groups: Numbers of space groups.
        per_group: Structures of each, at most.
        seed: Of all random numbers, 1 or more.
        config: How it is run.
        press: Compress them by its Rigid Press.

    Returns:
        What it found, in its order: group by group. May be empty.

    Raises:
        InputError: it is not installed, it fails, or its structures are not those of the molecule.
    """
    config = config or GenarrisConfig()
    check_genarris(config.command)
    with TemporaryDirectory(prefix="packflow-genarris-") as name:
        folder = Path(name)
        for file, text in input_files(conformer, n_copies, groups, per_group, seed, config, press).items():
            (folder / file).write_text(text)
        found = folder / "structures" / (PRESS if press else GENERATION) / "structures.json"
        ended = run_in(folder, [*config.command, "--config", SETTINGS, "--seed", str(seed)])
        if ended.returncode == 0 and found.exists():
            return read_structures(found, conformer, n_copies)
        if not found.exists() and NOTHING in log_of(folder):
            return []
        raise InputError(f"Genarris failed ({how_it_ended(ended.returncode)}): {last_words(ended, log_of(folder))}")


def run_in(folder: Path, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; raises InputError if it cannot be started."""
    try:
        return subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8", errors="replace", check=False
        )
    except OSError as error:
        raise InputError(f"Genarris cannot be started as {' '.join(command)}: {error.strerror}") from error


def log_of(folder: Path) -> str:
    """What a run has written to its log; empty if there is none."""
    file = folder / LOG
    return file.read_text(errors="replace") if file.is_file() else ""


def how_it_ended(status: int) -> str:
    """An exit status in words."""
    return "it ended well, but wrote no structures" if status == 0 else f"exit status {status}"


def last_words(ended: subprocess.CompletedProcess[str], log: str) -> str:
    """The end of the text in which a run says why it failed, on one line."""
    if "Traceback" in log:
        return lines_of(log)[-1][-MAX_LENGTH:]
    text = next((text for text in (ended.stderr, ended.stdout, log) if lines_of(text)), "it says nothing")
    return " ".join(lines_of(text)[-LAST_LINES:])[-MAX_LENGTH:]


def lines_of(text: str) -> list[str]:
    """Lines with a letter or digit."""
    return [line.strip() for line in text.splitlines() if any(character.isalnum() for character in line)]
