"""Three producers, two consumers and a queue with room for four: whoever is too fast waits.

Usage: python examples/producer_consumer.py [items per producer]
"""

import sys

import corolib
from corolib.queue import Queue

#: Put once for each consumer when nothing more will come.
END = None


def produce(name: str, count: int, queue: Queue[str | None]) -> None:
    for number in range(count):
        queue.put(f"{name}{number}")  # waits while the queue is full
        corolib.sleep(0.001)


def consume(queue: Queue[str | None]) -> list[str]:
    seen = []
    while (item := queue.get()) is not END:  # waits while the queue is empty
        seen.append(item)
        corolib.sleep(0.002)
    return seen


def run(count: int) -> list[list[str]]:
    """What each consumer got."""
    queue: Queue[str | None] = Queue(maxsize=4)
    producers = [corolib.spawn(produce, name, count, queue) for name in "abc"]
    consumers = [corolib.spawn(consume, queue) for _ in range(2)]
    corolib.joinall(producers, raise_error=True)
    for _ in consumers:
        queue.put(END)
    return [consumer.get() for consumer in consumers]


def main(arguments: list[str]) -> None:
    count = int(arguments[0]) if arguments else 10
    for number, seen in enumerate(run(count), 1):
        print(f"consumer {number} got {len(seen)}: {' '.join(seen)}")


if __name__ == "__main__":
    main(sys.argv[1:])
