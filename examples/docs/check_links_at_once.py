"""The same script, with a hundred requests under way at a time."""

from corolib import monkey

monkey.patch_all()

import sys
import time

import requests

from corolib.pool import Pool


def check(url):
    return requests.get(url, timeout=10).status_code


started = time.monotonic()
urls = sys.argv[1:]
for url, status in zip(urls, Pool(100).imap(check, urls), strict=True):
    print(status, url)
print(f"{time.monotonic() - started:.1f} s")
