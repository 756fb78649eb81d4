"""The engine built in other ways: with its own checks, with failing memory, for Valgrind and sanitizers."""

import os
import shutil
import subprocess
import sys
import sysconfig

import pytest
from helpers import ROOT
from switch.building import HERE, build_engine, build_into, compiler, python_flags, run, run_with

pytestmark = [pytest.mark.slow, pytest.mark.hang_after(1800)]

# Tests that build and start programs of their own, or look at them from outside: no tool would see those.
BUILDERS = (
    *("test_capi", "test_capi_types", "test_exceptions_cpp", "test_layout", "test_registers", "test_musl"),
    *("test_checking", "test_compilers", "test_floor1", "test_debuggers", "test_endurance", "test_fuzz"),
)


def own_tree(folder, *flags):
    """A copy of the project in `folder`, its engine built with other flags."""
    left_out = shutil.ignore_patterns("__pycache__", "_engine*.so")
    for name in ("corolib", "tests", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=left_out)
    shutil.copy(ROOT / "pyproject.toml", folder)
    build_into(folder / "corolib" / "_switch", *flags)
    return folder


def run_suite(folder, *arguments, before=(), seconds=1500, **env):
    """The engine's everyday tests, in `folder`, in an interpreter of their own."""
    ignored = [f"--ignore-glob=*/{name}*" for name in BUILDERS]
    command = [*before, sys.executable, "-X", "faulthandler", "-m", "pytest", "-q", "tests/switch", *ignored]
    done = subprocess.run(
        [*command, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": "", **env},
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, f"status {done.returncode}\n{done.stdout[-20_000:]}\n{done.stderr[-20_000:]}"
    assert " passed" in done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def checking_tree(tmp_path_factory):
    return own_tree(tmp_path_factory.mktemp("tree"), "-DCOROLIB_CHECK")


# Forced collections end what these tests have dropped before they look.
COLLECTED_EARLY = (
    "test_at_exit_everything_works_and_later_getcurrent_says_no",
    "test_hooks_coexist_with_each_other_and_the_tracer",
)


@pytest.mark.parametrize("force", ["", "evict", "scratch", "evict,scratch", "collect"])
def test_the_whole_suite_with_all_checks(checking_tree, force):
    left_out = " and ".join(f"not {name}" for name in COLLECTED_EARLY) if "collect" in force else ""
    run_suite(checking_tree, "-k", left_out, COROLIB_FORCE=force)


@pytest.mark.parametrize("lanes", ["1", "2"])
def test_the_whole_suite_on_hardly_any_lanes(checking_tree, lanes):
    run_suite(checking_tree, COROLIB_LANES=lanes)


def test_an_unknown_force_is_refused(checking_tree):
    done = subprocess.run(
        [sys.executable, "-c", "import corolib._switch"],
        cwd=checking_tree,
        env={**os.environ, "COROLIB_FORCE": "evict,bogus"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "COROLIB_FORCE must list some of evict, scratch, collect, found 'bogus'" in done.stderr


@pytest.fixture(scope="module")
def checking(tmp_path_factory):
    return build_engine(tmp_path_factory.mktemp("checking"), "-DCOROLIB_CHECK")


@pytest.mark.parametrize("lanes", ["1", "2", "64"])
@pytest.mark.parametrize("force", ["", "evict", "scratch"])
def test_every_allocation_may_fail(checking, force, lanes):
    script = HERE / "out_of_memory.py"
    lines = run_with(checking, script, COROLIB_LANES=lanes, COROLIB_FORCE=force).splitlines()
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


def test_valgrind_finds_nothing_in_the_whole_suite(checking_tree):
    """But for tests that say by a marker that they cannot be run so."""
    undefined = "--undef-value-errors=" + ("no" if sys.version_info < (3, 12) else "yes")
    run_suite(
        checking_tree,
        *("-m", "not slow and not heavy", "-p", "no:cacheprovider"),
        before=(
            *(shutil.which("valgrind") or "valgrind", "-q", "--error-exitcode=9", undefined),
            f"--suppressions={HERE / 'valgrind.supp'}",
        ),
        PYTHONMALLOC="malloc",
        COROLIB_LANES="4",
    )


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory):
    flags = ["-O1", "-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-DCOROLIB_CHECK"]
    return own_tree(tmp_path_factory.mktemp("asan"), *flags)


@pytest.fixture(scope="module")
def sanitizers():
    """The environment that lets an unsanitized interpreter load a sanitized library."""
    libraries = [
        subprocess.run(
            [*compiler(), f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    return {
        "PYTHONMALLOC": "malloc",
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=1:handle_segv=0",
        "UBSAN_OPTIONS": "halt_on_error=1",
    }


@pytest.mark.parametrize("lanes", ["1", "2", "64"])
def test_address_sanitizer_finds_nothing(sanitized, sanitizers, lanes):
    run_with(sanitized, HERE / "valgrind_stress.py", COROLIB_LANES=lanes, **sanitizers)


def test_address_sanitizer_finds_nothing_in_the_whole_suite(sanitized, sanitizers):
    run_suite(sanitized, "-m", "not slow and not heavy", **sanitizers)


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
