"""The protocol by which a benchmark driver interleaves programs; every program speaks it alike.

The program prints `ready`. For each line `step WIDTH WIDTH INDEX INDEX INDEX` on stdin it does one
mutual step and prints the seconds it took. The two random widths and the three indices into the
resolutions (full-to-small order of the students) come with the line, so that all programs do the
same work in the same round. An empty line or the end of stdin ends the program.
"""
import sys


def plans():
    """Yields (widths, resolution indices), one pair for each step that the driver asks for."""
    print("ready", flush=True)
    for line in sys.stdin:
        words = line.split()
        if not words:
            return
        if words[0] != "step" or len(words) != 6:
            sys.exit("expected `step WIDTH WIDTH INDEX INDEX INDEX`, got %r" % line)
        yield [float(w) for w in words[1:3]], [int(w) for w in words[3:6]]


def report(seconds):
    print("%.6f" % seconds, flush=True)
