"""Step 4: check again and again, and print what has changed."""

from corolib import monkey

monkey.patch_all()

import corolib
from step3_in_time import MORE_PAGES, SITE, verdict
from watching import Watch

ALL_PAGES = [*MORE_PAGES, f"{SITE}/moody"]


def main() -> None:
    watch = Watch(ALL_PAGES, verdict)
    watch.start()
    with watch.listen() as news:
        for line in news:
            print(line, flush=True)


if __name__ == "__main__":
    corolib.run(main)
