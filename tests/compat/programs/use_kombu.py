"""kombu over Redis: greenlets put and get through pools of connections. python use_kombu.py PORT CROWD"""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402  # after patching

import gevent  # noqa: E402
from kombu import Connection, Consumer, Exchange, Queue  # noqa: E402
from kombu.pools import connections, producers  # noqa: E402
from kombu.utils.compat import detect_environment  # noqa: E402

port, crowd = map(int, sys.argv[1:])
url = f"redis://127.0.0.1:{port}/5"
exchange = Exchange("tests", "direct")
queue = Queue("tests", exchange, routing_key="tests")
got = []


def put(number):
    with producers[Connection(url)].acquire(block=True) as producer:
        producer.publish(
            {"number": number}, exchange=exchange, routing_key="tests", declare=[queue], retry=True
        )


def take():
    def callback(body, message):
        got.append(body["number"])
        message.ack()

    with connections[Connection(url)].acquire(block=True) as connection:
        with Consumer(connection, [queue], callbacks=[callback], accept=["json"]):
            while len(got) < crowd:
                try:
                    connection.drain_events(timeout=0.2)
                except TimeoutError:
                    pass


print(detect_environment())
takers = [gevent.spawn(take) for _ in range(3)]
gevent.joinall([gevent.spawn(put, number) for number in range(crowd)], raise_error=True)
gevent.joinall(takers, raise_error=True)
print(sorted(got) == list(range(crowd)))
