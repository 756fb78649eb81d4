"""Step 5: a server. Whoever connects reads what is known, and then each change."""

from corolib import monkey

monkey.patch_all()

import sys
from typing import Any

import corolib
from corolib import socket
from corolib.server import StreamServer
from step3_in_time import verdict
from step4_watching import ALL_PAGES
from watching import Watch

PORT = int(sys.argv[2]) if len(sys.argv) > 2 else 8002

watch = Watch(ALL_PAGES, verdict)


def tell(connection: socket.socket, address: Any) -> None:
    """Runs for each client, in a greenlet of its own. The server closes the connection."""
    try:
        with watch.listen() as news:
            for line in news:
                connection.sendall(line.encode() + b"\n")
    except ConnectionError:
        pass  # the client is gone


def main() -> None:
    watch.start()
    server = StreamServer(("127.0.0.1", PORT), tell)
    server.start()
    print(f"nc 127.0.0.1 {server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    corolib.run(main)
