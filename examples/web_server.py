"""A web application: hello, an answer that streams, what the server has counted; each request in a greenlet.

    python examples/web_server.py [127.0.0.1:8000], then: curl http://127.0.0.1:8000/stream

Ctrl-C: nothing is accepted any more, and requests that are under way are answered to the end.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import corolib
from corolib.pywsgi import WSGIServer
from corolib.server.counters import CONTENT_TYPE

#: Seconds for the requests that are under way at the end.
PATIENCE = 5.0


def count_down(start: int) -> Iterator[bytes]:
    """A line now and then: other requests go on meanwhile."""
    for number in range(start, 0, -1):
        yield b"%d\n" % number
        corolib.sleep(0.1)


class Application:
    """Anything that follows PEP 3333 would do: Flask, Django, Falcon."""

    server: WSGIServer

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/stream":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return count_down(3)
        if path == "/metrics":
            start_response("200 OK", [("Content-Type", CONTENT_TYPE)])
            return [self.server.counters.text().encode()]
        if path != "/":
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"there are /, /stream and /metrics\n"]
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"Hello\n"]


def main() -> None:
    parser = argparse.ArgumentParser(description="A web application.")
    where = "where to listen: HOST:PORT, unix:PATH (default: any free port of 127.0.0.1)"
    parser.add_argument("listen", nargs="?", default="127.0.0.1:0", help=where)
    options = parser.parse_args()
    application = Application()
    try:
        application.server = server = WSGIServer(options.listen, application)
        server.start()
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        sys.exit(f"cannot listen: {error.strerror}")
    print(f"listening on {server.server_host}:{server.server_port}, Ctrl-C ends", flush=True)
    try:
        server.serve_forever()
    finally:
        server.drain(PATIENCE)
        print("good-bye")


if __name__ == "__main__":
    corolib.run(main)
