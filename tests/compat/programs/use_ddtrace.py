"""ddtrace: ten greenlets at the same time, each with spans of its own below one that all have in common."""

# First, as it wants to be with gevent: it drops the modules that it has used.
import ddtrace.auto  # noqa: F401  # isort: skip

from gevent import monkey

monkey.patch_all()

import threading  # noqa: E402  # after patching

import gevent  # noqa: E402
from ddtrace.trace import TraceFilter, tracer  # noqa: E402
from gevent.event import Event  # noqa: E402
from gevent.pool import Pool  # noqa: E402

CROWD = 10
spans, inside, all_inside = [], [], Event()


class Keep(TraceFilter):
    def process_trace(self, trace):
        spans.extend(trace)


tracer.configure(trace_processors=[Keep()])
print(type(gevent.spawn(int)).__name__, Pool.greenlet_class.__name__, gevent.Greenlet.__name__)


def work(number):
    with tracer.trace(f"outer {number}") as outer:
        inside.append(number)
        if len(inside) == CROWD:
            all_inside.set()
        all_inside.wait()
        with tracer.trace(f"inner {number}") as inner:
            gevent.sleep(0.001 * (CROWD - number))
            assert tracer.current_span() is inner
        assert tracer.current_span() is outer
    return number


with tracer.trace("root") as root:
    jobs = [gevent.spawn(work, number) for number in range(CROWD - 3)]
    thread = threading.Thread(target=work, args=(CROWD - 3,))
    thread.start()
    more = Pool(2).imap_unordered(work, (CROWD - 2, CROWD - 1))
    gevent.joinall(jobs, raise_error=True)
    assert sorted(more) == [CROWD - 2, CROWD - 1]
    thread.join()
    assert tracer.current_span() is root
gevent.wait(jobs)
found = {span.name: span for span in spans}
for number in range(CROWD):
    outer, inner = found[f"outer {number}"], found[f"inner {number}"]
    assert inner.parent_id == outer.span_id
    # A thread begins with nothing, patched or not.
    assert outer.parent_id == (None if number == CROWD - 3 else root.span_id)
print(len(spans), len({span.trace_id for span in spans}))
