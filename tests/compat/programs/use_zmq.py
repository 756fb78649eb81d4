"""zmq.green: sockets of ZeroMQ that wait in the hub."""

import gevent
import zmq.green as zmq
from gevent.event import Event

context = zmq.Context()
replier = context.socket(zmq.REP)
requester = context.socket(zmq.REQ)
requester.connect(f"tcp://127.0.0.1:{replier.bind_to_random_port('tcp://127.0.0.1')}")


def serve():
    for _ in range(100):
        replier.send(replier.recv() + b"!")


def ask():
    for number in range(100):
        requester.send(b"%d" % number)
        assert requester.recv() == b"%d!" % number


gevent.joinall([gevent.spawn(serve), gevent.spawn(ask)], raise_error=True)
print("asked")

pusher = context.socket(zmq.PUSH)
pusher.set_hwm(10)
puller = context.socket(zmq.PULL)
puller.set_hwm(10)
puller.connect(f"tcp://127.0.0.1:{pusher.bind_to_random_port('tcp://127.0.0.1')}")
got = []


def push():
    for number in range(10_000):
        pusher.send(b"%d" % number)


def pull():
    while len(got) < 10_000:
        got.append(int(puller.recv()))


gevent.joinall([gevent.spawn(push), gevent.spawn(pull)], raise_error=True)
print("pushed", got == list(range(10_000)))

# Nobody is held up by a poller that waits.
poller = zmq.Poller()
poller.register(puller, zmq.POLLIN)
began, polled = Event(), []


def poll():
    began.set()
    polled.append([(socket is puller, event) for socket, event in poller.poll(30_000)])


waiting = gevent.spawn(poll)
began.wait()
gevent.sleep(0.01)
pusher.send(b"late")
waiting.join()
print("polled", polled == [[(True, zmq.POLLIN)]], puller.recv())
with gevent.Timeout(0.01, False):
    puller.recv()
print("timed out")
for socket in (replier, requester, pusher, puller):
    socket.close(0)
context.term()
