"""Draws the pictures of the documentation.

python docs/pictures            draws those that are not as they should be
python docs/pictures --check    draws nothing; exit status 1 if one is not
"""

import argparse
import sys
from importlib import import_module

from drawing import HERE

#: Scripts with a function draw(), each of a picture of the same name.
SCRIPTS = ("ladder", "lanes", "switch", "timeline")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python docs/pictures", description="Draw the pictures.")
    parser.add_argument("--check", action="store_true", help="only say which are not as they should be")
    options = parser.parse_args()
    stale = 0
    for name in SCRIPTS:
        path = HERE / f"{name}.svg"
        drawn = import_module(name).draw()
        if path.exists() and path.read_text() == drawn:
            continue
        stale += 1
        print(f"{path.name} is {'not current' if options.check else 'drawn'}")
        if not options.check:
            path.write_text(drawn)
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
