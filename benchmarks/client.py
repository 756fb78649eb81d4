"""Clients of `http.client` in a patched program, one JSON line.

Two hundred greenlets ask a server in C (epoll_echo.c), on another core, for the same small page; over a
connection each that stays, or over a fresh one for each request.
"""

import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection
from importlib import import_module
from types import ModuleType

from compiled import program
from echo import serving
from region import measured
from workload import cores, main

#: Greenlets, or threads.
CLIENTS = 200


def ask(connection: HTTPConnection) -> None:
    """One request and its answer."""
    connection.request("GET", "/page")
    answer = connection.getresponse()
    if answer.status != 200 or len(answer.read()) != 64:
        raise RuntimeError("expected a page of 64 bytes, found another answer")


def keep_alive(port: int, count: int) -> None:
    """All requests over one connection."""
    connection = HTTPConnection("127.0.0.1", port)
    for _ in range(count):
        ask(connection)
    connection.close()


def fresh(port: int, count: int) -> None:
    """A connection for each request."""
    for _ in range(count):
        connection = HTTPConnection("127.0.0.1", port)
        ask(connection)
        connection.close()


def per_request(client: Callable[[int, int], None], size: int) -> dict[str, float]:
    """The time that each request takes, and what of it this process was on a CPU."""
    each = -(-size // CLIENTS)
    with serving([str(program("epoll_echo")), "http"], cores()[1]) as (_, port):
        cpu = time.process_time_ns()
        with measured() as region:
            # Patched, they are greenlets.
            threads = [threading.Thread(target=client, args=(port, each)) for _ in range(CLIENTS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        cpu = time.process_time_ns() - cpu
    requests = each * CLIENTS
    return {"us": region.ns / 1000 / requests, "cpu_us": cpu / 1000 / requests}


def patched(client: Callable[[int, int], None]) -> Callable[[ModuleType, int], dict[str, float]]:
    """What is measured of a package that patches."""

    def body(package: ModuleType, size: int) -> dict[str, float]:
        program("epoll_echo")  # built before anything is patched
        import_module(f"{package.__name__}.monkey").patch_all()
        return per_request(client, size)

    return body


def plain(client: Callable[[int, int], None]) -> Callable[[ModuleType, int], dict[str, float]]:
    """The same with threads."""
    return lambda _, size: per_request(client, size)


if __name__ == "__main__":
    main(
        "client",
        {
            ("keep_alive", "green"): patched(keep_alive),
            ("keep_alive", "plain"): plain(keep_alive),
            ("fresh", "green"): patched(fresh),
            ("fresh", "plain"): plain(fresh),
        },
    )
