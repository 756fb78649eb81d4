"""How fast are names looked up? The C library's functions in threads against DNS spoken by greenlets.

    python examples/dns_benchmark.py [--resolver thread] [--resolver dns] [--jobs 100] NAME ...

`thread` knows what the machine is set up to know, a few questions at a time; `dns` has thousands under way,
and keeps answers as long as they are valid: with --repeat 2 and more one sees that. --server asks another
server, which only `dns` can. Ctrl-C: the figures so far. Exit status 1 if a name could not be found.
"""

import argparse
import importlib
import sys
import time
from socket import SOCK_STREAM
from typing import Any

import corolib
from corolib.pool import Pool
from corolib.resolver import Resolver

#: The word for `corolib.config.resolver`, and the class.
RESOLVERS = {"thread": "corolib.resolver.thread:ThreadResolver", "dns": "corolib.resolver.dns:DnsResolver"}


class Run:
    """All look-ups by one resolver."""

    def __init__(self, kind: str) -> None:
        module, _, name = RESOLVERS[kind].partition(":")
        self.kind = kind
        self.resolver: Resolver = getattr(importlib.import_module(module), name)(corolib.get_hub())
        self.times: list[float] = []
        self.errors: dict[str, str] = {}
        self.took = 0.0

    def look_up(self, name: str) -> None:
        began = time.perf_counter()
        try:
            self.resolver.getaddrinfo(name, 80, type=SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            self.errors[name] = str(error)
        else:
            self.times.append(time.perf_counter() - began)

    def run(self, names: list[str], jobs: int) -> None:
        began = time.perf_counter()
        try:
            for _ in Pool(jobs).imap_unordered(self.look_up, names):
                pass
        finally:
            self.took = time.perf_counter() - began
            self.resolver.close()

    def row(self) -> str:
        times = sorted(self.times)
        cells: list[Any] = [self.kind, len(times), len(self.errors), f"{self.took:.3f} s"]
        cells += [
            f"{times[len(times) * percent // 100] * 1000:.2f} ms" if times else "-" for percent in (50, 99)
        ]
        return "".join(f"{cell:>12}" for cell in cells)


def main() -> int:
    parser = argparse.ArgumentParser(description="How fast are names looked up?")
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument(
        "--resolver", action="append", choices=RESOLVERS, help="may be given more than once (default: all)"
    )
    parser.add_argument("--jobs", type=int, default=100, metavar="N", help="at the same time (default 100)")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="each name N times (default 1)")
    parser.add_argument("--server", metavar="ADDRESS", help="such as 127.0.0.1:5353, for `dns`")
    options = parser.parse_args()
    if options.jobs < 1 or options.repeat < 1:
        parser.error("--jobs and --repeat must be at least 1")
    failed: dict[str, str] = {}
    try:
        if options.server:
            corolib.config.resolver_nameservers = [options.server]
        runs = [Run(kind) for kind in options.resolver or RESOLVERS]
    except ValueError as error:
        parser.error(str(error))
    print("".join(f"{head:>12}" for head in ("resolver", "found", "not", "time", "p50", "p99")))
    for run in runs:
        try:
            run.run(options.names * options.repeat, options.jobs)
        finally:
            print(run.row(), flush=True)
            failed |= run.errors
    for name, reason in failed.items():
        print(f"{name}: {reason}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(corolib.run(main))
