"""What the lab tells the person who started it: one line at a time, flushed, each naming its author."""

import sys
from pathlib import Path


def say(line: str) -> None:
    """Print one line to standard error; standard output belongs to the command that runs in the lab."""
    sys.stderr.write(f"lab: {line}\n")
    sys.stderr.flush()


def tail(log: Path, lines: int = 25) -> str:
    """The last lines of a log file, indented; says so when there is nothing to show."""
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        return "    (no log)"
    return "\n".join(f"    {line[:400]}" for line in text.splitlines()[-lines:]) or "    (empty log)"
