"""The machine switch and the lanes with another C library: musl, whose threads have small stacks and whose
thread-local variables are all there from the start. A CPython on musl is not needed for that.
"""

import subprocess

import needed
import pytest
from switch.building import ENGINE, FLOOR_1, HERE, WARNINGS, machine_switch, run


# arch_test.c is left out: it uses glibc's backtrace().
@pytest.mark.parametrize("name", ["stack_test", "lane_test", "frame_pointer_test"])
@pytest.mark.parametrize("flags", [["-O0"], ["-O2"], ["-O2", "-static"]], ids=" ".join)
def test_plain_c_with_musl(name, flags, tmp_path):
    compiler = needed.program("musl-gcc")
    program = tmp_path / name
    run(
        *(compiler, "-std=gnu11", "-g", *WARNINGS, *flags),
        *("-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-fno-inline", "-fno-stack-protector"),
        *(f"-I{ENGINE}", f"-I{HERE / 'c'}", HERE / "c" / f"{name}.c", *FLOOR_1, machine_switch()),
        *("-o", program, "-lm"),
    )
    done = subprocess.run([program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr
