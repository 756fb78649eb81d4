"""Step 7: tests of watching.py. No network, no sleeping: an hour passes in a millisecond."""

from corolib import kill, sleep, spawn
from corolib.testing import VirtualClock
from watching import Watch


def test_a_change_is_told_once_and_to_everybody():
    with VirtualClock() as clock:
        watch = Watch(["a"], lambda url: "up" if clock.elapsed < 3600 else "down", period=10)
        heard = []

        def listen(name):
            with watch.listen() as news:
                heard.extend((name, line, clock.elapsed) for line in news)

        listeners = [spawn(listen, name) for name in ("ann", "bob")]
        checker = spawn(watch.keep_checking, "a")
        sleep(2 * 3600)
        assert sorted(heard) == [
            ("ann", "a: down", 3600),
            ("ann", "a: up", 0),
            ("bob", "a: down", 3600),
            ("bob", "a: up", 0),
        ]
        watch.close()
        for each in listeners:
            each.join()
        assert not watch.queues
        kill(checker)


def test_who_comes_late_is_told_what_is_known():
    with VirtualClock():
        watch = Watch(["a", "b"], str.upper)
        watch.note("a", "up")
        with watch.listen() as news:
            watch.note("b", "down")
            watch.close()
            assert list(news) == ["a: up", "b: down"]


def test_a_page_that_takes_long_does_not_hold_up_the_others():
    with VirtualClock() as clock:
        checked = []

        def verdict(url):
            sleep(60 if url == "slow" else 0)
            checked.append((url, clock.elapsed))
            return "up"

        watch = Watch(["slow", "fast"], verdict, period=10)
        checkers = [spawn(watch.keep_checking, url) for url in watch.pages]
        sleep(35)
        assert checked == [("fast", 0), ("fast", 10), ("fast", 20), ("fast", 30)]
        for each in checkers:
            each.kill()
