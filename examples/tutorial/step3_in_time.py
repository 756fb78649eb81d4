"""Step 3: pages that fail, a page that never answers, and no more than five at the same time."""

from corolib import monkey

monkey.patch_all()

import time

from corolib import Timeout
from corolib.pool import Pool
from step1_blocking import PAGES, SITE, check

#: Seconds that a page may take.
PATIENCE = 2
MORE_PAGES = [*PAGES, f"{SITE}/broken", f"{SITE}/stuck"]


def verdict(url: str) -> str:
    """What is to be said about a page, in a few words. Always within PATIENCE seconds."""
    try:
        with Timeout(PATIENCE):
            return f"{check(url)} OK"
    except Timeout:
        return f"no answer in {PATIENCE} s"
    except OSError as error:
        return str(error)


def main() -> None:
    began = time.monotonic()
    for url, found in zip(MORE_PAGES, Pool(5).imap(verdict, MORE_PAGES), strict=True):
        print(f"{url}: {found}")
    print(f"{len(MORE_PAGES)} pages in {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
