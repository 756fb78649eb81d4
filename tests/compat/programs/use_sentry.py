"""sentry-sdk: ten greenlets at the same time, each with a scope and a transaction of its own."""

from gevent import monkey

monkey.patch_all()

import gevent  # noqa: E402  # after patching
import sentry_sdk  # noqa: E402
from gevent.event import Event  # noqa: E402
from sentry_sdk.transport import Transport  # noqa: E402
from sentry_sdk.utils import is_gevent  # noqa: E402

CROWD = 10
sent, inside, all_inside = [], [], Event()


class Keep(Transport):
    def capture_envelope(self, envelope):
        sent.append(envelope)


def work(number):
    with sentry_sdk.isolation_scope() as scope:
        scope.set_tag("number", str(number))
        with sentry_sdk.start_transaction(name=f"transaction {number}"):
            inside.append(number)
            if len(inside) == CROWD:
                all_inside.set()
            all_inside.wait()
            with sentry_sdk.start_span(op="child", name=f"child {number}") as span:
                gevent.sleep(0.001 * (CROWD - number))
                assert sentry_sdk.get_current_span() is span
            sentry_sdk.capture_message(f"message {number}")


sentry_sdk.init("http://key@127.0.0.1:1/1", transport=Keep, traces_sample_rate=1.0)
gevent.joinall([gevent.spawn(work, number) for number in range(CROWD)], raise_error=True)
found = {}
for envelope in sent:
    for item in envelope.items:
        payload = item.payload.json
        if item.type == "transaction":
            spans = [span["description"] for span in payload["spans"]]
            found[payload["transaction"]] = (payload["tags"]["number"], spans)
        elif item.type == "event":
            found[payload["message"]] = payload["tags"]["number"]
expected = {f"message {number}": str(number) for number in range(CROWD)}
expected |= {f"transaction {number}": (str(number), [f"child {number}"]) for number in range(CROWD)}
print(is_gevent(), found == expected)
