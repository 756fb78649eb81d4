"""Step 2: the same pages, all at once. What checks them is imported from step 1 as it is."""

from corolib import monkey

monkey.patch_all()

import time

from corolib import joinall, spawn
from step1_blocking import PAGES, check


def main() -> None:
    began = time.monotonic()
    jobs = [spawn(check, url) for url in PAGES]
    joinall(jobs, raise_error=True)
    for url, job in zip(PAGES, jobs, strict=True):
        print(job.value, url)
    print(f"{len(PAGES)} pages in {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
