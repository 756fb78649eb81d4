"""APScheduler's GeventScheduler, and huey's consumer with greenlets for workers."""

from gevent import monkey

monkey.patch_all()

import threading  # noqa: E402  # after patching
import warnings  # noqa: E402

import gevent  # noqa: E402
from gevent.event import Event  # noqa: E402

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from apscheduler.schedulers.gevent import GeventScheduler

scheduler = GeventScheduler()
rung, ran = Event(), []


def ring():
    ran.append(type(gevent.getcurrent()).__mro__[1].__name__ != "object")
    if len(ran) == 3:
        rung.set()


job = scheduler.add_job(ring, "interval", seconds=0.02, max_instances=3)
scheduler.start()
assert rung.wait(60)
job.remove()
scheduler.shutdown()
print("rung", len(ran) >= 3)

from huey import MemoryHuey  # noqa: E402

huey = MemoryHuey(immediate=False)
meeting = threading.Barrier(10)


@huey.task()
def meet(number):
    meeting.wait(60)
    return number


consumer = huey.create_consumer(workers=10, worker_type="greenlet", periodic=False, initial_delay=0.01)
consumer.start()
results = [meet(number) for number in range(10)]
print([result.get(blocking=True, timeout=60) for result in results] == list(range(10)))
consumer.stop(graceful=True)
print("over")
