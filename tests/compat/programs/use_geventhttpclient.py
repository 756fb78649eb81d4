"""geventhttpclient: python use_geventhttpclient.py PORT CROWD; the server wants CROWD requests at once."""

import sys

from gevent.pool import Pool
from geventhttpclient import HTTPClient

port, crowd = map(int, sys.argv[1:])
client = HTTPClient("127.0.0.1", port, concurrency=crowd)
print(set(Pool(crowd).map(lambda _: client.get(f"/together?key=ghc&size={crowd}").read(), range(crowd))))
print(client.post("/echo", b"x" * 300_000).read().count(b"300000"))
