"""Imports inside packflow point down: a module sees only lower layers and its own folder, never a sibling."""

import ast
from pathlib import Path

import packflow

LAYERS = [
    {"_C", "kernels", "elements", "errors", "disk"},
    {"ops", "structure"},
    {"model", "data", "metrics", "potential"},
    {"relax", "baseline"},
    {"flow"},
    {"train", "rank", "proposal_table"},
    {"report", "campaign"},
    {"pipeline", "evaluate"},
    {"cli"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
FREE = {"__init__", "testing"}


def imports(path: Path) -> set[str]:
    """Parts of packflow that the file imports, lazily or not."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            found.add("." * node.level + (node.module or ""))
        elif isinstance(node, ast.ImportFrom) and node.module == "packflow":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("packflow."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("packflow.")}
    return found


def violations(root: Path) -> list[str]:
    """Imports under the package folder `root` that the layers forbid."""
    wrong = []
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root)
        own = name.parts[0].removesuffix(".py")
        if own in FREE:
            continue
        if own not in RANK:
            wrong.append(f"{name} is in no layer")
            continue
        for other in sorted(imports(path) - {own}):
            if other not in RANK:
                wrong.append(f"{name} imports {other}, which is in no layer")
            elif RANK[other] >= RANK[own]:
                wrong.append(f"{name} imports {other}")
    return wrong


def test_imports_point_down():
    wrong = violations(Path(packflow.__file__).parent)
    assert not wrong, "\n".join(wrong)


def test_kernels_import_nothing_of_packflow():
    kernels = Path(__file__).parents[1] / "kernels"
    assert all(imports(path) <= {"kernels"} for path in kernels.rglob("*.py"))


def test_planted_violations_are_found(tmp_path):
    (tmp_path / "structure").mkdir()
    (tmp_path / "structure" / "cif.py").write_text("def f():\n    from packflow.train import loop\n")
    (tmp_path / "structure" / "crystal.py").write_text("import packflow.ops\nfrom packflow import elements\n")
    (tmp_path / "structure" / "batch.py").write_text("from packflow.structure.crystal import Crystal\nfrom .crystal import unwrap\n")
    (tmp_path / "helpers.py").write_text("")
    (tmp_path / "errors.py").write_text("from packflow import nonsense\n")
    (tmp_path / "__init__.py").write_text("from packflow.cli import main\n")
    assert violations(tmp_path) == [
        "errors.py imports nonsense, which is in no layer",
        "helpers.py is in no layer",
        "structure/batch.py imports .crystal, which is in no layer",
        "structure/cif.py imports train",
        "structure/crystal.py imports ops",
    ]
