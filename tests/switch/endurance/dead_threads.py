"""N threads with ten parked greenlets each, which somebody drops: does anything stay?

    dead_threads.py [3000]

Four ways: the thread ends them itself; another thread drops them while their own lives on, which ends them at
its next switch, or ends without one; and another thread drops them when their own is gone.
"""

import sys
import threading

from measure import blocks, collect, greenlets, heap, number, report, rss

from corolib._switch import getcurrent, greenlet

EACH = 10
# Threads are told one by one, so that "before" and "after" are facts and no races.


def park(main):
    return main.switch()


class Owner(threading.Thread):
    def __init__(self):
        super().__init__(daemon=True)
        self.told, self.done = threading.Semaphore(0), threading.Semaphore(0)
        self.children = []
        self.task = self.make
        self.start()
        self.done.acquire()

    def run(self):
        while self.task is not None:
            self.task()
            self.done.release()
            self.told.acquire()

    def make(self):
        self.task = None
        main = getcurrent()
        self.children = [greenlet(park) for _ in range(EACH)]
        for child in self.children:
            child.switch(main)

    def tell(self, task):
        self.task = task
        self.told.release()
        self.done.acquire()

    def end(self):
        self.task = None
        self.told.release()
        self.join()


def ends_them_itself():
    owner = Owner()
    owner.tell(owner.children.clear)
    owner.end()


def dropped_before_a_switch():
    owner = Owner()
    owner.children.clear()
    owner.tell(getcurrent)
    owner.end()


def dropped_before_the_end():
    owner = Owner()
    owner.children.clear()
    owner.end()


def dropped_after_the_end():
    owner = Owner()
    owner.end()
    owner.children.clear()


WAYS = [ends_them_itself, dropped_before_a_switch, dropped_before_the_end, dropped_after_the_end]


def measure(way, count):
    for _ in range(100):
        way()
    collect()
    before = greenlets(), blocks(), heap()[0], rss()
    for _ in range(count):
        way()
    collect()
    after = greenlets(), blocks(), heap()[0], rss()
    names = ("greenlets", "blocks", "heap_bytes", "rss_bytes")
    return {name: b - a for name, a, b in zip(names, before, after, strict=True)}


threads = number(3000)
found = {way.__name__: measure(way, threads) for way in WAYS}
report(threads=threads, greenlets_each=EACH, version=sys.version_info[:2], **found)
