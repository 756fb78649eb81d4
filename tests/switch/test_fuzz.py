"""The fuzzer (fuzz/): runs of fixed seeds, runs of fresh ones, and that it would find something."""

import re
import time

import pytest
from helpers import EMULATED, run_isolated
from switch.building import HERE, build_engine, run_with

FUZZ = HERE / "fuzz"


def fuzz(*args, check=True, **kwargs):
    return run_isolated(FUZZ, *args, check=check, **kwargs)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_fixed_seeds(seed):
    done = fuzz(seed, "--count", 1200, "--lanes", (1, 2, 64)[seed - 1], timeout=80)
    assert " 0 failures" in done.stdout


def test_a_seed_gives_the_same_run_each_time():
    def counted():
        return fuzz(5, "--count", 600, "--lanes", 2, "--verbose").stdout

    first = counted()
    assert re.search(r"1 runs, \d+ operations, \d{3,} switches", first)
    assert counted() == first


@pytest.mark.hang_after(300)
def test_a_fault_is_found_and_shrunk_to_a_program_that_shows_it():
    """With a model that loses values on their way into a sort key: make one, start it, enter, return."""
    done = fuzz(2, "--count", 120, "--seconds", 60, "--plant", "lost-value", check=False, timeout=240)
    assert done.returncode == 1, done.stdout
    assert "mismatch" in done.stdout and "MISMATCH at step" in done.stdout
    shrunk = re.search(r"shrunk from 120 to (\d+) operations", done.stdout)
    # It stops when its time is over, which is soon on a processor that is emulated.
    assert 3 <= int(shrunk[1]) <= (40 if EMULATED else 12), done.stdout
    program = re.search(r"--program (\S+) --lanes (\d+)", done.stdout)
    again = fuzz(
        "--program", program[1], "--lanes", program[2], "--plant", "lost-value", check=False, timeout=60
    )
    assert again.returncode == 1 and "MISMATCH" in again.stdout
    assert fuzz("--program", program[1], "--lanes", program[2]).returncode == 0, "the model alone was wrong"


@pytest.mark.parametrize("plant, found", [("crash", "killed by signal 11"), ("hang", "a hang")])
def test_a_crash_and_a_hang_are_reported_with_seed_and_stacks(plant, found):
    done = fuzz(
        *(1, "--count", 400, "--seconds", 60, "--plant", plant, "--no-shrink", "--hang-after", 10),
        check=False,
    )
    assert done.returncode == 1, done.stdout
    seed = re.search(rf"FAILED: seed (\d+) count 400 lanes (\d+): {found}", done.stdout)
    assert seed, done.stdout
    assert f"replay: python tests/switch/fuzz {seed[1]} --count 400 --lanes {seed[2]}" in done.stdout
    assert " in crash" in done.stdout or " in <lambda>" in done.stdout


@pytest.mark.ci
@pytest.mark.slow
@pytest.mark.hang_after(400)
@pytest.mark.parametrize("flags", [(), ("-DCOROLIB_CHECK",)], ids=["release", "checking"])
def test_fresh_seeds_for_a_minute(flags, tmp_path):
    """Two minutes together, on 1, 2 and 64 lanes in turn; the checking build lets memory run out, too."""
    seed = time.time_ns() % 10**9
    print(f"seed {seed}")
    folder = build_engine(tmp_path / "built", *flags)
    output = run_with(folder, FUZZ, seed, "--seconds", 60, "--hang-after", 100)
    assert " 0 failures" in output
    print(output)
