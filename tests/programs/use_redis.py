"""redis-py against a server: python use_redis.py PORT UNIX-SOCKET CROWD"""

import sys
import threading
import time
import uuid

import redis

port, path, crowd = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
# Both runs talk to the same server.
prefix = uuid.uuid4().hex


def key(name: str) -> str:
    return f"{prefix}:{name}"


def check_commands(client: redis.Redis) -> None:
    client.set(key("name"), "wört", ex=60)
    print(client.get(key("name")).decode(), client.ttl(key("name")) > 0)
    big = bytes(range(256)) * 20_000
    client.set(key("big"), big)
    print("big", client.get(key("big")) == big)
    with client.pipeline() as pipe:
        for number in range(1000):
            pipe.rpush(key("list"), number)
        print("pipeline", pipe.execute()[-1])
    print(client.lrange(key("list"), 0, 3), sorted(client.scan_iter(f"{prefix}:*", count=1000))[0][-3:])
    script = client.register_script("return redis.call('incrby', KEYS[1], ARGV[1])")
    print("script", script(keys=[key("counter")], args=[5]), script(keys=[key("counter")], args=[6]))
    try:
        client.lpush(key("name"), "x")
    except redis.ResponseError as error:
        print(str(error)[:9])
    client.xadd(key("stream"), {"a": "1"}, id="1-1")
    print(client.xread({key("stream"): "0"})[0][1])


def check_transactions(client: redis.Redis) -> None:
    """Twenty threads add to one number; who is disturbed tries again."""

    def add(pipe: redis.client.Pipeline) -> None:
        found = int(pipe.get(key("sum")) or 0)
        pipe.multi()
        pipe.set(key("sum"), found + 1)

    def work() -> None:
        for _ in range(5):
            client.transaction(add, key("sum"))

    run([threading.Thread(target=work) for _ in range(20)])
    print("transactions", client.get(key("sum")))


def check_messages(client: redis.Redis) -> None:
    listening = threading.Event()
    found = []

    def listen() -> None:
        with client.pubsub() as pubsub:
            pubsub.subscribe(key("news"))
            for message in pubsub.listen():
                if message["type"] == "subscribe":
                    listening.set()
                else:
                    found.append(message["data"])
                    if message["data"] == b"end":
                        return

    thread = threading.Thread(target=listen)
    thread.start()
    listening.wait()
    for text in ("one", "two", "end"):
        client.publish(key("news"), text)
    thread.join()
    print("messages", found)


def check_locks(client: redis.Redis) -> None:
    inside = []

    def work(number: int) -> None:
        with client.lock(key("lock"), timeout=60, sleep=0.005):
            inside.append(number)
            time.sleep(0.001)
            assert inside == [number], inside
            inside.remove(number)

    run([threading.Thread(target=work, args=(number,)) for number in range(10)])
    print("locks", inside)


def check_timeout() -> None:
    with redis.Redis(port=port, socket_timeout=0.05, retry=None) as client:
        try:
            client.blpop(key("nothing"), 60)
        except redis.TimeoutError as error:
            print("timeout", error)
    print("empty", redis.Redis(port=port).blpop(key("nothing"), 0.05))


def check_crowd(client: redis.Redis) -> None:
    """The server blocks all of them at once before anything comes."""
    found = []

    def call() -> None:
        found.append(int(client.blpop(key("work"), 30)[1]))

    threads = [threading.Thread(target=call) for _ in range(crowd)]
    for thread in threads:
        thread.start()
    while client.info("clients")["blocked_clients"] < crowd:
        time.sleep(0.01)
    print("blocked", client.info("clients")["blocked_clients"])
    client.rpush(key("work"), *range(crowd))
    for thread in threads:
        thread.join()
    print("served", sorted(found) == list(range(crowd)))


def run(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


with redis.Redis(unix_socket_path=path) as client:
    check_commands(client)
with redis.Redis(port=port) as client:
    client.delete(*client.scan_iter(f"{prefix}:*"))
    check_commands(client)
    check_transactions(client)
    check_messages(client)
    check_locks(client)
    check_timeout()
    check_crowd(client)
