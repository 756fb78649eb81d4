"""The driver: a process for each seed, since any of them may crash or hang; totals, reports, shrinking.

    python tests/switch/fuzz                    one seed, taken from the clock
    python tests/switch/fuzz 17                 that seed
    python tests/switch/fuzz 17 --minutes 5     17, 18, 19, ... until the time is over
    python tests/switch/fuzz --program FILE     a program, as it was written when a run failed

A run is given by seed, count of operations and number of lanes; it ends with status 0 or is a failure: 3 is a
mismatch with the model, 4 a hang, a negative one a signal. The engine is the one that PYTHONPATH leads to, or
that of this tree.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from program import generate
from shrink import shrink

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
COUNT = 3000


class Outcome:
    def __init__(self, status, output, counts):
        self.status, self.output, self.counts = status, output, counts

    def __str__(self):
        if self.status == 4:
            return "a hang"
        if self.status == 3:
            return "mismatch"
        return f"killed by signal {-self.status}" if self.status < 0 else f"status {self.status}"


def run(job, lanes, hang_after):
    """One process; a hang is ended by its own watchdog, or by force a little later."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({**job, "hang_after": hang_after}, file)
        file.flush()
        environ = {"PYTHONPATH": str(ROOT), **os.environ, "COROLIB_LANES": str(lanes), "PYTHONHASHSEED": "0"}
        command = [sys.executable, str(HERE / "child.py"), file.name]
        child = subprocess.Popen(
            command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            output, _ = child.communicate(timeout=hang_after + 30)
            status = child.returncode
        except subprocess.TimeoutExpired:
            child.kill()
            output, _ = child.communicate()
            status = 4
    if status == 0:
        return Outcome(0, output, json.loads(output.splitlines()[-1]))
    return Outcome(4 if "Timeout (" in output else status, output, {})


class Session:
    def __init__(self, options):
        self.options = options
        self.lanes = options.lanes.split(",")
        self.until = time.monotonic() + options.seconds + 60 * options.minutes
        self.runs = self.failures = self.switches = self.steps = 0
        self.did = Counter()

    def job(self, seed):
        return {"seed": seed, "count": self.options.count, "plant": self.options.plant}

    def seeds(self):
        seed = self.options.seed
        yield seed
        while time.monotonic() < self.until and self.failures < self.options.failures:
            seed += 1
            yield seed

    def one(self, seed):
        lanes = self.lanes[seed % len(self.lanes)]
        return seed, lanes, run(self.job(seed), lanes, self.options.hang_after)

    def add(self, seed, lanes, outcome):
        self.runs += 1
        self.switches += outcome.counts.get("switches", 0)
        self.steps += outcome.counts.get("steps", 0)
        self.did.update(outcome.counts.get("did", {}))
        if outcome.status:
            self.failures += 1
            self.report(seed, lanes, outcome)

    def report(self, seed, lanes, outcome):
        count = self.options.count
        print(f"FAILED: seed {seed} count {count} lanes {lanes}: {outcome}\n{outcome.output}", flush=True)
        if self.options.shrink:
            whole = generate(seed, count)
            hang = min(20, self.options.hang_after)
            least = shrink(whole, outcome, lambda part: run({**self.job(seed), "program": part}, lanes, hang))
            name = f"{tempfile.gettempdir()}/fuzz-{seed}-{lanes}.json"
            Path(name).write_text(json.dumps(least))
            print(f"shrunk from {count} to {len(least)} operations:")
            for operation in least:
                print(f"    {operation}")
            print(f"replay it: python tests/switch/fuzz --program {name} --lanes {lanes}")
        print(f"replay: python tests/switch/fuzz {seed} --count {count} --lanes {lanes}", flush=True)

    def run(self):
        seeds = self.seeds()
        with ThreadPoolExecutor(self.options.jobs) as pool:
            waiting = []
            for seed in seeds:
                waiting.append(pool.submit(self.one, seed))
                if len(waiting) >= self.options.jobs:
                    self.add(*waiting.pop(0).result())
            for one in waiting:
                self.add(*one.result())
        if self.options.verbose:
            print(json.dumps(self.did))
        print(
            f"{self.runs} runs, {self.steps} operations, {self.switches} switches, {self.failures} failures"
            f" (Python {sys.version.split()[0]}, seeds from {self.options.seed}, lanes {self.options.lanes})"
        )
        return 1 if self.failures else 0


def main():
    parser = argparse.ArgumentParser(prog="python tests/switch/fuzz", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("seed", type=int, nargs="?", default=int(time.time()))
    add("--count", type=int, default=COUNT, help="operations of a run")
    add("--seconds", type=float, default=0, help="go on with the next seeds for so long")
    add("--minutes", type=float, default=0)
    add("--lanes", default="1,2,64", help="numbers of lanes, taken in turn")
    add("--jobs", type=int, default=1, help="processes at a time")
    add("--failures", type=int, default=1, help="stop after so many")
    add("--no-shrink", dest="shrink", action="store_false")
    add("--program", type=Path, help="a JSON file with a list of operations")
    add("--hang-after", type=float, default=120, help="seconds that a run may take")
    add("--plant", help="a fault to be found, see child.py")
    add("--verbose", action="store_true", help="what has happened how often")
    options = parser.parse_args()
    if options.program is None:
        return Session(options).run()
    program = json.loads(options.program.read_text())
    job = {"program": program, "plant": options.plant}
    outcome = run(job, options.lanes.split(",")[0], options.hang_after)
    print(f"{outcome.output}\n{len(program)} operations: {outcome}")
    return 1 if outcome.status else 0
