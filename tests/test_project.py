"""The house: two commands, one lock, nothing that is true on one machine only."""

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = dict(line.split("==") for line in (ROOT / "requirements.lock").read_text().split())
LOCKED = {canonicalize_name(name): version for name, version in LOCK.items()}


def declared():
    project = PYPROJECT["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return [Requirement(line) for group in groups for line in group]


@pytest.mark.parametrize("requirement", declared(), ids=lambda r: r.name)
def test_the_lock_holds_each_dependency_within_its_range(requirement):
    assert requirement.specifier.contains(LOCKED[canonicalize_name(requirement.name)])


def test_the_lock_is_exact_and_names_no_place():
    for name, version in LOCK.items():
        assert re.fullmatch(r"[A-Za-z0-9._-]+", name)
        assert re.fullmatch(r"[0-9][0-9a-z.]*", version), f"{name}: no local suffix"
    assert LOCK["torch"] == "2.13.0"


def test_the_lock_is_complete():
    """What a locked package needs is locked, too, but for what torch's CUDA build brings along."""
    for name in LOCKED:
        for line in importlib.metadata.requires(name) or []:
            needed = Requirement(line)
            cuda = name == "torch" and re.match("nvidia|cuda|triton", needed.name)
            if not cuda and (needed.marker is None or needed.marker.evaluate({"extra": ""})):
                assert canonicalize_name(needed.name) in LOCKED, f"{name} needs {needed}"


def test_what_is_installed_is_what_is_locked():
    installed = {name: importlib.metadata.version(name).split("+")[0] for name in LOCKED}
    assert installed == LOCKED


def test_conda_users_get_the_same_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (pip,) = [part["pip"] for part in environment["dependencies"] if isinstance(part, dict)]
    assert pip == ["-r requirements.lock", "-e ."]
    (python,) = [part for part in environment["dependencies"] if str(part).startswith("python")]
    assert PYPROJECT["project"]["requires-python"] == ">=3.11" and python == "python=3.11"


def make(*args):
    return subprocess.run(["make", *args], cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("version", "complaint"), [("(3, 10)", "needs Python 3.11 or later"), (None, "no Python at")]
)
def test_make_refuses_a_python_that_will_not_do_in_one_line(version, complaint, tmp_path):
    python = tmp_path / "python"
    if version:
        python.write_text(
            "#!/usr/bin/env bash\n"
            f'exec {sys.executable} -c "import sys; sys.version_info = {version}; ${{2#*; }}"\n'
        )
        python.chmod(0o755)
    result = make("lab", "--always-make", f"PYTHON={python}")
    assert result.returncode != 0
    (line,) = result.stderr.strip().splitlines()
    assert complaint in line and "make lab PYTHON=" in line


def test_make_passes_pip_options_through():
    plan = make("--dry-run", "--always-make", "test", "PIP_ARGS=--no-index", "PYTHON=python3")
    assert "pip install --no-index -r requirements.lock" in plan.stdout
    assert "pytest" in plan.stdout


def test_the_readme_says_what_each_chapter_takes_and_none_takes_too_much():
    from mlsys_helpers.start_here import CHAPTERS

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| (\d\d) \| ([^|]+) \| (\d+) \| ([\d.]+) \| ([\d,]+) \|$", readme)
    assert [(int(number), title) for number, title, *_ in rows] == [
        (chapter.number, chapter.title) for chapter in CHAPTERS
    ]
    for _, title, seconds, slowest, megabytes in rows:
        assert float(seconds) <= 60 and float(slowest) <= 10, title
        assert int(megabytes.replace(",", "")) <= 2_000, title


def tracked():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name]


MACHINE = re.compile(r"(?<![\w.~/])/(?:home|root|work|tmp|Users)/\w")
REGISTRY = re.compile(r"https?://[^\s)\"'>]*(?:pypi|pythonhosted|download\.pytorch|anaconda\.org)")


def test_no_file_names_a_place_of_one_machine_or_a_registry():
    for path in tracked():
        if path.suffix in {".parquet", ".png"} or path.name.startswith(("test_", "notebook_")):
            continue
        text = path.read_text(encoding="utf-8")
        assert not MACHINE.search(text), path
        assert not REGISTRY.search(text), path


def fresh_python(code, folder):
    environment = os.environ | {"PYTHONPATH": ""}
    command = [sys.executable, "-c", code]
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_importing_the_package_is_light(tmp_path):
    code = "import sys, mlsys_helpers; print(*sorted(sys.modules))"
    loaded = set(fresh_python(code, tmp_path).split())
    assert not loaded & {"sklearn", "torch", "pandas", "numpy", "matplotlib"}


MODULES = sorted(path.stem for path in (ROOT / "mlsys_helpers").glob("[a-z]*.py"))


@pytest.mark.parametrize("module", [*MODULES, "exercises"])
def test_no_module_loads_torch_before_it_is_used(module, tmp_path):
    code = f"import sys, mlsys_helpers.{module}; print('torch' in sys.modules)"
    assert fresh_python(code, tmp_path).strip() == "False"


def test_the_package_works_when_installed_elsewhere(tmp_path):
    """Built as `pip install .` builds it, unpacked far from the checkout, data and all."""
    build = [sys.executable, "-m", "pip", "wheel", str(ROOT), "--no-deps", "--no-build-isolation"]
    build += ["--no-index", "--quiet", "--wheel-dir", str(tmp_path)]
    subprocess.run(build, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", str(wheel), "--no-deps", "--no-index"]
    install += ["--quiet", "--target", str(site)]
    subprocess.run(install, check=True, capture_output=True, timeout=120)
    code = f"""
import sys; sys.path.insert(0, {str(site)!r})
import mlsys_helpers
from mlsys_helpers.datasets import load_flight_features
from mlsys_helpers.exercises import check, progress
assert mlsys_helpers.__file__.startswith({str(site)!r})
print(len(load_flight_features()))
"""
    assert fresh_python(code, tmp_path).split() == ["327346"]
