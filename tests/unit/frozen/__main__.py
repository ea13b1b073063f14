"""`python -m tests.unit.frozen`: what changed of the outward names; with --write, the lists as the product is now."""

import argparse
import sys

from tests.unit.frozen.collect import LISTS, names
from tests.unit.frozen.compare import differences, explain
from tests.unit.frozen.lists import read, write


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.unit.frozen", description=__doc__)
    parser.add_argument("--write", action="store_true", help="rewrite the lists")
    writes = parser.parse_args().write
    changed = False
    for title in LISTS:
        now = names(title)
        if lines := differences(read(title), now):
            changed = True
            print(explain(title, lines))
        if writes:
            write(title, now)
    return int(changed and not writes)


if __name__ == "__main__":
    sys.exit(main())
