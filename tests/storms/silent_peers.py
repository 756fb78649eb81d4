"""A TLS server with thousands of peers that connect and say nothing: how long do the others wait?

    silent_peers.py [--peers N] [--clients N] [--limit MILLISECONDS]

The silent ones are held by this process, the good ones are another one, whose handshakes and one exchange are
timed, one after the other. Ends with 1 if the 99th percentile is above the limit, if a good one fails, or if
the silent ones are not cut after the deadline for the handshake.
"""

import argparse
import resource
import ssl as plain_ssl
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trustme

from corolib import socket, ssl
from corolib.hub import sleep
from corolib.server import StreamServer
from corolib.subprocess import run

CLIENT = """
import socket, ssl, sys, time
port, count, trust = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
context = ssl.create_default_context(cafile=trust)
for _ in range(count):
    begun = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as secure:
            secure.sendall(b"x")
            assert secure.recv(10) == b"x"
    print(time.perf_counter() - begun)
"""


class Counting(StreamServer):
    """Counts those that did not get through the handshake."""

    cut = 0

    def handshake_failed(self, error: OSError, address: Any) -> None:
        self.cut += 1


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def timed(port: int, count: int, trust: Path) -> list[float]:
    command = [sys.executable, "-c", CLIENT, str(port), str(count), str(trust)]
    done = run(command, capture_output=True, text=True, check=True)
    return [float(line) for line in done.stdout.split()]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peers", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--limit", type=float, default=50.0)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    authority = trustme.CA()
    context = ssl.SSLContext(plain_ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with TemporaryDirectory() as folder:
        trust = Path(folder) / "ca.pem"
        authority.cert_pem.write_to_path(trust)
        timeout = 5.0 + options.clients / 20
        with Counting(
            ("127.0.0.1", 0),
            lambda sock, address: sock.sendall(sock.recv(10)),
            ssl_context=context,
            handshake_timeout=timeout,
        ) as server:
            server.start()
            alone = timed(server.server_port, options.clients, trust)
            begun = time.monotonic()
            silent = [socket.create_connection(server.address) for _ in range(options.peers)]
            crowded = timed(server.server_port, options.clients, trust)
            while server.cut < len(silent) and time.monotonic() < begun + timeout + 30:
                sleep(0.1)
            for each in silent:
                each.close()
    found = [1000 * percentile(values, share) for values in (crowded, alone) for share in (0.5, 0.99)]
    print(f"{options.peers} silent peers, {server.cut} cut")
    print("p50 {:.1f} ms, p99 {:.1f} ms; alone {:.1f} and {:.1f}".format(*found))
    return int(server.cut != options.peers or found[1] > options.limit)


if __name__ == "__main__":
    sys.exit(main())
