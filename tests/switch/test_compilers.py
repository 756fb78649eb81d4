"""The engine as other compilers, and other flags, make it; and what a built one must not claim."""

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import needed
import pytest
from helpers import ROOT, run_isolated
from switch.building import (
    ENGINE,
    HERE,
    WARNINGS,
    build_engine,
    build_suite,
    compiler,
    machine_switch,
    need_header,
    predefined,
    protection,
    run,
    run_floor_1,
    run_with,
)

from corolib._switch import _engine

OWN = [  # of the interpreter's compiler
    ["-O0"],
    ["-O1"],
    ["-O2"],
    ["-O3"],
    ["-Ofast"],
    ["-O3", "-flto"],
    ["-O2", "-fomit-frame-pointer"],
    ["-O2", "-fno-omit-frame-pointer"],
    ["-O2", "-fno-plt"],
    ["-O2", "-fstack-protector-strong"],
    ["-O2", "-fstack-clash-protection"],
    ["-O2", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=3"],
    ["-O2", "PROTECTION"],
    # All that distributions use, at once.
    [
        *("-O2", "-flto", "-fno-plt", "-fstack-protector-strong", "-fstack-clash-protection", "PROTECTION"),
        *("-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=3", "-Wl,-z,relro,-z,now"),
    ],
    ["-O0", "-DCOROLIB_UCONTEXT"],
    ["-O3", "-flto", "-DCOROLIB_UCONTEXT"],
]
CLANG = [
    ["-O0"],
    ["-O2"],
    ["-O3", "-flto", "-fuse-ld=lld"],
    ["-O2", "-fstack-protector-strong", "PROTECTION"],
    ["-O2", "-DCOROLIB_UCONTEXT"],
]
WAYS = [*[("own", *flags) for flags in OWN], *[("clang", *flags) for flags in CLANG]]


def readelf(*arguments: object) -> str:
    command = subprocess.run([*compiler(), "-print-prog-name=readelf"], capture_output=True, text=True)
    words = [command.stdout.strip(), "-W", *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert not done.stderr
    return done.stdout


def claims(library: Path) -> set[str]:
    """What a library says it is fit for. The processor, and other libraries, will believe it."""
    found = re.findall(r"Properties: \w+ feature: (.*)", readelf("-n", library))
    return {word.strip() for line in found for word in line.split(",") if word.strip()}


def check_library(library: Path) -> None:
    assert claims(library).isdisjoint({"SHSTK", "GCS"})
    (stack,) = re.findall(r"GNU_STACK .*", readelf("-l", library))
    assert stack.split()[6] == "RW"
    symbols = [line.split() for line in readelf("--dyn-syms", library).splitlines()]
    defined = {
        words[7].partition("@")[0]
        for words in symbols
        if len(words) >= 8 and words[4] in ("GLOBAL", "WEAK") and words[6] != "UND"
    }
    assert defined == {"PyInit__engine"}
    assert "TEXTREL" not in readelf("-d", library)


@pytest.mark.slow
@pytest.mark.parametrize("program", ["stack_test", "arch_test", "lane_test"])
def test_clang_s_sanitizers_find_nothing_in_the_c_tests(program, tmp_path):
    """Those of gcc look on in test_floor1.py. This one keeps other fake frames, and says that it is there in
    another way."""
    clang = needed.program("clang")
    need_header("sanitizer/asan_interface.h", clang)
    flags = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
    run_floor_1(tmp_path, program, *flags, cc=[clang])


def x86() -> bool:
    return "__x86_64__" in predefined()


def library_in(folder: Path) -> Path:
    (library,) = (folder / "corolib" / "_switch").glob("_engine*.so")
    return library


@pytest.mark.slow
@pytest.mark.hang_after(300)
@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_it_holds(way, tmp_path):
    name, *flags = way
    cc = compiler() if name == "own" else [needed.program(name)]
    if "-fuse-ld=lld" in flags:
        needed.program("ld.lld")
    if "PROTECTION" in flags:
        place = flags.index("PROTECTION")
        flags[place : place + 1] = protection()
    for program in ("stack_test", "arch_test", "lane_test"):
        run_floor_1(tmp_path, program, *flags, cc=cc)
    folder = build_engine(tmp_path / "built", *flags, cc=cc)
    check_library(library_in(folder))
    # Where processor and kernel have shadow stacks, this asks for them as far as the libraries agree.
    tunables = "glibc.cpu.x86_shstk=permissive:glibc.cpu.x86_ibt=permissive"
    for lanes in ("1", "2", "64"):
        run_with(folder, HERE / "stress.py", 5, 10_000, COROLIB_LANES=lanes, GLIBC_TUNABLES=tunables)


def test_the_assembler_file_claims_landing_pads_and_signatures_where_the_build_asks(tmp_path):
    """What the library then claims is up to the C library's start files, too."""
    plain, protected = tmp_path / "plain.o", tmp_path / "protected.o"
    run(
        *compiler(),
        "-c",
        machine_switch(),
        "-fcf-protection=none" if x86() else "-mbranch-protection=none",
        "-o",
        plain,
    )
    run(*compiler(), "-c", machine_switch(), *protection(), "-o", protected)
    assert claims(plain) == set()
    assert claims(protected) == ({"IBT"} if x86() else {"BTI", "PAC"})


def test_what_the_installed_engine_claims():
    check_library(Path(_engine.__file__))


DENORMALS = """
import sys
import threading


def check(*unused):
    least = sys.float_info.min / float(2**52)
    assert least > 0 and least + least > least and least == 5e-324


check()
for name in sys.argv[1:]:
    __import__(name)
    check()
from corolib._switch import greenlet

greenlet(check).switch()
thread = threading.Thread(target=lambda: (check(), greenlet(check).switch()))
thread.start()
thread.join()
check()
"""


def test_importing_it_leaves_denormals_alone():
    run_isolated(DENORMALS, "corolib._switch._engine", "corolib._hub._core", "corolib._ev._libev")


def build_by_setup(target: Path, **env: str) -> str:
    """What `pip install` does with the three native parts, into another place. Returns what it says."""
    command = [
        sys.executable,
        "setup.py",
        "build_ext",
        f"--build-lib={target}",
        f"--build-temp={target}/temp",
    ]
    environ = {**os.environ, **env}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.hang_after(300)
def test_fast_math_asked_for_by_the_environment_does_not_come_in(tmp_path):
    build_by_setup(tmp_path, CFLAGS="-Ofast -ffast-math -funsafe-math-optimizations")
    libraries = [path for path in tmp_path.rglob("*.so") if "temp" not in path.parts]
    assert len(libraries) == 3
    script = tmp_path / "denormals.py"
    script.write_text(
        "import ctypes, sys\n"
        "for path in sys.argv[1:]:\n"
        "    ctypes.CDLL(path)\n"
        "    assert sys.float_info.min / 2 > 0, path\n"
    )
    run_isolated(script, *libraries)


@pytest.mark.slow
@pytest.mark.hang_after(300)
def test_the_build_says_how_stacks_are_switched_and_can_be_asked_for_the_fallback(tmp_path):
    name = predefined()["ARCH_NAME"].strip('"')
    assert f"stacks will be switched by corolib/_switch/arch/{name}." in build_by_setup(tmp_path / "usual")
    said = build_by_setup(tmp_path / "slow", COROLIB_ARCH="ucontext")
    assert "stacks will be switched by corolib/_switch/arch/ucontext.c" in said
    assert "swapcontext" in readelf("--dyn-syms", library_in(tmp_path / "slow"))
    check_library(library_in(tmp_path / "slow"))


def test_an_unknown_way_to_switch_stacks_is_refused():
    done = subprocess.run(
        [sys.executable, "setup.py", "--version"],
        cwd=ROOT,
        env={**os.environ, "COROLIB_ARCH": "z80"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.endswith("COROLIB_ARCH can be 'ucontext' or unset: it is 'z80'.\n")


@pytest.mark.skipif(
    sys.version_info >= (3, 13), reason="with this macro its headers lay objects out otherwise"
)
def test_an_engine_built_for_a_free_threaded_interpreter_refuses_to_be_imported(tmp_path):
    build_engine(tmp_path, "-DPy_GIL_DISABLED")
    script = tmp_path / "script.py"
    script.write_text("try:\n    import corolib._switch\nexcept ImportError as error:\n    print(error)\n")
    assert "corolib does not support free-threaded builds of CPython" in run_with(tmp_path, script)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="its headers know of no free-threaded build")
def test_the_engine_compiles_for_a_free_threaded_interpreter_so_that_it_can_refuse(tmp_path):
    sources = sorted(ENGINE.glob("*.c"))
    assert sources
    include = sysconfig.get_path("include")
    for source in sources:
        run(*compiler(), "-DPy_GIL_DISABLED", *WARNINGS, "-fsyntax-only", f"-I{include}", source)


@pytest.mark.slow
@pytest.mark.hang_after(900)
def test_the_whole_suite_holds_on_the_fallback(tmp_path):
    """It is the yardstick for the assembler files: what holds on it but not on them is their mistake."""
    folder = build_suite(tmp_path / "suite", "-DCOROLIB_UCONTEXT")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "tests/switch"]
    command += ["-p", "no:corolib"]  # the plugin that is installed looks at another tree
    # Debuggers are told where a stack ends by the assembler files; the C library's makecontext says less.
    names = ("test_floor1.py", "test_compilers.py", "test_debuggers.py")
    ignored = [f"--ignore=tests/switch/{name}" for name in names]
    done = subprocess.run([*command, *ignored], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 200
