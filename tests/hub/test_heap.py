"""The walks through all objects that patching makes."""

import gc
import sys
import threading
from _thread import LockType, allocate_lock

import pytest

from corolib._hub import instances, referrers


class Kind:
    pass


class Derived(Kind):
    pass


class Slotted:
    __slots__ = ("held",)


def test_instances_are_of_exactly_the_types_and_each_is_there_once():
    first, second, other = Kind(), Kind(), Derived()
    holders = [first, {"second": second}, (second, other)]
    assert {id(each) for each in instances([Kind])} == {id(first), id(second)}
    assert len(instances([Kind])) == 2
    assert sorted(map(id, instances([Kind, Derived]))) == sorted(map(id, (first, second, other)))
    del holders
    assert instances([]) == []


def test_what_the_collector_does_not_know_is_found_by_its_holders():
    holder = Slotted()
    holder.held = complex(3, 4)
    assert not gc.is_tracked(holder.held)
    assert any(each is holder.held for each in instances([complex]))
    assert any(each is holder.held for each in instances([LockType, complex]))


def test_a_lock_is_found_wherever_it_is():
    lock = allocate_lock()
    assert any(each is lock for each in instances([LockType]))


def test_many_are_found():
    many = [Slotted() for _ in range(5_000)]
    assert len(instances([Slotted])) == len(many)


def test_referrers_are_those_of_the_collector():
    sought = [Kind(), allocate_lock(), sys]
    holders = [{"a": sought[0]}, (sought[1], 1), [sought[2]]]
    found = {id(each) for each in referrers(sought)}
    assert {id(each) for each in holders} <= found
    assert id(sought) not in found
    assert referrers([]) == []
    assert id(threading.__dict__) in {id(each) for each in referrers([threading.Thread])}


def test_one_list_of_all_serves_several_walks():
    kind = Kind()
    holder = [kind]
    there_is = gc.get_objects()
    later, again = [kind], Kind()
    assert {id(each) for each in instances([Kind], there_is)} == {id(kind)}
    found = {id(each) for each in referrers([kind], there_is)}
    assert id(holder) in found
    assert found.isdisjoint(map(id, (later, there_is)))
    del again


@pytest.mark.parametrize("walk", [instances, referrers])
def test_a_list_is_expected(walk):
    with pytest.raises(TypeError, match="expected a list, not tuple"):
        walk((Kind,))


def test_a_walk_changes_no_counts():
    kind = Kind()
    before = sys.getrefcount(kind)
    del instances([Kind])[:]
    referrers([kind])
    gc.collect()
    assert sys.getrefcount(kind) == before
