"""What is installed, and which native file may depend on what."""

import importlib
import json
import platform
import re
import shutil
import subprocess
from importlib.metadata import distribution
from pathlib import Path

import pytest

CSRC = Path(__file__).parents[1] / "csrc"


def test_native_module_and_kernels_import():
    native = importlib.import_module("packflow._C")
    assert native.instruction_sets()[0] == "baseline"
    assert isinstance(native.cuda_built(), bool)
    assert importlib.import_module("packflow.kernels").__doc__


def test_installed_package_holds_no_sources():
    installed = distribution("packflow-csp")
    if json.loads(installed.read_text("direct_url.json") or "{}").get("dir_info", {}).get("editable"):
        pytest.skip("packflow-csp is an editable install")
    files = [str(file) for file in installed.files]
    assert any(re.fullmatch(r"packflow/_C\..*(so|pyd)", file) for file in files)
    assert "packflow/kernels/__init__.py" in files
    unwanted = re.compile(r"(\.(c|cc|cpp|cu|cuh|h|inl|a|o|cmake)$)|(^|/)(tests?|bench|csrc)/|CMakeLists|conftest")
    assert [file for file in files if unwanted.search(file)] == []
    assert {file.split("/")[0] for file in files if ".dist-info/" not in file and not file.startswith("..")} == {"packflow"}


def native_files(*folders):
    return [path for folder in folders for path in (CSRC / folder).rglob("*") if path.is_file()]


def test_only_bindings_know_python():
    core = native_files("include", "cpu", "cuda")
    assert len(core) > 10
    wrong = [str(path) for path in core if re.search(r'#\s*include\s*[<"](pybind11|torch|ATen|c10|Python\.h)', path.read_text())]
    assert wrong == []
    assert any("pybind11" in path.read_text() for path in native_files("bindings"))


def test_includes_point_down():
    """bindings -> cpu, cuda -> include; nobody includes another device's files."""
    for path in native_files("include", "cpu", "cuda", "bindings"):
        for included in re.findall(r'#\s*include\s*"([^"]+)"', path.read_text()):
            assert included.startswith("packflow/") or (path.parent / included).exists(), f"{path} includes {included}"


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="other processors have one instruction set")
@pytest.mark.parametrize("level", ["avx2", "avx512"])
def test_instruction_sets_do_not_leak(level, tmp_path):
    """The linker keeps one copy of a weak symbol: an AVX copy would crash older machines, so those files define none."""
    if not (shutil.which("g++") and shutil.which("nm")):
        pytest.skip("g++ or nm is not on this machine")
    sources = sorted((CSRC / "cpu").glob(f"*_{level}.cpp"))
    assert sources
    march = {"avx2": "-march=x86-64-v3", "avx512": "-march=x86-64-v4"}[level]
    for source in sources:
        for optimization in ("-O0", "-O3"):
            made = tmp_path / "kernel.o"
            command = [
                "g++",
                "-std=c++17",
                optimization,
                march,
                "-fopenmp-simd",
                f"-I{CSRC / 'include'}",
                "-c",
                str(source),
                "-o",
                str(made),
            ]
            subprocess.run(command, check=True)
            symbols = subprocess.run(["nm", "-C", str(made)], capture_output=True, text=True, check=True).stdout
            weak = re.findall(r" [WVu] .*", symbols)
            assert weak == [], f"{source.name} at {optimization}"
