"""Takes what is needed out of one wheel, checking every file against the wheel's own list.

usage: unpack.py WHEEL DEST PATTERN...
PATTERN `tree:PREFIX` keeps the paths below PREFIX (a folder of the package) as they are;
any other pattern is a glob whose matches go, without folders, to DEST/lib.
"""
import base64
import csv
import fnmatch
import hashlib
import io
import os
import sys
import zipfile


def destination(name, patterns, used):
    for pattern in patterns:
        if pattern.startswith("tree:"):
            prefix = pattern[len("tree:") :]
            if name.startswith(prefix):
                used.add(pattern)
                return os.path.join(os.path.basename(prefix.rstrip("/")), name[len(prefix) :])
        elif fnmatch.fnmatchcase(name, pattern):
            used.add(pattern)
            return os.path.join("lib", os.path.basename(name))
    return None


def copy_checked(wheel, name, expected, path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    digest = hashlib.sha256()
    with wheel.open(name) as source, open(path, "wb") as target:
        while True:
            block = source.read(1 << 20)
            if not block:
                break
            digest.update(block)
            target.write(block)
    found = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
    if expected != "sha256=" + found:
        sys.exit("%s is damaged: its checksum is not the one in RECORD" % name)
    return os.path.getsize(path)


def main(wheel_path, dest, patterns):
    used, n_files, n_bytes = set(), 0, 0
    shown = os.path.basename(wheel_path)
    with zipfile.ZipFile(wheel_path) as wheel:
        (record,) = [n for n in wheel.namelist() if n.endswith(".dist-info/RECORD")]
        rows = csv.reader(io.StringIO(wheel.read(record).decode()))
        for name, expected, _size in rows:
            relative = destination(name, patterns, used)
            if relative is None:
                continue
            n_bytes += copy_checked(wheel, name, expected, os.path.join(dest, relative))
            n_files += 1
            if sys.stderr.isatty() and n_files % 100 == 0:
                sys.stderr.write("\r  %s: %d files, %d MB" % (shown, n_files, n_bytes >> 20))
                sys.stderr.flush()
    start = "\r" if sys.stderr.isatty() else ""
    sys.stderr.write("%s  %s: %d files, %d MB\n" % (start, shown, n_files, n_bytes >> 20))
    missing = sorted(set(patterns) - used)
    if missing:
        sys.exit("%s does not contain %s" % (shown, ", ".join(missing)))


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2], sys.argv[3:])
    except (zipfile.BadZipFile, ValueError) as error:
        sys.exit("%s is not a readable wheel: %s" % (sys.argv[1], error))
