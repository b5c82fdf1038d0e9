"""A program that reads Genarris 3's settings and writes its folder of structures, for tests on machines without it.

It packs nothing: molecules are far apart, each copy turned by a multiple of 90 degrees, and a group that is 1 modulo 5 fails. File names,
the forms of values, the order of atoms, what the log says and how a run without structures ends are those of Genarris 3.1.4.
"""

import json
import random
import sys
from ast import literal_eval
from configparser import ConfigParser
from pathlib import Path

NUMBERS = {"H": 1, "C": 6, "N": 7, "O": 8, "Cl": 17}


def value(text):
    """A value of ui.conf; what is no literal is text."""
    try:
        return literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def array(rows, kind):
    """An array as ASE's JSON has it."""
    shape = [len(rows)] + ([len(rows[0])] if isinstance(rows[0], list) else [])
    flat = [number for row in rows for number in row] if len(shape) == 2 else rows
    return {"__ndarray__": [shape, kind, flat]}


def structure(atoms, n_copies, group, edge):
    """Copies along a, turned about c."""
    numbers, positions = [], []
    for k in range(n_copies):
        for symbol, x, y, z in atoms:
            for _ in range(k):
                x, y = -y, x
            numbers.append(NUMBERS[symbol])
            positions.append([x + k * edge, y, z])
    cell = [[n_copies * edge, 0.0, 0.0], [0.0, edge, 0.0], [0.0, 0.0, edge]]
    return {
        "numbers": array(numbers, "int64"),
        "positions": array(positions, "float64"),
        "cell": array(cell, "float64"),
        "pbc": array([True] * 3, "bool"),
        "info": {"spg": group},
        "__ase_objtype__": "atoms",
    }


def main():
    arguments = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    parser = ConfigParser()
    parser.read(arguments["--config"])
    settings = {name: {option: value(text) for option, text in parser.items(name)} for name in parser.sections()}
    log = Path("Genarris.log")
    log.write_text("INFO: genarris- STARTING GENARRIS\n")
    generation, n_copies = settings["generation"], settings["master"]["z"]
    if "fail" in generation:
        log.write_text("Traceback (most recent call last):\n  File x\nKeyError: 'Xx-Xx'\n")
        return 1
    lines = Path(settings["master"]["molecule_path"][0]).read_text().splitlines()
    atoms = [(symbol, float(x), float(y), float(z)) for symbol, x, y, z in map(str.split, lines[2 : 2 + int(lines[0])])]
    if "shuffle" in generation:
        atoms = [atoms[1], atoms[0], *atoms[2:]]
    if "stretch" in generation:
        atoms = [(symbol, 1.3 * x, y, z) for symbol, x, y, z in atoms]
    draw = random.Random(generation["seed"])
    found = []
    for group in generation["spg_distribution_type"]:
        if group % 5 != 1:
            found += [structure(atoms, n_copies, group, draw.uniform(20.0, 22.0)) for _ in range(generation["num_structures_per_spg"])]
    for task in settings["workflow"]["tasks"]:
        if not found:
            log.write_text(log.read_text() + "INFO: parallel_io- No structures to write!\nValueError: zero-size array\n")
            return 1
        folder = Path("structures", task)
        folder.mkdir(parents=True)
        entries = [f'"{draw.getrandbits(60):x}": {json.dumps(atoms)}' for atoms in found]
        (folder / "structures.json").write_text("{\n" + ",\n".join(entries) + "\n}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
