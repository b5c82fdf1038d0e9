"""Options of engines that are other programs, for `packflow sample` and `packflow evaluate`."""

from __future__ import annotations

import shlex

import jsonargparse

from packflow.baseline import GenarrisConfig, PyxtalConfig
from packflow.errors import InputError

PYXTAL_FACTOR = PyxtalConfig().volume_factor
GENARRIS_COMMAND = shlex.join(GenarrisConfig().command)


def add_engine_arguments(parser: jsonargparse.ArgumentParser) -> None:
    """How PyXtal and Genarris are used."""
    factor = "of engine pyxtal: its volume factor; about 0.4 for the volume of crystals"
    parser.add_argument("--pyxtal-factor", type=float, default=PYXTAL_FACTOR, help=factor)
    command = 'of engines genarris and genarris-press: what starts Genarris, as "mpirun -np 4 gnrs"'
    parser.add_argument("--genarris-command", type=str, default=GENARRIS_COMMAND, help=command)


def pyxtal_of(args: jsonargparse.Namespace) -> PyxtalConfig:
    """How PyXtal draws; raises InputError if its factor is not positive."""
    return PyxtalConfig(args.pyxtal_factor)


def genarris_of(args: jsonargparse.Namespace) -> GenarrisConfig:
    """How Genarris is run.

    Raises:
        InputError: its command has no words, or a quotation mark in it is not closed.
    """
    try:
        words = shlex.split(args.genarris_command)
    except ValueError as error:
        raise InputError(f"--genarris-command must be the words that start Genarris, got {args.genarris_command!r}: {error}") from error
    return GenarrisConfig(tuple(words))
