"""Bursts: one operation, thousands of switches, one number that says whether all of them were right.

A ring goes through greenlets of the graph where they are parked, in whatever depth and construct: each gets
the Burst in place of a value, enters play() there, and hands a count on that everybody increases by one. At
the end the count must be laps * members, which is also the number of switches; nothing is estimated.
"""

from itertools import repeat

from corolib._switch import getcurrent, greenlet


class Burst:
    def __init__(self, w, labels, laps):
        self.w, self.labels, self.laps = w, labels, laps  # labels[0] leads

    def lead(self):
        w = self.w
        for label in self.labels[1:]:
            w.real[label].switch(self)
        switch = w.real[self.labels[1]].switch
        got = 0
        for _ in repeat(None, self.laps):
            got = switch(got + 1)
        switch = None
        return got

    def play(self):
        """In a member: returns what it is switched to with after the burst, wherever that comes from."""
        w = self.w
        following = self.labels.index(getcurrent().label) + 1
        switch = w.real[self.labels[0]].switch
        try:
            got = switch()
            switch = w.real[self.labels[following % len(self.labels)]].switch
            for _ in repeat(None, self.laps):
                got = switch(got + 1)
            return got
        finally:
            switch = None  # a traceback may keep this frame


def echo(value):
    return value


def storm(count):
    """So many greenlets made, run and ended; two switches each."""
    right = 0
    for number in range(count):
        right += greenlet(echo).switch(number) == number
    return right
