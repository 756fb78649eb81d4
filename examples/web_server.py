"""A web server: hello, an answer that streams, what the server has counted; each request in a greenlet.

Usage: python examples/web_server.py [port], then: curl http://127.0.0.1:<port>/stream
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import corolib
from corolib.pywsgi import WSGIServer
from corolib.server.counters import CONTENT_TYPE


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
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"Hello\n"]


def main(arguments: list[str]) -> None:
    application = Application()
    port = int(arguments[0]) if arguments else 0
    application.server = server = WSGIServer(("127.0.0.1", port), application)
    server.start()
    print(f"listening on 127.0.0.1:{server.server_port}, Ctrl-C ends", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print("good-bye")


if __name__ == "__main__":
    main(sys.argv[1:])
