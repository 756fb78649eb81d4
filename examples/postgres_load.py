"""PostgreSQL under load: many connections at once, in one thread, and every answer is looked at.

    python examples/postgres_load.py "host=localhost user=postgres" [--clients 50] [--queries 20]

The program is plain Python with threads; the first lines make it cooperative. psycopg 3 needs nothing more;
psycopg2 (--library psycopg2) waits in C and has to be told how. Ctrl-C: the figures so far. Exit status 1 if
a query failed or an answer was wrong.
"""

from corolib import monkey

monkey.patch_all()

import argparse
import sys
import threading
import time
from importlib import import_module
from types import ModuleType
from typing import Any

import corolib

QUESTION = "select pg_sleep(%s), %s::int"


class Load:
    def __init__(self, library: ModuleType, where: str, queries: int, seconds: float) -> None:
        self.library = library
        self.where = where
        self.queries = queries
        self.seconds = seconds
        self.times: list[float] = []
        self.errors: list[str] = []

    def client(self, name: int) -> None:
        """One connection and its queries, one after the other."""
        try:
            connection = self.library.connect(self.where)
            try:
                with connection.cursor() as cursor:
                    for number in range(self.queries):
                        self.ask(cursor, name * self.queries + number)
            finally:
                connection.close()
        except self.library.Error as error:
            self.errors.append(str(error).strip().partition("\n")[0])

    def ask(self, cursor: Any, number: int) -> None:
        began = time.perf_counter()
        cursor.execute(QUESTION, (self.seconds, number))
        answer = cursor.fetchone()[1]
        self.times.append(time.perf_counter() - began)
        if answer != number:
            self.errors.append(f"asked for {number}, found {answer}")

    def tell(self, took: float) -> None:
        times = sorted(self.times)
        print(f"{len(times)} queries in {took:.2f} s, {len(times) / took:,.0f} a second")
        for percent in (50, 99) if times else ():
            print(f"p{percent}  {times[len(times) * percent // 100] * 1000:.1f} ms")
        print(f"one after another they sleep {len(times) * self.seconds:.1f} s; {len(self.errors)} errors")
        for error in self.errors[:3]:
            print(f"  {error}", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(description="PostgreSQL under load, from one thread.")
    parser.add_argument("where", metavar="CONNINFO", help="such as 'host=localhost user=postgres'")
    parser.add_argument("--library", choices=("psycopg", "psycopg2"), default="psycopg")
    parser.add_argument("--clients", type=int, default=50, metavar="N", help="(default 50)")
    parser.add_argument("--queries", type=int, default=20, metavar="N", help="of each (default 20)")
    parser.add_argument("--seconds", type=float, default=0.01, help="that a query takes (default 0.01)")
    options = parser.parse_args()
    if options.clients < 1 or options.queries < 1 or not options.seconds >= 0:
        parser.error("--clients and --queries must be at least 1, --seconds at least 0")
    try:
        library = import_module(options.library)
    except ImportError as error:
        sys.exit(f"pip install '{options.library}[binary]' first: {error}")
    if options.library == "psycopg2":
        from corolib.ext.psycopg2 import install

        install()
    load = Load(library, options.where, options.queries, options.seconds)
    threads = [threading.Thread(target=load.client, args=(name,)) for name in range(options.clients)]
    began = time.perf_counter()
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        load.tell(time.perf_counter() - began)
    return 1 if load.errors else 0


if __name__ == "__main__":
    sys.exit(corolib.run(main))
