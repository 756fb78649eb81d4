"""Step 1: check ten pages, one after the other. Plain Python."""

import sys
import time
import urllib.request

SITE = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8001"
PAGES = [f"{SITE}/page/{number}" for number in range(10)]


def check(url: str) -> int:
    """The status of the answer."""
    with urllib.request.urlopen(url) as answer:
        return answer.status


def main() -> None:
    began = time.monotonic()
    for url in PAGES:
        print(check(url), url)
    print(f"{len(PAGES)} pages in {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
