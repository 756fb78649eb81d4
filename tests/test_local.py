"""corolib.local: what each greenlet sees, and when it goes."""

import copy
import gc
import threading
from weakref import ref

import pytest

from corolib._switch import getcurrent, greenlet
from corolib.greenlet import Greenlet
from corolib.hub import sleep
from corolib.local import all_local_dicts_for_greenlet, local

# Sleeps and time limits take no time.
pytestmark = pytest.mark.corolib(clock=True)


def run(function):
    return greenlet(function).switch()


def test_each_greenlet_has_its_own_values():
    mine = local()
    mine.x = 1

    def other():
        before = hasattr(mine, "x")
        mine.x = 2
        return before, mine.x, dict(mine.__dict__)

    assert run(other) == (False, 2, {"x": 2})
    assert mine.x == 1 and mine.__dict__ == {"x": 1}
    del mine.x
    with pytest.raises(AttributeError, match="'local' object has no attribute 'x'"):
        mine.x
    with pytest.raises(AttributeError, match="'local' object has no attribute 'x'"):
        del mine.x


def test_values_stay_while_other_greenlets_run():
    mine = local()
    seen = []

    def work(n):
        mine.n = n
        for _ in range(3):
            sleep(0)
            seen.append(mine.n == n)

    for each in [Greenlet.spawn(work, n) for n in range(10)]:
        each.join()
    assert seen == [True] * 30


def test_init_is_called_once_per_greenlet_with_the_arguments_of_the_constructor():
    calls = []

    class Mine(local):
        def __init__(self, a, b=0):
            calls.append((getcurrent(), a, b))
            self.a = a

    main = getcurrent()
    mine = Mine(1, b=2)
    assert mine.a == 1 and calls == [(main, 1, 2)]
    mine.a = 5

    def other():
        found = mine.a, mine.a
        return found, getcurrent()

    found, who = run(other)
    assert found == (1, 1)
    assert calls == [(main, 1, 2), (who, 1, 2)]
    assert mine.a == 5


def test_init_that_fails_is_tried_again_at_the_next_use():
    class Mine(local):
        ready = False

        def __init__(self):
            if not type(self).ready:
                type(self).ready = True
                return
            type(self).ready = False
            raise OSError("not now")

    mine = Mine()

    def other():
        with pytest.raises(OSError, match="not now"):
            mine.x = 1
        mine.x = 2
        return mine.x

    assert run(other) == 2


def test_arguments_without_an_init_are_refused():
    with pytest.raises(TypeError, match="takes no arguments"):
        local(1)
    with pytest.raises(TypeError, match="takes no arguments"):
        local(x=1)


def test_class_attributes_are_shared_and_covered_by_values():
    class Mine(local):
        level = 1

        def method(self):
            return self.level

    mine = Mine()
    assert mine.level == 1 and mine.method() == 1
    mine.level = 2
    assert mine.level == 2 and mine.method() == 2
    assert run(lambda: mine.level) == 1
    assert Mine.level == 1


def test_data_descriptors_win_over_values():
    class Mine(local):
        __slots__ = ("shared",)

        @property
        def double(self):
            return 2 * self.x

        @double.setter
        def double(self, value):
            self.x = value / 2

        @double.deleter
        def double(self):
            del self.x

    mine = Mine()
    mine.double = 6
    assert mine.x == 3 and mine.double == 6
    mine.__dict__["double"] = "hidden"
    assert mine.double == 6
    del mine.double
    assert not hasattr(mine, "x")
    mine.shared = 1
    assert run(lambda: mine.shared) == 1
    assert "shared" not in mine.__dict__
    del mine.shared
    assert not hasattr(mine, "shared")


def test_getattr_of_a_subclass_is_asked_last():
    class Mine(local):
        def __getattr__(self, name):
            return f"no {name}"

    mine = Mine()
    mine.x = 1
    assert (mine.x, mine.y) == (1, "no y")


def test_the_dict_cannot_be_replaced():
    mine = local()
    for change in (lambda: setattr(mine, "__dict__", {}), lambda: delattr(mine, "__dict__")):
        with pytest.raises(AttributeError, match="read-only"):
            change()
    assert vars(mine) == {}
    mine.x = 1
    assert vars(mine) == {"x": 1} and "x" in dir(mine)


def test_the_dict_stays_whatever_kind_of_name_is_given():
    """A name that equals all others, and has no hash: CPython 3.14 has a test of it."""

    class AnyName:
        def __eq__(self, other):
            return True

    mine = local()
    for change in (mine.__setattr__, lambda name, value: mine.__delattr__(name)):
        with pytest.raises(AttributeError, match=r"'local'.*read-only"):
            change(AnyName(), 1)


class Value:
    pass


def test_values_go_with_their_greenlet():
    mine = local()
    value = Value()
    gone = ref(value)

    def keep(value):
        mine.value = value

    other = greenlet(keep)
    other.switch(value)
    del value
    gc.collect()
    assert gone() is not None
    del other
    gc.collect()
    assert gone() is None


def test_values_go_with_the_local_at_once():
    gc.collect()
    gc.disable()
    try:
        mine = local()
        mine.value = value = Value()
        gone = ref(value)
        del value, mine
        assert gone() is None  # no circle that only the collector would break
    finally:
        gc.enable()


def test_many_greenlets_leave_nothing():
    mine = local()
    for _ in range(1000):
        run(lambda: setattr(mine, "x", 1))
    gc.collect()
    from corolib.local import _dicts_of

    assert len(_dicts_of(mine)) == 1


def test_threads_have_their_own_too():
    mine = local()
    mine.x = "main"
    seen = []

    def work(n):
        for _ in range(1000):
            mine.x = n
            if mine.x != n:
                seen.append(n)
        del mine.x

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert seen == [] and mine.x == "main"


def test_a_copy_has_the_values_of_this_greenlet():
    class Mine(local):
        def __init__(self, a):
            self.a = a

    mine = Mine([1])
    mine.b = 2
    other = copy.copy(mine)
    assert type(other) is Mine and other.a is mine.a and other.b == 2
    other.b = 3
    assert mine.b == 2
    assert run(lambda: other.a) == [1] and run(lambda: hasattr(other, "b")) is False


def test_all_dicts_of_a_greenlet():
    first, second = local(), local()
    first.x = 1
    done = []

    def other():
        second.y = 2
        getcurrent().parent.switch()
        done.append(True)

    suspended = greenlet(other)
    suspended.switch()
    assert (second, {"y": 2}) in all_local_dicts_for_greenlet(suspended)
    assert all(found is not first for found, _ in all_local_dicts_for_greenlet(suspended))
    assert (first, {"x": 1}) in all_local_dicts_for_greenlet(getcurrent())
    suspended.switch()
    assert done == [True]
