"""Step 6: a web page, a stream of changes for browsers, and an end in order."""

from corolib import monkey

monkey.patch_all()

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from html import escape
from pathlib import Path
from typing import Any

import corolib
from corolib.pywsgi import WSGIServer
from step3_in_time import verdict
from step4_watching import ALL_PAGES
from watching import Watch

PORT = int(sys.argv[2]) if len(sys.argv) > 2 else 8003
#: Seconds for the requests that are under way at the end.
GRACE = 5.0
#: What was known at the end of the last run.
MEMORY = Path("watch.json")

watch = Watch(ALL_PAGES, verdict)


def page() -> bytes:
    rows = "".join(
        f"<tr><td>{escape(url)}<td>{escape(found)}\n" for url, found in sorted(watch.found.items())
    )
    return f"<!DOCTYPE html>\n<title>Is it up?</title>\n<table>\n{rows}</table>\n".encode()


def stream() -> Iterator[bytes]:
    """Server-sent events: `new EventSource("/changes")` in a browser."""
    with watch.listen() as news:
        for line in news:
            yield f"data: {line}\n\n".encode()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/":
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        return [page()]
    if path == "/changes":
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return stream()
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [b"there are / and /changes\n"]


def main() -> None:
    if MEMORY.exists():
        watch.found = json.loads(MEMORY.read_text())
    watch.start()
    server = WSGIServer(("127.0.0.1", PORT), application, log=None)
    server.start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    finally:
        watch.close()  # so that the streams end
        cut = server.drain(GRACE)
        MEMORY.write_text(json.dumps(watch.found))
        print(f"{len(watch.found)} pages remembered, {cut} requests cut", file=sys.stderr)


if __name__ == "__main__":
    corolib.run(main)
