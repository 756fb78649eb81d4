"""The site that the tutorial watches: its pages take a while. Plain Python and real threads, no corolib.

    python slow_site.py [--port 8001] [--delay 0.5]

/page/<n> is fine, /broken fails, /stuck never answers, /moody is fine for two seconds and fails for two.
"""

import argparse
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Page(BaseHTTPRequestHandler):
    delay = 0.5

    def do_GET(self) -> None:
        time.sleep(self.delay)
        if self.path == "/stuck":
            threading.Event().wait()
        status = 200
        if self.path == "/broken":
            status = 500
        elif self.path == "/moody" and int(time.time()) % 4 >= 2:
            status = 503
        self.send_response(status)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description="The site that the tutorial watches.")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument(
        "--delay", type=float, default=0.5, metavar="SECONDS", help="of each page (default 0.5)"
    )
    options = parser.parse_args()
    Page.delay = options.delay
    with ThreadingHTTPServer(("127.0.0.1", options.port), Page) as server:
        print(f"http://127.0.0.1:{server.server_port} is there, Ctrl-C ends it", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("good-bye")


if __name__ == "__main__":
    main()
