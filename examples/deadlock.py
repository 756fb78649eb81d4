"""Two transfers lock two accounts in opposite order, while a clock goes on ticking: who waits for whom?

    python examples/deadlock.py [--patience 0.05]

Nothing is raised while anything still runs, so the program asks by itself. Then the clock stops, nobody is
left who could wake anybody, and the wait of the main greenlet raises LoopExit, which says the same.
"""

import argparse
import sys

import corolib
from corolib.errors import LoopExit
from corolib.lock import RLock
from corolib.util import waiting


class Account:
    def __init__(self, name: str, balance: int) -> None:
        self.name = name
        self.balance = balance
        self.lock = RLock()

    def __repr__(self) -> str:
        return self.name


def transfer(source: Account, target: Account, amount: int) -> None:
    with source.lock:
        corolib.sleep(0.001)  # the bank is asked
        with target.lock:
            source.balance -= amount
            target.balance += amount


def tick() -> None:
    while True:
        corolib.sleep(0.01)


def main() -> None:
    parser = argparse.ArgumentParser(description="Two transfers that wait for each other.")
    help = "how long to wait before asking (default 0.05)"
    parser.add_argument("--patience", type=float, default=0.05, metavar="SECONDS", help=help)
    options = parser.parse_args()
    if not options.patience >= 0:
        parser.error(f"--patience must be at least 0, not {options.patience}")
    anna, bert = Account("anna", 100), Account("bert", 100)
    clock = corolib.spawn(tick)
    transfers = [corolib.spawn(transfer, anna, bert, 10), corolib.spawn(transfer, bert, anna, 20)]
    for each, name in zip(transfers, ("there", "back"), strict=True):
        each.name = name
    print("two transfers are under way", flush=True)
    if len(corolib.joinall(transfers, timeout=options.patience)) < len(transfers):
        print(waiting())
    clock.kill()
    try:
        corolib.joinall(transfers)
    except LoopExit as error:
        print(f"\n{type(error).__name__}: {str(error).splitlines()[0]}")
        print("all of them are deadlocked:", len(error.graph.deadlocked) == 3)


if __name__ == "__main__":
    # Not corolib.run(main): that waits for signals, so there is always somebody who could wake main.
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
