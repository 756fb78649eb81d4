"""What a user meets first: the build, what it says when something is missing, and what it ships."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from helpers import ROOT


def source_tree(target: Path) -> Path:
    """A copy of what a checkout holds and a build may change."""
    built = shutil.ignore_patterns(
        "*.so", "*.o", "__pycache__", "build", "dist", "*.egg-info", ".*venv*", ".git", ".*_cache"
    )
    shutil.copytree(ROOT, target, ignore=built)
    return target


def build_ext(tree: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--build-temp", "temp", "--build-lib", "lib"],
        cwd=tree,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
    )


def compiler_without(header: str, target: Path) -> str:
    """A compiler that does not find one header and is otherwise the real one."""
    target.write_text(
        "#!/bin/sh\ninput=$(cat)\n"
        f"case $input in *'<{header}>'*) echo 'fatal error: {header}: No such file' >&2; exit 1 ;; esac\n"
        'printf "%s\\n" "$input" | cc "$@"\n'
    )
    target.chmod(0o755)
    return str(target)


def the_sentence(done: subprocess.CompletedProcess[str]) -> str:
    """What a failed build says, which is one sentence."""
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("corolib")]
    assert len(lines) == 1, done.stderr
    assert done.stderr.rstrip().endswith(lines[0])
    return lines[0]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return source_tree(tmp_path_factory.mktemp("source") / "corolib")


def test_missing_compiler_is_one_sentence(tree: Path) -> None:
    said = the_sentence(build_ext(tree, CC="/nonexistent/cc"))
    assert "no working C compiler" in said
    assert "gcc and libc6-dev on Debian" in said


@pytest.mark.parametrize(
    ("header", "packages"),
    [
        ("ev.h", "libev-dev on Debian and Ubuntu, libev-devel on Fedora, or libev with Homebrew"),
        ("Python.h", "python3-dev on Debian and Ubuntu, python3-devel on Fedora, or python with Homebrew"),
    ],
)
def test_missing_header_is_one_sentence(tree: Path, tmp_path: Path, header: str, packages: str) -> None:
    said = the_sentence(build_ext(tree, CC=compiler_without(header, tmp_path / "cc")))
    assert f"{header} is missing" in said
    assert packages in said


@pytest.mark.slow
@pytest.mark.hang_after(900)
def test_distributions_hold_what_is_needed(tree: Path, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path), str(tree)],
        check=True,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
    )
    [sdist] = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    sources = {
        str(path.relative_to(ROOT))
        for kind in ("*.c", "*.h", "*.S", "*.py", "*.pyi", "py.typed")
        for path in (ROOT / "corolib").rglob(kind)
        if not path.name.startswith("_libev.c")
    }
    assert sources <= names
    assert {
        "LICENSE",
        "README.md",
        "setup.py",
        "pyproject.toml",
        "tests/conftest.py",
        "demo",
        "test",
    } <= names
    assert not [name for name in names if name.endswith((".so", ".pyc", ".o"))]

    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {
        "corolib/py.typed",
        "corolib/_switch/_engine.pyi",
        "corolib/_hub/_core.pyi",
        "corolib/server/_http/_core.pyi",
        "corolib/_ev/_libev.pyi",
    } <= names
    assert "corolib/_switch/capi.h" in names
    assert {name.split(".")[0] for name in names if name.endswith(".so")} == {
        "corolib/_switch/_engine",
        "corolib/_hub/_core",
        "corolib/server/_http/_core",
        "corolib/_ev/_libev",
    }
    assert not [name for name in names if name.endswith((".c", ".S", ".o")) or name.startswith("tests")]
    assert [name for name in names if name.endswith("licenses/LICENSE")]


def shell(script: str, *args: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / script), *args], cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True
    )


@pytest.mark.parametrize("script", ["demo", "test", "check"])
def test_scripts_refuse_an_interpreter_that_is_not_there(script: str, tmp_path: Path) -> None:
    done = shell(script, cwd=tmp_path, PYTHON="no-such-python")
    assert done.returncode == 1
    assert done.stderr == "PYTHON is 'no-such-python': there is no such program.\n"


def test_scripts_refuse_an_interpreter_that_is_too_old(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2\nexit 1\n')
    old.chmod(0o755)
    done = shell("test", cwd=tmp_path, PYTHON="./python")
    assert done.returncode == 1
    assert (
        done.stderr == "corolib needs Python 3.11 or newer, found Python 3.9.2: set PYTHON to a newer one.\n"
    )


def test_scripts_say_what_is_needed_where_there_is_no_apt(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "dirname", "cat", "id", "sed", "sort", "find", "cksum"):
        (tools / name).symlink_to(shutil.which(name) or name)
    done = shell(
        "test", cwd=tmp_path, PATH=str(tools), PYTHON=sys.executable, COROLIB_VENV=str(tmp_path / "venv")
    )
    assert done.returncode == 1
    assert "corolib needs gcc libc6-dev" in done.stderr
    assert "Fedora" in done.stderr
