"""Crawl a site: follow its links with so many workers, and list those that lead nowhere.

    python examples/crawler.py [--jobs 10] [--pages 1000] http://127.0.0.1:8000/

Only pages below the address that it begins with are read; links to elsewhere are left alone. Ctrl-C: what was
found so far is told. Exit status 1 if a link is broken.
"""

from corolib import monkey

monkey.patch_all()  # before anything else is imported: urllib becomes cooperative

import argparse
import sys
import urllib.request
from html.parser import HTMLParser
from http.client import HTTPException
from urllib.parse import urldefrag, urljoin, urlsplit

import corolib
from corolib.queue import JoinableQueue

#: Seconds that a server may say nothing; bytes of a page that are read.
SILENCE, LONGEST = 10, 1 << 20


class Links(HTMLParser):
    """The targets of all links of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.targets += [value for name, value in attrs if name == "href" and value]


class Crawler:
    def __init__(self, start: str, limit: int) -> None:
        self.start = start
        self.limit = limit
        #: Addresses that were found, and where; those that lead nowhere, and why.
        self.found: dict[str, str] = {}
        self.broken: dict[str, str] = {}
        self.read = 0
        self.queue: JoinableQueue[str] = JoinableQueue()
        self.add(start, "the command line")

    def add(self, url: str, where: str) -> None:
        url = urldefrag(url).url
        if url.startswith(self.start) and url not in self.found and len(self.found) < self.limit:
            self.found[url] = where
            self.queue.put(url)

    def work(self) -> None:
        """One of the workers; it ends with the program."""
        for url in self.queue:
            try:
                self.visit(url)
            finally:
                self.queue.task_done()

    def visit(self, url: str) -> None:
        try:
            with urllib.request.urlopen(url, timeout=SILENCE) as response:
                kind = response.headers.get_content_type()
                charset = response.headers.get_content_charset("utf-8")
                text = response.read(LONGEST).decode(charset, "replace") if kind == "text/html" else ""
        except (OSError, HTTPException, ValueError, LookupError) as error:
            self.broken[url] = str(error) or type(error).__name__
            return
        self.read += 1
        print(url, flush=True)
        for target in Links(text).targets:
            try:
                self.add(urljoin(url, target), url)
            except ValueError as error:
                self.broken[target] = str(error)

    def tell(self) -> None:
        for url, reason in sorted(self.broken.items()):
            print(f"broken: {url}: {reason} (found in {self.found.get(url, 'a page')})")
        left = len(self.found) - self.read - len(self.broken)
        print(f"{self.read} pages, {len(self.broken)} broken links, {max(left, 0)} not looked at", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Crawl a site and list its broken links.")
    parser.add_argument("start", metavar="URL")
    parser.add_argument("--jobs", type=int, default=10, metavar="N", help="at the same time (default 10)")
    parser.add_argument("--pages", type=int, default=1000, metavar="N", help="at most (default 1000)")
    options = parser.parse_args()
    if urlsplit(options.start).scheme not in ("http", "https"):
        parser.error(f"expected an address that begins with http:// or https://, found {options.start!r}")
    if options.jobs < 1 or options.pages < 1:
        parser.error("--jobs and --pages must be at least 1")
    crawler = Crawler(options.start, options.pages)
    for _ in range(options.jobs):
        corolib.spawn(crawler.work)
    try:
        crawler.queue.join()
    finally:
        crawler.tell()
    return 1 if crawler.broken else 0


if __name__ == "__main__":
    sys.exit(corolib.run(main))
