"""Builds for tests: variants of the engine and extensions, with the interpreter's own compiler."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import needed
import pytest
from helpers import EMULATED, ROOT

ENGINE = ROOT / "corolib" / "_switch"
HERE = Path(__file__).resolve().parent
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"]
# The floor that knows nothing of Python.
FLOOR_1 = [ENGINE / name for name in ("check.c", "stack.c", "slab.c", "lane.c")]


def compiler() -> list[str]:
    return shlex.split(sysconfig.get_config_var("CC") or "cc")


def predefined(*flags: str, cc: Sequence[str] = ()) -> dict[str, str]:
    """What the compiler and the engine's arch.h define."""
    command = [*(cc or compiler()), *flags, "-E", "-dM", "-x", "c", str(ENGINE / "arch.h")]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return dict(re.findall(r"^#define (\w+) (.+)", text, re.MULTILINE))


def machine_switch(*flags: str, cc: Sequence[str] = ()) -> Path:
    """The file in arch/ that belongs to a build with these flags."""
    (path,) = (ENGINE / "arch").glob(predefined(*flags, cc=cc)["ARCH_NAME"].strip('"') + ".[cS]")
    return path


# What a processor can check of jumps and returns, as a distribution would turn it on. On AArch64, arch_test
# turns the checks on for its own pages, and what the linker does to find functions late would not pass.
PROTECTION = {
    "__x86_64__": ["-fcf-protection"],
    "__aarch64__": ["-mbranch-protection=standard", "-Wl,-z,now"],
}


def protection() -> list[str]:
    defined = predefined()
    for machine, flags in PROTECTION.items():
        if machine in defined:
            return flags
    pytest.skip("this machine has no such checks")


def need_header(header: str, cc: str) -> None:
    done = subprocess.run(
        [cc, "-E", "-x", "c", "-"], input=f"#include <{header}>\n", text=True, capture_output=True
    )
    if done.returncode != 0:
        needed.cannot(f"there is no <{header}> for {cc}")


def run(*command: object) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"


def run_floor_1(folder: Path, name: str, *flags: str, cc: Sequence[str] = ()) -> None:
    """Build and run one of the C programs in c/."""
    program = folder / name
    sources = [HERE / "c" / f"{name}.c", *FLOOR_1, machine_switch(*flags, cc=cc)]
    if name == "arch_test":
        sources.append(HERE / "c" / "registers.S")
    run(
        *(*(cc or compiler()), "-std=gnu11", "-g", *WARNINGS, *flags, f"-I{ENGINE}"),
        *(*sources, "-o", program, "-lm", "-pthread"),
    )
    options = "detect_stack_use_after_return=1:handle_segv=0:handle_sigbus=0"
    if EMULATED:
        options += (
            ":detect_leaks=0"  # looks into the process as a debugger would, which an emulator cannot have
        )
    environ = {**os.environ, "ASAN_OPTIONS": options}
    done = subprocess.run([program], capture_output=True, text=True, env=environ, timeout=120)
    assert (done.returncode, done.stdout) == (0, "ok\n"), f"status {done.returncode}\n{done.stderr}"


def python_flags() -> list[str]:
    paths = sysconfig.get_paths()
    return [f"-I{paths['include']}", f"-I{paths['platinclude']}"]


def build_extension(
    target: Path, sources: Sequence[Path], flags: Sequence[str], cc: Sequence[str] = ()
) -> Path:
    run(
        *(cc or compiler()),
        *("-shared", "-fPIC", "-std=gnu11", "-g", "-fvisibility=hidden", *WARNINGS),
        *(*flags, *python_flags(), f"-I{ENGINE}", *sources, "-o", target),
    )
    return target


def build_into(package: Path, *flags: str, cc: Sequence[str] = ()) -> None:
    """The engine's module, from the sources of this tree, in the folder of a package."""
    target = package / f"_engine{sysconfig.get_config_var('EXT_SUFFIX')}"
    sources = [*sorted(ENGINE.glob("*.c")), machine_switch(*flags, cc=cc)]
    build_extension(target, sources, ["-O2", *flags], cc)


def build_engine(folder: Path, *flags: str, cc: Sequence[str] = ()) -> Path:
    """A copy of corolib in `folder` with nothing but the engine, built with other flags. For PYTHONPATH."""
    package = folder / "corolib" / "_switch"
    package.mkdir(parents=True)
    (folder / "corolib" / "__init__.py").write_text("")
    (package / "__init__.py").write_text((ENGINE / "__init__.py").read_text())
    build_into(package, *flags, cc=cc)
    return folder


def build_suite(folder: Path, *flags: str) -> Path:
    """The same, together with these tests, which then run there."""
    build_engine(folder, *flags)
    shutil.copytree(ENGINE, folder / "corolib" / "_switch", dirs_exist_ok=True, ignore=_built)
    shutil.copytree(HERE, folder / "tests" / "switch", ignore=_built)
    for name in ("helpers.py", "conftest.py", "leakcheck.py"):
        shutil.copy(ROOT / "tests" / name, folder / "tests")
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def _built(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name.endswith(".so") or name == "__pycache__"]


def run_with(folder: Path, script: Path, *args: object, before: tuple[str, ...] = (), **env: str) -> str:
    """Run a script file with the engine built in `folder`; returns its output, fails if it does."""
    environ = {**os.environ, "PYTHONPATH": str(folder), **env}
    command = [*before, sys.executable, "-X", "faulthandler", str(script), *map(str, args)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


if __name__ == "__main__":  # tools/engine-matrix: PACKAGE [FLAGS...]
    build_into(Path(sys.argv[1]), *sys.argv[2:])
