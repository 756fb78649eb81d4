"""The tasks of a Celery worker. Broker and results: the Redis at CELERY_URL."""

import os
import time

from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded

app = Celery("celery_tasks", broker=os.environ["CELERY_URL"], backend=os.environ["CELERY_URL"])
app.conf.update(broker_connection_retry_on_startup=True, worker_prefetch_multiplier=0)
inside = 0


@app.task
def sleeper(size):
    """How many sleep at the same time, once `size` do."""
    global inside
    inside += 1
    while inside < size:
        time.sleep(0.01)
    return inside


@app.task
def nap(number):
    time.sleep(0.05)
    return number


@app.task(time_limit=0.3)
def too_long():
    time.sleep(600)


@app.task(soft_time_limit=0.2)
def warned():
    try:
        time.sleep(600)
    except SoftTimeLimitExceeded:
        return "warned"


@app.task
def endless(path):
    with open(path, "a") as file:
        file.write("begun ")
    try:
        time.sleep(600)
    finally:
        with open(path, "a") as file:
            file.write("ended ")


@app.task
def slow(path):
    with open(path, "a") as file:
        file.write("begun ")
    time.sleep(1)
    with open(path, "a") as file:
        file.write("done ")
    return "done"


@app.task
def fails():
    raise ValueError("told")
