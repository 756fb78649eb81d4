"""The native threads of the world: one has the turn; their beginnings, their ends, and forks.

A thread without the turn waits for the lock of its seat, inside of whatever greenlet is its current one.
"""

import gc
import threading
import time

from nodes import CURRENT, Finish, Node, Thread
from watch import VARIABLE, Context

from corolib._switch import getcurrent


class Turns:
    def turns_setup(self):
        self.threads = [None] * 8
        self.natives = {}
        self.turn = 0
        self.leaving = self.dismissed = None
        self.leaked = []  # greenlets that only abandoned frames refer to
        self.seats = [threading.Lock() for _ in self.threads]
        for seat in self.seats:
            seat.acquire()

    @property
    def t(self):
        return self.threads[self.turn]

    def join(self, index):
        """The calling native thread becomes a thread of the model."""
        current = getcurrent()
        current.label = self.new_label()
        node = Node(current.label, "main")
        node.state = CURRENT
        node.refs = 3  # the thread's two, and ours in `real`
        if current.gr_context is not None:
            node.context = Context(current.gr_context, VARIABLE.get(None), entered=True)
        self.threads[index] = node.thread = Thread(index, node)
        self.add(node, current)
        del current

    def start_thread(self, index):
        thread = threading.Thread(target=self.seat, args=(index,))
        self.natives[index] = thread
        thread.start()
        self.give_turn(index)

    def seat(self, index):
        self.seats[index].acquire()
        self.join(index)
        self.base()
        self.wake(0)

    def wake(self, index):
        if self.threads[index] is not None and self.threads[index].doomed:
            gc.disable()  # a collection in that thread would end them, too; until settle() sees that they are
        self.turn = index
        self.seats[index].release()

    def give_turn(self, index):
        mine = self.turn
        self.wake(index)
        self.seats[mine].acquire()
        if self.dismissed == mine:
            # Before any call of the engine: what others have dropped must be ended by the end of the thread.
            self.dismissed = None
            self.thread_ends()
            raise Finish
        if self.leaving is not None:
            self.see_off()

    def thread_ends(self):
        """Called by the main greenlet of the thread, as its last operation but raising Finish."""
        t = self.t
        self.model.leave_all(t.main)
        self.model.reap(t)
        self.did["thread ended"] += 1
        self.did["abandoned"] += len(self.model.nodes_of(t)) - 1
        self.abandon(t)
        self.leaving = t
        self.threads[self.turn] = None
        # From here on the native thread runs in parallel to thread 0, which does nothing but wait for it.

    def abandon(self, t):
        nodes = self.model.nodes_of(t)
        self.model.abandon(t)
        # How much of what the frames of the dead refer to is ever freed depends on the version of Python.
        for node in nodes:
            mine = (node,) if node.kind == "method" else ()
            self.leaked += [self.weak[one.label]() for one in (*node.holds, *mine)]

    def see_off(self):
        t, self.leaving = self.leaving, None
        self.natives.pop(t.index).join()
        until = time.monotonic() + 60
        while not self.real[t.main.label].dead:
            time.sleep(0.0002)
            self.check(time.monotonic() < until, "a thread has ended, its main greenlet is not dead")
        del self.real[t.main.label]
        for _ in range(3):
            self.model.unrefer(self.t, t.main)

    def in_child(self, steps):
        """After a fork: the other threads do not exist. The interpreter clears the latest one first."""
        self.child_left = steps
        mine = self.t
        others = [t for t in self.threads if t is not None and t is not mine]
        for t in sorted(others, key=lambda t: t.main.label, reverse=True):
            self.abandon(t)
            self.threads[t.index] = None
            doomed, t.doomed = t.doomed, []
            for node in [*doomed, t.main, t.current]:
                self.model.unrefer(mine, node)
