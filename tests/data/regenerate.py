"""Copy the test crystals out of the shared archive of open crystals: `python tests/data/regenerate.py ARCHIVE TABLE`.

All are CC0, from the Crystallography Open Database; the file name holds the COD number.
"""

import csv
import gzip
import sys
import zipfile
from pathlib import Path

COD = {
    "1010060": "carbon dioxide, Pa-3, molecules on threefold axes",
    "1511801": "propane",
    "2007371": "ethylene glycol",
    "2012828": "3-amino-1,2,4-triazine",
    "2019369": "urea, molecules on mirror planes",
    "2022073": "pentaerythritol, body centred",
    "2100665": "ethylenediamine, molecules on inversion centres",
    "2203632": "dimethyl fumarate",
    "2242302": "dimethyl sulfoxide",
    "4037663": "glycine, gamma, zwitterion",
    "4116140": "malonic acid",
    "4116821": "1,4-difluorobenzene",
    "4501703": "benzene, molecules on inversion centres",
    "7214418": "ethylamine",
    "7221763": "a bromoisoxazole",
    "7238218": "benzyl alcohol",
}


def main(archive: str, table: str) -> None:
    """Write tests/data/cif/*.cif and the table of their SMILES."""
    out = Path(__file__).parent / "cif"
    out.mkdir(exist_ok=True)
    with gzip.open(table, "rt", newline="") as lines:
        rows = {row["cod_id"]: row for row in csv.DictReader(lines) if row["cod_id"] in COD and row["licence"] == "CC0 (COD)"}
    with zipfile.ZipFile(archive) as files, (out / "table.csv").open("w", newline="") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(("file", "smiles", "kind", "licence"))
        for cod in COD:
            (out / f"{cod}.cif").write_bytes(files.read(rows[cod]["file"]))
            writer.writerow((f"{cod}.cif", rows[cod]["smiles"], rows[cod]["kind"], rows[cod]["licence"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
