"""Download many files at once, with progress, at most so many at the same time.

    python examples/downloads.py [--jobs 10] [--into FOLDER] URL ...

A file gets its name when it is complete. Ctrl-C: complete files stay, those under way are removed, and a line
says how many are missing. Exit status 1 if any could not be had.
"""

from corolib import monkey

monkey.patch_all()  # before anything else is imported: urllib becomes cooperative

import argparse
import sys
import time
import urllib.request
from http.client import HTTPException
from pathlib import Path
from urllib.parse import unquote, urlsplit

import corolib
from corolib.pool import Pool

#: Seconds between two looks at the progress, and how long a server may say nothing.
TICK, SILENCE = 0.2, 30


class Download:
    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.path = folder / (Path(unquote(urlsplit(url).path)).name or "index.html")
        self.got = 0
        self.error = ""
        self.complete = False

    def run(self) -> "Download":
        part = self.path.with_name(self.path.name + ".part")
        try:
            with urllib.request.urlopen(self.url, timeout=SILENCE) as response, part.open("wb") as file:
                announced = response.headers.get("Content-Length")
                while data := response.read(65536):
                    file.write(data)
                    self.got += len(data)
            if announced is not None and self.got != int(announced):
                raise OSError(f"{announced} bytes were announced, {self.got} came")
            part.replace(self.path)
            self.complete = True
        except (OSError, HTTPException, ValueError) as error:
            self.error = str(error) or type(error).__name__
        finally:
            part.unlink(missing_ok=True)
        return self


class Progress:
    """One line on the terminal, written again and again; nothing where the output is no terminal."""

    def __init__(self, downloads: list[Download]) -> None:
        self.downloads = downloads
        self.began = time.monotonic()

    def line(self) -> str:
        complete = sum(each.complete for each in self.downloads)
        megabytes = sum(each.got for each in self.downloads) / 1e6
        rate = megabytes / max(time.monotonic() - self.began, 1e-9)
        return f"{complete} of {len(self.downloads)} files, {megabytes:.1f} MB, {rate:.1f} MB/s"

    def show(self) -> None:
        while sys.stderr.isatty():
            print(f"\r\x1b[K{self.line()}", end="", file=sys.stderr, flush=True)
            time.sleep(TICK)

    def say(self, text: str) -> None:
        print(("\r\x1b[K" if sys.stderr.isatty() else "") + text, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Download many files at once.")
    parser.add_argument("urls", nargs="+", metavar="URL")
    parser.add_argument("--jobs", type=int, default=10, metavar="N", help="at the same time (default 10)")
    parser.add_argument("--into", type=Path, default=Path(), metavar="FOLDER", help="default: this one")
    options = parser.parse_args()
    if options.jobs < 1:
        parser.error(f"--jobs must be at least 1, not {options.jobs}")
    if not options.into.is_dir():
        parser.error(f"--into must be a folder, and {options.into} is none")
    downloads = [Download(url, options.into) for url in options.urls]
    if len({each.path for each in downloads}) < len(downloads):
        parser.error("two of the files would have the same name")

    progress = Progress(downloads)
    corolib.spawn(progress.show)
    try:
        for done in Pool(options.jobs).imap_unordered(Download.run, downloads):
            if done.complete:
                progress.say(f"{done.got:12,}  {done.url}")
            else:
                progress.say(f"{'failed':>12}  {done.url}: {done.error}")
    finally:
        progress.say(progress.line())
    return 0 if all(each.complete for each in downloads) else 1


if __name__ == "__main__":
    sys.exit(corolib.run(main))
