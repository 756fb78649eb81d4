"""The native parts of corolib; all other facts about the package are in pyproject.toml."""

import os
import re
import subprocess
import sys
import sysconfig
from glob import glob

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

CHECK = os.environ.get("COROLIB_CHECK") == "1"

# Warnings stop a developer's build only: a user's newer compiler may know more of them.
FLAGS = ["-std=gnu11", "-O2", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-unused-parameter"]
if CHECK:
    FLAGS += ["-Werror", "-DCOROLIB_CHECK", "-g"]

# With -ffast-math in CFLAGS, the linker would add code that turns denormals off in the whole process.
EXACT = ["-O2", "-fno-fast-math", "-fno-unsafe-math-optimizations"]

# How stacks are switched: arch.h decides, or this asks for its slow fallback.
ARCH = os.environ.get("COROLIB_ARCH", "")
if ARCH == "ucontext":
    FLAGS += ["-DCOROLIB_UCONTEXT"]
elif ARCH:
    raise SystemExit(f"COROLIB_ARCH can be 'ucontext' or unset: it is {ARCH!r}.")

NEEDED = (
    "corolib is built from C: {missing}; install {debian} on Debian and Ubuntu, {fedora} on Fedora, "
    "or {homebrew} with Homebrew, and try again."
)


def native(name: str, folder: str, includes: list[str]) -> Extension:
    return Extension(
        name,
        sources=sorted(glob(f"{folder}/*.c")),
        depends=sorted(glob("corolib/**/_*/**/*.h", recursive=True)),
        include_dirs=[folder, *includes],
        extra_compile_args=[*FLAGS],
    )


class Build(build_ext):
    def build_extensions(self) -> None:
        self.look_around()
        self.add_switch()
        for extension in self.extensions:  # with that of cffi
            extension.extra_compile_args += EXACT
            extension.extra_link_args += EXACT
        # setuptools knows no .S, though every compiler it drives does.
        if ".S" not in self.compiler.src_extensions:
            self.compiler.src_extensions.append(".S")
        super().build_extensions()

    def look_around(self) -> None:
        """Say in one sentence what is missing, rather than let the compiler say it in fifty."""
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

    def add_switch(self) -> None:
        """The file of corolib/_switch/arch for the machine that this compiler compiles for."""
        command = [*self.compiler.compiler_so, *FLAGS, "-E", "-dM", "-x", "c", "corolib/_switch/arch.h"]
        done = subprocess.run(command, text=True, capture_output=True)
        found = dict(re.findall(r"^#define (\w+) (.+)", done.stdout, re.MULTILINE))
        if done.returncode or "ARCH_NAME" not in found:
            raise SystemExit(f"corolib/_switch/arch.h cannot be compiled:\n{done.stderr}")
        name = found["ARCH_NAME"].strip('"')
        (engine,) = (module for module in self.extensions if module.name.endswith("._engine"))
        engine.sources += glob(f"corolib/_switch/arch/{name}.[cS]")
        print(f"corolib: stacks will be switched by {engine.sources[-1]}")
        if name == "ucontext":
            print("corolib: that works everywhere, but a switch takes thirty times as long")
            # Some compilers support shadow stacks unasked; the fallback cannot (it says why).
            if "__CET__" in found:
                engine.extra_compile_args += ["-fcf-protection=none"]


if sys.platform == "win32":
    raise SystemExit("corolib needs a POSIX system (Linux, macOS): this is Windows.")
if sys.implementation.name != "cpython":
    raise SystemExit(f"corolib needs CPython, whose frames it switches: this is {sys.implementation.name}.")
if sysconfig.get_config_var("Py_GIL_DISABLED"):
    raise SystemExit(
        "corolib does not support free-threaded builds of CPython: its switches rely on the GIL. "
        "Install it for a build with a GIL, such as python{0}.{1} rather than python{0}.{1}t.".format(
            *sys.version_info
        )
    )

setup(
    ext_modules=[
        native("corolib._switch._engine", "corolib/_switch", []),
        native("corolib._hub._core", "corolib/_hub", ["corolib/_ev", "corolib/_switch"]),
        native("corolib.server._http._core", "corolib/server/_http", []),
    ],
    cffi_modules=["corolib/_ev/build.py:ffibuilder"],
    cmdclass={"build_ext": Build},
)
