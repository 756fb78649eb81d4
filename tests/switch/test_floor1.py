"""Floor 1 of the engine is plain C: its tests are C programs, run as they are and under sanitizers."""

import os
import subprocess

import pytest
from switch.building import ENGINE, FLOOR_1, HERE, WARNINGS, compiler, machine_switch, run

C = HERE / "c"
FLAVOURS = {
    "O0": ["-O0"],
    "O2": ["-O2"],
    "O3-lto": ["-O3", "-flto", "-fomit-frame-pointer", "-fstack-protector-strong"],
    "protected": ["-O2", "-fcf-protection", "-fstack-clash-protection", "-fstack-protector-all"],
    "checking": ["-O1", "-fsanitize=undefined", "-fno-sanitize-recover=all"],
    "asan": ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"],
}


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("name", ["stack_test", "slab_test", "arch_test", "lane_test"])
def test_program(name, flavour, tmp_path):
    program = tmp_path / name
    run(
        *(*compiler(), "-std=gnu11", "-g", *WARNINGS, *FLAVOURS[flavour], f"-I{ENGINE}", f"-I{C}"),
        *(C / f"{name}.c", *FLOOR_1, machine_switch(), "-o", program, "-lm"),
    )
    options = {"ASAN_OPTIONS": "detect_stack_use_after_return=1:handle_segv=0:handle_sigbus=0"}
    done = subprocess.run(
        [program], capture_output=True, text=True, env={**os.environ, **options}, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), f"status {done.returncode}\n{done.stderr}"
