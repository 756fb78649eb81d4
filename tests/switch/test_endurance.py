"""The endurance scripts at a size that takes seconds, and what they must find. By hand: in full size."""

import importlib.util
import json
import os

import pytest
from helpers import run_isolated
from switch.building import HERE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.hang_after(300),
    pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="the scripts read /proc"),
]
FOLDER = HERE / "endurance"


def run(name: str, *args: object, **env: str) -> dict:
    return json.loads(run_isolated(FOLDER / f"{name}.py", *args, env=env, timeout=280).stdout)


@pytest.mark.parametrize("lanes", ["2", "64"])
def test_create_switch_finish_without_end(lanes):
    found = run("short_lives", 500_000, COROLIB_LANES=lanes)
    assert found["greenlets"] == found["chunks"] == found["slices"] == 0
    # A page here and there for the interpreter's own caches; one lost reference per life would be 8 MB.
    assert found["rss_growth"] <= 256 << 10, found
    assert found["heap_growth"] <= 64 << 10, found
    assert found["rss_slope_bytes_per_life"] < 0.5, found


def test_twelve_ways_to_end_leave_nothing():
    found = run("ways_to_end", 20_000)
    ways = {name: numbers for name, numbers in found.items() if isinstance(numbers, dict)}
    assert len(ways) == 12
    for name, numbers in ways.items():
        # The slope of ten steps: what is left at each life has 1 here or more.
        assert abs(numbers["references"]) < 0.05, (name, numbers)
        assert numbers["blocks"] < 0.05, (name, numbers)
        assert numbers["heap_bytes"] < 1, (name, numbers)
        # Fewer lives of these, and then a single page is a byte for each.
        most = 4 if name in ("by_another_thread", "deep") else 1
        assert numbers["rss_bytes"] < most, (name, numbers)


def test_threads_that_end_leave_nothing():
    found = run("dead_threads", 500)
    for way in ("ends_them_itself", "dropped_before_a_switch", "dropped_before_the_end"):
        assert found[way]["greenlets"] == 0, (way, found)
        assert found[way]["blocks"] < 50, (way, found)
        assert found[way]["rss_bytes"] < 1 << 20, (way, found)
    # The evaluation stack of a frame is visible to others from 3.14 on. Before, a frame that died in a call
    # of main.switch() keeps the main greenlet of its thread.
    late = found["dropped_after_the_end"]
    assert late["greenlets"] <= (500 if found["version"] < [3, 14] else 0), found
    assert late["blocks"] <= late["greenlets"] + 50, found
    assert late["rss_bytes"] < 1 << 20, found


@pytest.mark.parametrize("lanes", ["2", "64"])
def test_the_memory_of_a_wave_comes_back(lanes):
    found = run("waves", 100_000, COROLIB_LANES=lanes)
    first, *later = found["rounds"]
    for number, each in enumerate(found["rounds"]):
        assert each["kept"] < 0.1, (number, found)
        assert each["chunks"] == each["slices"] == 0, found
    for each in later:
        assert each["growth"] < first["growth"] * 1.02, found


@pytest.mark.skipif(importlib.util.find_spec("_testcapi") is None, reason="needs _testcapi")
@pytest.mark.parametrize("lanes", ["1", "2", "64"])
def test_every_allocation_of_the_interpreter_may_fail(lanes):
    done = run_isolated(HERE / "out_of_python_memory.py", env={"COROLIB_LANES": lanes})
    found = json.loads(done.stdout)
    for name in ("create_with_keywords", "create_subclass", "first_switch", "switch_with_arguments", "throw"):
        assert found[name]["failed"] > 0, (name, found)
    for name in ("traced_throw", "context", "threads", "without_address_space"):
        assert found[name]["failed"] > 0, (name, found)
