"""The protocol by which a benchmark driver interleaves programs; all programs use it in the same way.

A program prints `ready`. For each line `step STUDENT STUDENT STUDENT` on stdin it does one mutual step, for each line
`plain` a step of the full network alone, and prints the seconds it took. A student is a sub-network `WIDTH-RESOLUTION`, and they are ordered widest first. The driver sends
them, so that all programs do the same work in the same round. The program ends at the end of stdin.
"""
import sys


def plans():
    """Yields the students of each step that the driver asks for, as (width, resolution); none for a plain step."""
    print("ready", flush=True)
    for line in sys.stdin:
        words = line.split()
        if words == ["plain"]:
            yield []
            continue
        if len(words) != 4 or words[0] != "step":
            sys.exit("expected `plain` or `step STUDENT STUDENT STUDENT`, got %r" % line)
        yield [(float(w), int(r)) for w, r in (word.split("-") for word in words[1:])]


def report(seconds):
    print("%.6f" % seconds, flush=True)
