#!/usr/bin/env python3
"""Does the corolib that is installed here work? One look at each of its parts; needs nothing but corolib.

    python tools/smoke.py [--bundled]

Prints a line for each part. Ends with status 0, or with 1 and the error of the first part that does not work.
--bundled: libev must be the one that the wheel brought, not the system's.

It patches its own process, so it is a program and not a module to import.
"""

from corolib import monkey

monkey.patch_all()

import argparse
import http.client
import platform
import queue
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import dns.message
import dns.rrset

import corolib
from corolib import Timeout, _ev, _switch, config, get_hub, joinall, spawn
from corolib.pywsgi import WSGIServer
from corolib.server import StreamServer

# How long all of it may take, in seconds: what waits for ever is a part that does not work.
PATIENCE = 300


def engine() -> str:
    """Greenlets switch, carry values and errors, and are as deep as a thread."""

    def sums(value: int) -> int:
        total = 0
        while value:
            total += value
            value = main.switch(total)
        return total

    def deep(left: int) -> int:
        return left and 1 + max(map(deep, [left - 1]))

    main = _switch.getcurrent()
    raw = _switch.greenlet(sums)
    assert [raw.switch(number) for number in (1, 2, 3, 0)] == [1, 3, 6, 6]
    assert raw.dead
    # By way of max() and map(), which are C: each call stands on the C stack.
    assert _switch.greenlet(deep).switch(200) == 200
    failing = _switch.greenlet(lambda: 1 / 0)
    try:
        failing.switch()
    except ZeroDivisionError:
        return "switches"
    raise AssertionError("an error was lost")


def hub() -> str:
    """Who sleeps less is awake first; a thousand wait at once for the last of them."""
    order: list[float] = []
    waiting: list[int] = []
    complete = threading.Event()

    def nap(seconds: float) -> None:
        time.sleep(seconds)
        order.append(seconds)

    def meet(number: int) -> None:
        waiting.append(number)
        if len(waiting) == 1000:
            complete.set()
        complete.wait()

    joinall([spawn(nap, seconds) for seconds in (0.03, 0.01, 0.02)], raise_error=True)
    assert order == [0.01, 0.02, 0.03], order
    joinall([spawn(meet, number) for number in range(1000)], raise_error=True)
    assert waiting == list(range(1000))
    return f"libev {_ev.version()}, {get_hub().loop.backend}"


def sockets() -> str:
    """A hundred clients of one echo server, all at once."""

    def echo(connection: socket.socket, _address: object) -> None:
        while data := connection.recv(4096):
            connection.sendall(data)

    def client(number: int) -> None:
        with socket.create_connection(server.address) as connection:
            connection.sendall(b"%d" % number)
            assert connection.recv(100) == b"%d" % number

    with StreamServer(("127.0.0.1", 0), echo) as server:
        server.start()
        joinall([spawn(client, number) for number in range(100)], raise_error=True)
    return "a hundred connections"


def patching() -> str:
    """Threads, queues, pipes and children of the standard library wait for each other in one thread."""
    box: queue.Queue[str] = queue.Queue(1)
    thread = threading.Thread(target=lambda: [box.put(word) for word in ("one", "two", "three")])
    thread.start()
    assert [box.get() for _ in range(3)] == ["one", "two", "three"]
    thread.join()
    assert get_hub().threadpool.apply(sum, ([1, 2, 3],)) == 6
    children = [
        subprocess.Popen([sys.executable, "-c", f"print({number})"], stdout=subprocess.PIPE)
        for number in range(2)
    ]
    assert [child.communicate()[0] for child in children] == [b"0\n", b"1\n"]
    return ", ".join(sorted(monkey.saved))


def names() -> str:
    """A name is asked for by the DNS protocol; the server is our own."""

    def serve() -> None:
        while True:
            packet, client = udp.recvfrom(4096)
            answer = dns.message.make_response(dns.message.from_wire(packet))
            if answer.question[0].rdtype == dns.rdatatype.A:
                answer.answer.append(dns.rrset.from_text(answer.question[0].name, 60, "IN", "A", "192.0.2.7"))
            udp.sendto(answer.to_wire(), client)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        server = spawn(serve)
        config.resolver_nameservers = [f"127.0.0.1:{udp.getsockname()[1]}"]
        del get_hub().resolver  # the one that earlier parts have used
        try:
            [found] = socket.getaddrinfo("smoke.example.", 80, socket.AF_INET, socket.SOCK_STREAM)
        finally:
            server.kill()
    assert found[4] == ("192.0.2.7", 80), found
    return type(get_hub().resolver).__module__


def tls() -> str:
    """A handshake, and words in both directions. Without certificates, which would fail some day."""

    def context(purpose: int) -> ssl.SSLContext:
        made = ssl.SSLContext(purpose)
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
        made.maximum_version = ssl.TLSVersion.TLSv1_2
        made.set_ciphers("AECDH:@SECLEVEL=0")
        return made

    def shout(connection: socket.socket, _address: object) -> None:
        connection.sendall(connection.recv(100).upper())

    with StreamServer(("127.0.0.1", 0), shout, ssl_context=context(ssl.PROTOCOL_TLS_SERVER)) as server:
        server.start()
        with (
            socket.create_connection(server.address) as plain,
            context(ssl.PROTOCOL_TLS_CLIENT).wrap_socket(plain) as connection,
        ):
            connection.sendall(b"hello")
            assert connection.recv(100) == b"HELLO"
            return str(connection.version())


def server() -> str:
    """The web server, by the standard library's client: twenty requests at once."""

    def application(environ, start_response):
        time.sleep(0.01)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["PATH_INFO"].encode()]

    def get(number: int) -> None:
        client = http.client.HTTPConnection(*web.address)
        client.request("GET", f"/{number}")
        response = client.getresponse()
        assert (response.status, response.read()) == (200, b"/%d" % number)
        client.close()

    with WSGIServer(("127.0.0.1", 0), application, log=None) as web:
        web.start()
        joinall([spawn(get, number) for number in range(20)], raise_error=True)
    return "twenty requests"


def bundled() -> str:
    """The libev of this process lies beside corolib, and there is no other."""
    mapped = {
        line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "/libev" in line
    }
    home = Path(corolib.__file__).resolve().parent.parent / "corolib.libs"
    assert mapped and all(Path(path).is_relative_to(home) for path in mapped), f"libev comes from {mapped}"
    return " ".join(Path(path).name for path in mapped)


PARTS: list[Callable[[], str]] = [engine, hub, sockets, patching, names, tls, server]


def main() -> None:
    parser = argparse.ArgumentParser(description="Does the corolib that is installed here work?")
    parser.add_argument("--bundled", action="store_true", help="libev must be the one that the wheel brought")
    arguments = parser.parse_args()
    parts = [*PARTS, bundled] if arguments.bundled else PARTS
    config.resolver = "dns"  # before the hub, which asks once
    with Timeout(PATIENCE):
        for part in parts:
            print(f"{part.__name__:10}", end="", flush=True)
            print(part())
    print(f"corolib {corolib.__version__} works on CPython {platform.python_version()}")


if __name__ == "__main__":
    main()
