"""Redis under load: many clients at once, in one thread, and every answer is looked at.

    python examples/redis_load.py [--clients 100] [--rounds 100] [redis://127.0.0.1:6379/0]

redis-py is plain blocking Python; the first lines make it cooperative. A round is a SET and a GET of a key of
its own, which expires by itself. Ctrl-C: the figures so far. Exit status 1 if a command failed or an answer
was wrong.
"""

from corolib import monkey

monkey.patch_all()

import argparse
import os
import sys
import time

import corolib

try:
    import redis
except ImportError as error:
    sys.exit(f"pip install redis first: {error}")

#: Seconds that the server keeps what is left behind when the program is interrupted.
EXPIRE = 60


class Load:
    def __init__(self, redis: redis.Redis, rounds: int, size: int) -> None:
        self.redis = redis
        self.rounds = rounds
        self.size = size
        self.times: list[float] = []
        self.errors: list[str] = []

    def client(self, name: int) -> None:
        """As many rounds, one after the other. Each client that is busy has a connection from the pool."""
        key = f"corolib-load:{os.getpid()}:{name}"
        try:
            for _ in range(self.rounds):
                value = os.urandom(self.size)
                began = time.perf_counter()
                self.redis.set(key, value, ex=EXPIRE)
                found = self.redis.get(key)
                self.times.append(time.perf_counter() - began)
                if found != value:
                    self.errors.append(f"{key}: set {value!r}, found {found!r}")
            self.redis.delete(key)
        except redis.RedisError as error:
            self.errors.append(str(error))

    def tell(self, took: float) -> None:
        times = sorted(self.times)
        print(f"{len(times)} rounds in {took:.2f} s, {2 * len(times) / took:,.0f} commands a second")
        for percent in (50, 99) if times else ():
            print(f"p{percent}  {times[len(times) * percent // 100] * 1000:.1f} ms")
        print(f"{len(self.errors)} errors")
        for error in self.errors[:3]:
            print(f"  {error}", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(description="Redis under load, from one thread.")
    parser.add_argument("url", nargs="?", default="redis://127.0.0.1:6379/0")
    parser.add_argument("--clients", type=int, default=100, metavar="N", help="(default 100)")
    parser.add_argument("--rounds", type=int, default=100, metavar="N", help="of each (default 100)")
    parser.add_argument("--size", type=int, default=64, metavar="BYTES", help="of a value (default 64)")
    options = parser.parse_args()
    if options.clients < 1 or options.rounds < 1 or options.size < 0:
        parser.error("--clients and --rounds must be at least 1, --size at least 0")
    try:
        connections = redis.Redis.from_url(options.url, max_connections=options.clients)
    except ValueError as error:
        parser.error(str(error))
    load = Load(connections, options.rounds, options.size)
    clients = [corolib.spawn(load.client, name) for name in range(options.clients)]
    began = time.perf_counter()
    try:
        corolib.joinall(clients, raise_error=True)
    finally:
        load.tell(time.perf_counter() - began)
    return 1 if load.errors else 0


if __name__ == "__main__":
    sys.exit(corolib.run(main))
