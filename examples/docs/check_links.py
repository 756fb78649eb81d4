"""An ordinary script with requests: which of these addresses answer, one after the other."""

import sys
import time

import requests


def check(url):
    return requests.get(url, timeout=10).status_code


started = time.monotonic()
urls = sys.argv[1:]
for url, status in zip(urls, map(check, urls), strict=True):
    print(status, url)
print(f"{time.monotonic() - started:.1f} s")
