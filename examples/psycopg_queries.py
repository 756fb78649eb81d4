"""Fifty queries at once, over fifty connections, in one thread.

    python examples/psycopg_queries.py "host=localhost user=postgres dbname=postgres" [psycopg2]

The program is plain Python with threads; the first lines make it cooperative. psycopg 3 needs nothing more.
psycopg2 waits in C and has to be told how to wait.
"""

from corolib import monkey

monkey.patch_all()

import sys
import threading
import time
from importlib import import_module

QUERIES = 50
QUESTION = "select pg_sleep(0.1), %s::int"


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(f"expected where the database is, as in: {sys.argv[0]} 'host=localhost user=postgres'")
    where = sys.argv[1]
    library = import_module(sys.argv[2] if len(sys.argv) > 2 else "psycopg")
    if library.__name__ == "psycopg2":
        from corolib.ext.psycopg2 import install

        install()
    answers = []

    def ask(number: int) -> None:
        connection = library.connect(where)
        cursor = connection.cursor()
        cursor.execute(QUESTION, (number,))
        answers.append(cursor.fetchone()[1])
        connection.close()

    started = time.perf_counter()
    threads = [threading.Thread(target=ask, args=(number,)) for number in range(QUERIES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - started
    right = sorted(answers) == list(range(QUERIES))
    print(
        f"{len(answers)} answers, {'all right' if right else 'not all right'}, in {took:.2f} s: "
        f"one after another they take {QUERIES * 0.1:.0f} s"
    )


if __name__ == "__main__":
    main()
