"""What importing a part of corolib brings along: itself, and never what is about to be patched."""

import shutil
import sys
from pathlib import Path

import pytest
from helpers import ROOT, run_isolated

# Neither site's .pth files nor the environment take part: what is in sys.modules is there because of corolib.
OPTIONS = ("-I", "-S", "-W", "error")
PREAMBLE = (
    f"import sys; sys.path[:0] = {[str(ROOT), *(path for path in sys.path if 'site-packages' in path)]!r}\n"
)

MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "corolib").rglob("*.py")
    if path.name not in ("__main__.py", "build.py")  # a program, and a part of setup.py
)
BATCHES = [MODULES[start::8] for start in range(8)]


@pytest.mark.parametrize("batch", BATCHES, ids=lambda batch: f"{batch[0]}...")
def test_each_module_can_be_imported_first(batch: list[str]) -> None:
    for module in batch:
        run_isolated(PREAMBLE + f"import {module}", options=OPTIONS)


@pytest.mark.parametrize("module", ["corolib", "corolib.hub", "corolib.monkey"])
def test_what_will_be_patched_is_not_imported(module: str) -> None:
    heavy = {"socket", "ssl", "threading", "logging", "subprocess", "queue", "selectors"}
    done = run_isolated(
        PREAMBLE + f"before = set(sys.modules)\nimport {module}\nprint(*sorted(set(sys.modules) - before))",
        options=OPTIONS,
    )
    assert not heavy & set(done.stdout.split())


def test_the_roof_imports_no_part() -> None:
    done = run_isolated(
        PREAMBLE + "import corolib\nprint(*[name for name in sys.modules if name.startswith('corolib.')])",
        options=OPTIONS,
    )
    assert done.stdout.split() == []


def test_a_part_does_not_import_the_others() -> None:
    done = run_isolated(
        PREAMBLE
        + "import corolib.local\nprint(*[name for name in sys.modules if name.startswith('corolib.')])",
        options=OPTIONS,
    )
    assert {name.split(".")[1] for name in done.stdout.split()} == {"local", "_switch"}


@pytest.mark.parametrize("name", ["corolib.hub", "corolib.socket", "corolib.monkey as m; m.patch_all()"])
def test_in_a_tree_that_was_not_built_it_says_so(tmp_path: Path, name: str) -> None:
    unbuilt = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(ROOT / "corolib", tmp_path / "corolib", ignore=unbuilt)
    script = PREAMBLE.replace(str(ROOT), str(tmp_path)) + f"import {name}"
    done = run_isolated(script, options=OPTIONS, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: corolib is not built in {tmp_path}: 'pip install -e .' there builds it; "
        "if it is installed elsewhere, start Python in another folder"
    )
