"""Three greenlets, each with a Playwright and a browser of its own: python ... CHROMIUM."""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402  # after patching

import gevent  # noqa: E402
from gevent.event import Event  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

CROWD = 3
there, all_there = [], Event()


def browse(number):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=sys.argv[1],
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"],
        )
        page = browser.new_page()
        page.set_content(f"<h1>{number}</h1>")
        there.append(number)
        if len(there) == CROWD:
            all_there.set()
        all_there.wait()
        found = page.inner_text("h1")
        browser.close()
        return found


def count():
    while True:
        gevent.sleep(0.01)
        turns.append(1)


turns = []
counter = gevent.spawn(count)
jobs = [gevent.spawn(browse, number) for number in range(CROWD)]
gevent.joinall(jobs, raise_error=True)
counter.kill()
print([job.value for job in jobs])
print(len(turns) > 10)
