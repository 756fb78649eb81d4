"""The attacks of slowhttptest on the web server: tests/server/slowhttp.py [--count 4000] [headers body read]

headers  Heads that never end (slowloris): -H.
body     Bodies that come a few bytes at a time: -B.
read     Answers that are read a few bytes at a time: -X.

The server is a process of its own with the deadlines that it has by default, which have to cut every
attacker while the attack still runs. Meanwhile a client asks ten times a second, and is always answered.
Prints what was found, and ends with 1 if that is not good enough.
"""

import argparse
import re
import resource
import shutil
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from corolib import socket
from corolib.event import Event
from corolib.greenlet import Greenlet
from corolib.hub import sleep
from corolib.subprocess import PIPE, STDOUT, Popen
from tests.server.load import REQUEST, Server

TOOL = "slowhttptest"
PROGRAM = """
from corolib.pywsgi import WSGIServer

LARGE = b"x" * (1 << 22)  # more than the buffers of both sides hold

def application(environ, start_response):
    environ["wsgi.input"].read()
    path = environ["PATH_INFO"]
    body = LARGE if path == "/large" else b"%d" % server.counters.open if path == "/open" else b"hello"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]

server = WSGIServer(("127.0.0.1", 0), application, 4096, log=None, error_log=None)
server.start()
print(server.server_port, flush=True)
server.serve_forever()
"""
#: What each attack says; a byte or some each second, for longer than any deadline of the server. One that
#: reads ends when it has read what its own kernel holds, so that must not take for ever.
ATTACKS = {
    "headers": ["-H", "-i", "1"],
    "body": ["-B", "-i", "1", "-s", "8192", "-x", "4", "-t", "POST"],
    "read": ["-X", "-n", "1", "-z", "64", "-w", "512", "-y", "1024", "-k", "1"],
}
PATHS = {"headers": "/", "body": "/", "read": "/large"}


class Probe:
    """A client that asks for something small ten times a second."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.over = Event()
        self.asked = self.failed = 0
        self.worst = 0.0

    def run(self) -> None:
        while not self.over.is_set():
            began = time.perf_counter()
            self.asked += 1
            try:
                answer = ask(self.address, REQUEST)
            except OSError:
                answer = b""
            self.failed += not answer.endswith(b"\r\n\r\nhello")
            self.worst = max(self.worst, time.perf_counter() - began)
            sleep(0.1)


def ask(address: tuple[str, int], request: bytes) -> bytes:
    """The first piece of the answer, on a connection of its own."""
    with socket.create_connection(address, timeout=10) as sock:
        sock.sendall(request)
        return sock.recv(4096)


def attack(kind: str, server: Server, count: int, rate: int, seconds: int) -> bool:
    """Run one attack beside a probe: whether all attackers were cut and all questions answered."""
    probe = Probe(server.address)
    asking = Greenlet.spawn(probe.run)
    url = "http://{}:{}{}".format(*server.address, PATHS[kind])
    size = ["-c", str(count), "-r", str(rate), "-l", str(seconds)]
    tool = Popen([TOOL, *ATTACKS[kind], *size, "-p", "10", "-u", url], stdout=PIPE, stderr=STDOUT)
    said, _ = tool.communicate()
    probe.over.set()
    asking.join()
    text = re.sub(rb"\x1b\[[0-9;]*[A-Za-z]", b"", said).decode("utf-8", "replace")
    ended = re.search(r"Exit status: *(.*)", text)
    states = re.findall(r"service available: *(\w+)", text)
    # Only the one that asks, if the others are gone.
    left = int(ask(server.address, REQUEST.replace(b"/ ", b"/open ", 1)).rsplit(b"\n", 1)[1]) - 1
    print(
        f"{kind}: {ended[1] if ended else text[-500:]!r}, "
        f"available {states.count('YES')} of {len(states)} times; "
        f"of {probe.asked} questions {probe.failed} had no answer, the slowest took {probe.worst:.3f} s; "
        f"{left} connections left, server (KiB, descriptors): {server.state()}",
        flush=True,
    )
    cut = ended is not None and ended[1].strip() == "No open connections left"
    return cut and left == 0 and bool(probe.asked) and not probe.failed and set(states) == {"YES"}


def main(argv: list[str] | None = None) -> int:
    """Run those that are asked for; 1 if one was not withstood."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "attacks", nargs="*", metavar="attack", help=f"of {', '.join(ATTACKS)}; all by default"
    )
    parser.add_argument("--count", type=int, default=4000, help="connections (default: 4000)")
    parser.add_argument("--rate", type=int, default=500, help="of them per second (default: 500)")
    parser.add_argument("--seconds", type=int, default=120, help="at most (default: 120)")
    options = parser.parse_args(argv)
    if shutil.which(TOOL) is None:
        parser.error(f"{TOOL} is not installed (Debian: apt install {TOOL})")
    if unknown := set(options.attacks) - set(ATTACKS):
        parser.error(f"expected attacks of {', '.join(ATTACKS)}, found {', '.join(sorted(unknown))}")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    good = True
    for kind in options.attacks or ATTACKS:
        server = Server(PROGRAM)
        try:
            good = attack(kind, server, options.count, options.rate, options.seconds) and good
        finally:
            server.end()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
