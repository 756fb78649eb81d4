"""OpenTelemetry: spans of ten greenlets that run at the same time, exported in batches by its thread."""

from gevent import monkey

monkey.patch_all()

import gevent  # noqa: E402  # after patching
from gevent.event import Event  # noqa: E402
from opentelemetry import trace  # noqa: E402
from opentelemetry.sdk.trace import TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: E402
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: E402

CROWD = 10
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=20))
tracer = provider.get_tracer("tests")
inside, all_inside = [], Event()


def work(number):
    with tracer.start_as_current_span(f"outer {number}") as outer:
        inside.append(number)
        if len(inside) == CROWD:
            all_inside.set()
        all_inside.wait()
        with tracer.start_as_current_span(f"inner {number}"):
            gevent.sleep(0.001 * (CROWD - number))
        assert trace.get_current_span() is outer


gevent.joinall([gevent.spawn(work, number) for number in range(CROWD)], raise_error=True)
print(provider.force_flush(60_000))
spans = {span.name: span for span in exporter.get_finished_spans()}
for number in range(CROWD):
    inner, outer = spans[f"inner {number}"], spans[f"outer {number}"]
    assert inner.parent.span_id == outer.context.span_id
    assert outer.parent is None
print(len(spans), len({span.context.trace_id for span in spans.values()}))
provider.shutdown()
