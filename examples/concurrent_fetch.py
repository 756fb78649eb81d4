"""Fetch many pages at once with plain `urllib.request`, at most ten at a time.

    python examples/concurrent_fetch.py [URL ...]

Without a URL it starts a server of its own, whose pages take 0.1 s each, and fetches 50 of them.
"""

from corolib import monkey

monkey.patch_all()  # before anything else is imported: urllib and http.server become cooperative

import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from corolib.pool import Pool


class SlowPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        time.sleep(0.1)
        body = f"this is {self.path}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def fetch(url: str) -> tuple[str, int]:
    with urllib.request.urlopen(url) as response:
        return url, len(response.read())


def main(urls: list[str]) -> None:
    server = None
    if not urls:
        server = ThreadingHTTPServer(("127.0.0.1", 0), SlowPage)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        urls = [f"http://127.0.0.1:{server.server_port}/{number}" for number in range(50)]
    began = time.monotonic()
    for url, size in Pool(10).imap_unordered(fetch, urls):
        print(f"{size:8} bytes  {url}")
    print(f"{len(urls)} pages in {time.monotonic() - began:.2f} s")
    if server:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    main(sys.argv[1:])
