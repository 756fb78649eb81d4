"""The three native parts of corolib; all other facts about the package are in pyproject.toml."""

import os
import platform
import subprocess
import sys
from glob import glob

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

CHECK = os.environ.get("COROLIB_CHECK") == "1"

# Warnings stop a developer's build only: a user's newer compiler may know more of them.
FLAGS = ["-std=gnu11", "-O2", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-unused-parameter"]
if CHECK:
    FLAGS += ["-Werror", "-DCOROLIB_CHECK", "-g"]

# The machine switch: one file for each CPU; corolib/_switch/arch.h has a case for each.
ARCH = {
    "x86_64": "x86_64_sysv.S",
    "amd64": "x86_64_sysv.S",
    "aarch64": "aarch64_aapcs.S",
    "arm64": "aarch64_aapcs.S",
}
SWITCH = glob("corolib/_switch/arch/" + ARCH.get(platform.machine().lower(), "none.S"))

NEEDED = (
    "corolib is built from C: {missing}; install {debian} on Debian and Ubuntu, {fedora} on Fedora, "
    "or {homebrew} with Homebrew, and try again."
)


def native(name: str, folder: str, extra: list[str], includes: list[str]) -> Extension:
    return Extension(
        name,
        sources=sorted(glob(f"{folder}/*.c")) + extra,
        depends=sorted(glob("corolib/_*/**/*.h", recursive=True)),
        include_dirs=[folder, *includes],
        extra_compile_args=FLAGS,
    )


class Build(build_ext):
    def build_extensions(self) -> None:
        self.look_around()
        # setuptools knows no .S, though every compiler it drives does.
        if ".S" not in self.compiler.src_extensions:
            self.compiler.src_extensions.append(".S")
        super().build_extensions()

    def look_around(self) -> None:
        """Say in one sentence what is missing, rather than let the compiler say it in fifty."""
        if not SWITCH:
            machine = platform.machine()
            raise SystemExit(f"corolib has no stack switch for {machine} yet: see corolib/_switch/README.md.")
        includes = ["-I" + path for path in self.compiler.include_dirs]
        command = [*self.compiler.compiler_so, *includes, "-fsyntax-only", "-x", "c", "-"]
        for code, missing, debian, fedora, homebrew in (
            ("", "there is no working C compiler", "gcc and libc6-dev", "gcc", "gcc"),
            ("#include <Python.h>", "Python.h is missing", "python3-dev", "python3-devel", "python"),
            ("#include <ev.h>", "libev's header ev.h is missing", "libev-dev", "libev-devel", "libev"),
        ):
            code += "\n#include <stdio.h>\n"
            try:
                works = subprocess.run(command, input=code, text=True, capture_output=True).returncode == 0
            except OSError:
                works = False
            if not works:
                names = {"debian": debian, "fedora": fedora, "homebrew": homebrew}
                raise SystemExit(NEEDED.format(missing=missing, **names))


if sys.platform == "win32":
    raise SystemExit("corolib needs a POSIX system (Linux, macOS): this is Windows.")

setup(
    ext_modules=[
        native("corolib._switch._engine", "corolib/_switch", SWITCH, []),
        native("corolib._hub._core", "corolib/_hub", [], ["corolib/_ev", "corolib/_switch"]),
    ],
    cffi_modules=["corolib/_ev/build.py:ffibuilder"],
    cmdclass={"build_ext": Build},
)
