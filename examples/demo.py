"""A thousand HTTP requests at once, with the standard library's own server and client, in one OS thread.

The server is `http.server.ThreadingHTTPServer`, the client `urllib.request`, and each request has a
`threading.Thread` of its own on both sides. The handler sleeps 0.1 s, so one after another they would take
100 s. Nothing below knows corolib but the two lines that patch: they turn threads into greenlets.

    python examples/demo.py [--requests N] [--plain]

`--plain` leaves the standard library as it is: the same program on real threads, for comparison.
"""

import sys

if "--plain" not in sys.argv[1:]:
    from corolib import monkey

    monkey.patch_all()

import argparse
import os
import resource
import threading
import time
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

#: What the handler spends waiting, in seconds.
DELAY = 0.1
#: How often the progress bar moves and the OS threads are counted.
TICK = 0.05


class Server(ThreadingHTTPServer):
    # The stock queue of 5 drops connections when a thousand arrive at once.
    request_queue_size = 1024


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        time.sleep(DELAY)
        body = answer(int(self.path[1:]))
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass  # a thousand lines would hide the table


def answer(number: int) -> bytes:
    """What the server says to request `number`; the client checks every byte of it."""
    return f"the square of {number} is {number * number}\n".encode()


class Run:
    """All requests of one run and what came of them."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.times: list[float] = []
        self.errors: list[str] = []
        self.os_threads = 1
        self.wall = 0.0

    @property
    def done(self) -> int:
        return len(self.times) + len(self.errors)

    def fetch(self, url: str, number: int) -> None:
        began = time.perf_counter()
        try:
            with urllib.request.urlopen(f"{url}/{number}", timeout=60) as response:
                status, body = response.status, response.read()
            if (status, body) != (200, answer(number)):
                raise ValueError(f"request {number} was answered with {status} {body!r}")
        except Exception as error:
            self.errors.append(f"{type(error).__name__}: {error}")
        else:
            self.times.append(time.perf_counter() - began)

    def run(self, url: str, progress: Callable[[int], None]) -> None:
        began = time.perf_counter()
        for number in range(self.total):
            # Daemons, so that Ctrl-C does not wait for those that are still on their way.
            threading.Thread(target=self.fetch, args=(url, number), daemon=True).start()
            if number % 50 == 0:
                self.look(progress)
        while self.done < self.total:
            self.look(progress)
            time.sleep(TICK)
        self.wall = time.perf_counter() - began
        progress(self.done)

    def look(self, progress: Callable[[int], None]) -> None:
        self.os_threads = max(self.os_threads, count_os_threads())
        progress(self.done)

    def percentile(self, percent: int) -> str:
        if not self.times:
            return "-"
        ordered = sorted(self.times)
        return f"{ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] * 1000:.0f} ms"

    def table(self) -> list[tuple[str, str]]:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # Linux counts in KiB, macOS in bytes.
        megabytes = peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
        return [
            ("requests", f"{self.total:,}"),
            ("errors", f"{len(self.errors):,}"),
            ("wall time", f"{self.wall:.2f} s"),
            ("one after another", f"{self.total * DELAY:.0f} s"),
            ("p50", self.percentile(50)),
            ("p99", self.percentile(99)),
            ("OS threads", f"{self.os_threads:,}"),
            ("peak memory", f"{megabytes:.0f} MB"),
        ]


def count_os_threads() -> int:
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:  # no /proc: what Python knows of is the next best
        return threading.active_count()


def allow_files(wanted: int) -> None:
    """Each request holds two sockets, its own and the server's.

    Most systems allow 1,024 files to begin with.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise SystemExit(f"{wanted} open files are needed, the system allows {hard}: take fewer --requests")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def go(run: Run, url: str) -> None:
    """Run with a progress bar, where there is a terminal that can show it."""
    if sys.stdout.isatty():
        try:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
        except ImportError:
            pass
        else:
            columns = TextColumn("requests"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
            with Progress(*columns) as bar:
                task = bar.add_task("requests", total=run.total)
                run.run(url, lambda done: bar.update(task, completed=done))
            return
    run.run(url, lambda done: None)


def show(title: str, rows: list[tuple[str, str]]) -> None:
    if sys.stdout.isatty():
        try:
            from rich.console import Console
            from rich.table import Table
        except ImportError:
            pass
        else:
            table = Table(title=title, show_header=False)
            table.add_column(style="bold")
            table.add_column(justify="right")
            for row in rows:
                table.add_row(*row)
            Console().print(table)
            return
    print(title)
    for name, value in rows:
        print(f"  {name:<18}{value:>10}")


def main() -> int:
    parser = argparse.ArgumentParser(description="A thousand HTTP requests at once, in one OS thread.")
    parser.add_argument("--requests", type=int, default=1000, metavar="N", help="how many (default 1000)")
    parser.add_argument("--plain", action="store_true", help="on real threads, without corolib")
    options = parser.parse_args()
    if options.requests < 1:
        parser.error(f"--requests must be at least 1, not {options.requests}")
    allow_files(2 * options.requests + 64)
    # The server is on this machine: whatever proxy the environment names is not for it.
    urllib.request.install_opener(urllib.request.build_opener(urllib.request.ProxyHandler({})))

    run = Run(options.requests)
    with Server(("127.0.0.1", 0), Handler) as server:
        host, port = server.server_address[:2]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            go(run, f"http://{host!s}:{port}")
        except KeyboardInterrupt:
            print(f"\ninterrupted after {run.done:,} of {run.total:,} requests", file=sys.stderr)
            return 130
        finally:
            server.shutdown()
    show("corolib: " + ("real threads" if options.plain else "greenlets"), run.table())
    for error in run.errors[:5]:
        print("  " + error, file=sys.stderr)
    return 1 if run.errors else 0


if __name__ == "__main__":
    sys.exit(main())
