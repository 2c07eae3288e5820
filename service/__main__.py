"""`backout` and `python -m service`: the command line on this process's streams."""

import sys
from io import TextIOWrapper

from service.cli.app import run
from service.cli.terminal import Terminal


def main() -> int:
    """Run the command line with this process's arguments; answers the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a sign that the terminal cannot show must not end the command
    return run(sys.argv[1:], Terminal())


if __name__ == "__main__":
    sys.exit(main())
