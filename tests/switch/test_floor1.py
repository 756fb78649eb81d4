"""Floor 1 of the engine is plain C: its tests are C programs, run as they are and under sanitizers."""

import pytest
from switch.building import machine_switch, protection, run_floor_1

FLAVOURS = {
    "O0": ["-O0"],
    "O2": ["-O2"],
    "O3-lto": ["-O3", "-flto", "-fomit-frame-pointer", "-fstack-protector-strong"],
    "protected": ["-O2", "-fstack-clash-protection", "-fstack-protector-all"],
    "checking": ["-O1", "-fsanitize=undefined", "-fno-sanitize-recover=all"],
    "asan": ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"],
}


PROGRAMS = ["stack_test", "slab_test", "arch_test", "lane_test"]


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name, flavour, tmp_path):
    run_floor_1(tmp_path, name, *FLAVOURS[flavour])


@pytest.mark.parametrize("name", PROGRAMS)
def test_with_all_that_the_processor_can_check_of_jumps(name, tmp_path):
    run_floor_1(tmp_path, name, "-O2", *protection())


@pytest.mark.parametrize("flavour", ["O2", "asan"])
@pytest.mark.parametrize("name", ["arch_test", "lane_test"])
def test_program_on_the_fallback(name, flavour, tmp_path):
    assert machine_switch("-DCOROLIB_UCONTEXT").name == "ucontext.c"
    run_floor_1(tmp_path, name, "-DCOROLIB_UCONTEXT", *FLAVOURS[flavour])
