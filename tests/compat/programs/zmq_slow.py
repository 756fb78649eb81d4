"""A server of ZeroMQ that answers after a tenth of a second; writes its port, and ends with its stdin."""

import sys
import time
from collections import deque

import zmq

router = zmq.Context().socket(zmq.ROUTER)
print(router.bind_to_random_port("tcp://127.0.0.1"), flush=True)
poller = zmq.Poller()
poller.register(router, zmq.POLLIN)
poller.register(sys.stdin, zmq.POLLIN)
waiting = deque()
while True:
    left = 1000 * (waiting[0][0] - time.monotonic()) if waiting else None
    ready = dict(poller.poll(left if left is None else max(0, left)))
    if sys.stdin.fileno() in ready:
        break
    if router in ready:
        waiting.append((time.monotonic() + 0.1, router.recv_multipart()))
    while waiting and waiting[0][0] <= time.monotonic():
        router.send_multipart(waiting.popleft()[1])
