"""Answers each line in capitals, to as many as connect."""

import sys

import corolib
from corolib.server import StreamServer


def handle(sock, address):
    with sock.makefile("rwb") as lines:
        for line in lines:  # waits for the next line; the others are served meanwhile
            lines.write(line.upper())
            lines.flush()


server = StreamServer(("127.0.0.1", 8000), handle)
server.start()
print("127.0.0.1:8000 waits for lines, Ctrl-C ends it")
sys.exit(corolib.run(server.serve_forever))  # until Ctrl-C
