"""The engine built in other ways: with its own checks, with failing memory, for Valgrind and sanitizers."""

import os
import shutil
import subprocess
import sys
import sysconfig

import pytest
from helpers import ROOT
from switch.building import HERE, build_engine, compiler, python_flags, run, run_with

pytestmark = [pytest.mark.slow, pytest.mark.hang_after(900)]


@pytest.fixture(scope="module")
def checking(tmp_path_factory):
    return build_engine(tmp_path_factory.mktemp("checking"), "-DCOROLIB_CHECK")


@pytest.mark.parametrize("lanes", ["1", "2", "64"])
def test_every_allocation_may_fail(checking, lanes):
    lines = run_with(checking, HERE / "out_of_memory.py", COROLIB_LANES=lanes).splitlines()
    assert len(lines) == 2


@pytest.mark.parametrize("lanes", ["1", "2", "64"])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_random_program_with_all_checks(checking, lanes, seed):
    run_with(checking, HERE / "stress.py", seed, 20_000, "collect", COROLIB_LANES=lanes)


def test_the_slow_path_at_every_switch(checking, tmp_path):
    script = tmp_path / "forced.py"
    script.write_text(
        "import runpy, sys\n"
        "from corolib._switch import _engine\n"
        "_engine._force(evict=1)\n"
        f"sys.argv[1:] = ['3', '20000']\nrunpy.run_path({str(HERE / 'stress.py')!r})\n"
    )
    run_with(checking, script)


@pytest.mark.parametrize("lanes", ["1", "2", "4", "64"])
def test_valgrind_finds_nothing(checking, lanes):
    # 3.11 reads uninitialized bytes itself, in int.from_bytes, at each import.
    undefined = "--undef-value-errors=" + ("no" if sys.version_info < (3, 12) else "yes")
    run_with(
        checking,
        HERE / "valgrind_stress.py",
        before=(shutil.which("valgrind") or "valgrind", "-q", "--error-exitcode=9", undefined),
        COROLIB_LANES=lanes,
        PYTHONMALLOC="malloc",
    )


def test_address_sanitizer_finds_nothing(tmp_path):
    flags = ["-O1", "-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-DCOROLIB_CHECK"]
    folder = build_engine(tmp_path / "asan", *flags)
    libraries = [
        subprocess.run(
            [*compiler(), f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    for lanes in ("1", "2", "64"):
        run_with(
            folder,
            HERE / "valgrind_stress.py",
            COROLIB_LANES=lanes,
            PYTHONMALLOC="malloc",
            LD_PRELOAD=" ".join(libraries),
            ASAN_OPTIONS="detect_leaks=0:detect_stack_use_after_return=1",
            UBSAN_OPTIONS="halt_on_error=1",
        )


def test_a_program_that_starts_python_twice_is_refused_the_second_time(tmp_path):
    """The type is static and its address is handed out to C code: it belongs to the first interpreter."""
    source = tmp_path / "embed.c"
    source.write_text(
        """
        #include <Python.h>
        int main(void)
        {
            for (int i = 0; i < 5; i++) {
                Py_Initialize();
                int failed = PyRun_SimpleString(
                    "try:\\n"
                    "    from corolib._switch import getcurrent, greenlet\\n"
                    "    child = greenlet(getcurrent().switch)\\n"
                    "    child.switch()\\n"
                    "    print('used', flush=True)\\n"
                    "except ImportError as error:\\n"
                    "    print(error, flush=True)\\n");
                if (failed || Py_FinalizeEx() < 0) return 1;
            }
            return 0;
        }
        """
    )
    program, folder = tmp_path / "embed", sysconfig.get_config_var("LIBDIR")
    library = f"-lpython{sysconfig.get_config_var('LDVERSION')}"
    libraries = [f"-L{folder}", f"-Wl,-rpath,{folder}", library, "-lm", "-ldl", "-lpthread"]
    run(*compiler(), source, *python_flags(), *libraries, "-o", program)
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHOME": sys.base_prefix}
    done = subprocess.run([program], env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    refusal = "corolib cannot be imported again after the interpreter was finalized in this process"
    assert done.stdout.splitlines() == ["used", *[refusal] * 4]


@pytest.mark.parametrize(
    "flags",
    [
        ["-O0"],
        ["-O3", "-flto"],
        ["-O2", "-fno-plt", "-fomit-frame-pointer", "-fstack-clash-protection"],
        ["-O2", "-fcf-protection", "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2"],
    ],
    ids=" ".join,
)
def test_other_ways_to_compile(flags, tmp_path):
    folder = build_engine(tmp_path / "built", *flags)
    for lanes in ("1", "64"):
        run_with(folder, HERE / "stress.py", 5, 10_000, COROLIB_LANES=lanes)
