"""The server of the tests with HTTP clients: plain threads, a process of its own, never patched.

    python httpd.py [certificate and key in one file]

Writes its port on one line and serves until its stdin ends.
"""

import base64
import collections
import gzip
import json
import socket
import ssl
import sys
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

#: Seconds after which those who wait for others get an error in place of their answer.
PATIENCE = 30


class Meeting:
    """Lets nobody go before `size` have come; says how many are there at the same time at most."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size, timeout=PATIENCE)

    def attend(self) -> bool:
        try:
            self.barrier.wait()
        except threading.BrokenBarrierError:
            return False
        return True


meetings: dict[str, Meeting] = {}
failures: collections.Counter[str] = collections.Counter()
guard = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Else each answer would be two segments, and the second wait for the client's delayed ACK.
    wbufsize = -1

    def log_message(self, *args: object) -> None:
        pass

    def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def do_GET(self) -> None:
        body = self.body()
        target = urlsplit(self.path)
        _, name, *rest = target.path.split("/")
        query = {key: values[0] for key, values in parse_qs(target.query).items()}
        getattr(self, f"page_{name}", self.page_missing)(body, query, *rest)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def page_missing(self, *_: object) -> None:
        self.answer(b"there is no such page", 404)

    def page_echo(self, body: bytes, query: dict[str, str]) -> None:
        """What was asked, as JSON."""
        found = {
            "method": self.command,
            "query": query,
            "size": len(body),
            "crc": zlib.crc32(body),
            "cookie": self.headers.get("Cookie"),
            "kind": self.headers.get("Content-Type"),
        }
        self.answer(json.dumps(found).encode(), Content_Type="application/json")

    def page_bytes(self, _: bytes, query: dict[str, str], size: str) -> None:
        """Chunks of many sizes, `size` bytes in all."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        left, chunk = int(size), 1
        while left:
            chunk = min(left, chunk * 2 % 70_001)
            self.wfile.write(b"%x\r\n" % chunk + bytes(chunk) + b"\r\n")
            left -= chunk
        self.wfile.write(b"0\r\n\r\n")

    def page_gzip(self, *_: object) -> None:
        self.answer(gzip.compress(b"squeezed " * 1000), Content_Encoding="gzip")

    def page_redirect(self, _: bytes, query: dict[str, str], count: str) -> None:
        target = f"/redirect/{int(count) - 1}" if int(count) > 1 else "/echo?after=redirect"
        self.answer(b"", 302, Location=target)

    def page_cookie(self, _: bytes, query: dict[str, str]) -> None:
        self.answer(b"", Set_Cookie=f"{query['name']}={query['value']}; Path=/")

    def page_private(self, *_: object) -> None:
        wanted = "Basic " + base64.b64encode(b"ann:secret").decode()
        if self.headers.get("Authorization") == wanted:
            self.answer(b"welcome")
        else:
            self.answer(b"who are you?", 401, WWW_Authenticate='Basic realm="tests"')

    def page_flaky(self, _: bytes, query: dict[str, str]) -> None:
        """Fails twice for each key."""
        with guard:
            failures[query["key"]] += 1
            seen = failures[query["key"]]
        self.answer(b"%d" % seen, 503 if seen < 3 else 200, Retry_After="0")

    def page_silence(self, *_: object) -> None:
        """No answer: until the client goes away."""
        self.connection.settimeout(PATIENCE)
        try:
            self.connection.recv(1)
        except OSError:
            pass
        self.close_connection = True

    def page_slow(self, *_: object) -> None:
        """An answer after a tenth of a second."""
        time.sleep(0.1)
        self.answer(b"slow")

    def page_together(self, _: bytes, query: dict[str, str]) -> None:
        """An answer when `size` clients are waiting for it."""
        with guard:
            meeting = meetings.setdefault(query["key"], Meeting(int(query["size"])))
        if meeting.attend():
            self.answer(f"{query['size']} in flight".encode())
        else:
            self.answer(b"some did not come", 504)


class Server(ThreadingHTTPServer):
    request_queue_size = 200

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.context = context
        super().__init__(("127.0.0.1", 0), Handler)

    def finish_request(self, request: socket.socket, client_address: object) -> None:
        # In the connection's thread: the handshake must not keep others from being accepted.
        if self.context is None:
            super().finish_request(request, client_address)
            return
        with self.context.wrap_socket(request, server_side=True) as secure:
            super().finish_request(secure, client_address)

    def handle_error(self, request: object, client_address: object) -> None:
        # Clients that go away are part of the tests.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def main() -> None:
    context = None
    if len(sys.argv) > 1:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(sys.argv[1])
        context.set_alpn_protocols(["http/1.1"])
    server = Server(context)
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
