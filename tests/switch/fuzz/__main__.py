"""The fuzzer of the engine: random graphs of switches, compared with a model. How to run it: driver.py.

model.py, nodes.py   what must happen; knows nothing of the engine
program.py           operations from a seed
world.py, turns.py   the real greenlets and threads, compared with the model at each step
graph.py, inside.py, travelling.py, outside.py    what the operations do
levels.py            what a greenlet can be inside of when it switches
burst.py             thousands of switches as one operation
watch.py             what is compared between two operations
child.py             one run in a process;  driver.py: many, and totals;  shrink.py: failures made short
"""

import sys

import driver

if __name__ == "__main__":
    sys.exit(driver.main())
