"""One run, in a process of its own: child.py FILE reads {"program": [...], "plant": name} and runs it.

A hang ends with all stacks. The last line of the output is a JSON object with what was counted.
"""

import faulthandler
import json
import signal
import sys
import warnings
from pathlib import Path

from graph import GRAPH
from inside import INSIDE
from outside import OUTSIDE
from program import generate
from travelling import TRAVELLING
from world import World

HANG_AFTER = 120


def plant(w, name):
    """A fault in the model, for tests of the fuzzer itself."""
    if name == "lost-value":
        whole = w.model.resume

        def resume(t, node, cargo):
            lost = node.inside("sort") and node is not t.main and cargo[0] == "value"
            return whole(t, node, ("value", object()) if lost else cargo)

        w.model.resume = resume
    elif name == "crash":
        whole = w.operations["reraise"]

        def crash(w, *numbers):
            if w.me.inside("try") and w.child_left is None:
                signal.raise_signal(signal.SIGSEGV)
            return whole(w, *numbers)

        w.operations["reraise"] = crash
    elif name == "hang":
        w.operations["reraise"] = lambda w, *numbers: w.seats[w.turn].acquire()


def main():
    job = json.loads(Path(sys.argv[1]).read_text())
    program = job["program"] if "program" in job else generate(job["seed"], job["count"])
    faulthandler.enable()
    faulthandler.dump_traceback_later(job.get("hang_after", HANG_AFTER), exit=True)
    warnings.simplefilter("ignore")  # fork in a process with threads
    w = World(program, {**GRAPH, **INSIDE, **TRAVELLING, **OUTSIDE})
    signal.signal(signal.SIGUSR1, lambda number, frame: w.loop())
    plant(w, job.get("plant"))
    w.run()
    w.did["killed"], w.did["dropped elsewhere"] = w.model.kills, w.model.dooms
    print(json.dumps({"steps": w.position, "switches": w.model.switches, "did": w.did}))


if __name__ == "__main__":
    main()
