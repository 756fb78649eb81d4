"""Builds for tests: variants of the engine and extensions, with the interpreter's own compiler."""

import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

from helpers import ROOT

ENGINE = ROOT / "corolib" / "_switch"
HERE = Path(__file__).resolve().parent
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"]
ARCH = {"x86_64": "x86_64_sysv.S"}
# The floor that knows nothing of Python.
FLOOR_1 = [ENGINE / name for name in ("check.c", "stack.c", "slab.c", "lane.c")]


def machine_switch() -> Path:
    machine = sysconfig.get_platform().rpartition("-")[2]
    return ENGINE / "arch" / ARCH.get(machine, "ucontext.c")


def compiler() -> list[str]:
    return shlex.split(sysconfig.get_config_var("CC") or "cc")


def run(*command: object) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"


def python_flags() -> list[str]:
    paths = sysconfig.get_paths()
    return [f"-I{paths['include']}", f"-I{paths['platinclude']}"]


def build_extension(target: Path, sources: list[Path], flags: list[str]) -> Path:
    run(
        *compiler(),
        *("-shared", "-fPIC", "-std=gnu11", "-g", "-fvisibility=hidden", *WARNINGS),
        *(*flags, *python_flags(), f"-I{ENGINE}", *sources, "-o", target),
    )
    return target


def build_into(package: Path, *flags: str) -> None:
    """The engine's module, from the sources of this tree, in the folder of a package."""
    target = package / f"_engine{sysconfig.get_config_var('EXT_SUFFIX')}"
    build_extension(target, [*sorted(ENGINE.glob("*.c")), machine_switch()], ["-O2", *flags])


def build_engine(folder: Path, *flags: str) -> Path:
    """A copy of corolib in `folder` with nothing but the engine, built with other flags. For PYTHONPATH."""
    package = folder / "corolib" / "_switch"
    package.mkdir(parents=True)
    (folder / "corolib" / "__init__.py").write_text("")
    (package / "__init__.py").write_text((ENGINE / "__init__.py").read_text())
    build_into(package, *flags)
    return folder


def run_with(folder: Path, script: Path, *args: object, before: tuple[str, ...] = (), **env: str) -> str:
    """Run a script file with the engine built in `folder`; returns its output, fails if it does."""
    import os

    environ = {**os.environ, "PYTHONPATH": str(folder), **env}
    command = [*before, sys.executable, "-X", "faulthandler", str(script), *map(str, args)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


if __name__ == "__main__":  # tools/engine-matrix: PACKAGE [FLAGS...]
    build_into(Path(sys.argv[1]), *sys.argv[2:])
