#!/usr/bin/env python3
"""coverage.py FOLDER...: does the simulated device have every NVIDIA symbol that the ELF
files of a PyTorch installation (a folder that holds torch/) leave undefined? Names those
it lacks. Exit status 0: all; 1: some are missing; 2: no CUDA 12 or 13 build of PyTorch.
"""
import re, sys

from regenerate import LIBRARIES, Names


class Wanted(Names):
    """The same scan, starting from nothing."""

    def load(self, path):
        pass

    def scan_strings(self, path):
        pass  # functions looked up by name may be missing: their callers ask


def main():
    worst = 0
    for folder in sys.argv[1:] or sys.exit(__doc__):
        try:
            version = open(f"{folder}/torch/version.py").read()
        except OSError as e:
            sys.exit(f"coverage: {e}")
        major = re.search(r"^cuda.*= '(1[23])\.", version, re.M)
        if not major:
            print(f"{folder}: no CUDA 12 or 13 build of PyTorch", file=sys.stderr)
            return 2
        have, want = Names(int(major.group(1))), Wanted(int(major.group(1)))
        want.scan_torch(folder)
        total = 0
        for library in LIBRARIES:
            total += len(want.symbols[library])
            for symbol in sorted(set(want.symbols[library]) - set(have.symbols[library])):
                print(f"{folder}: missing {symbol} of {have.soname[library]}")
                worst = 1
            if want.node[library] not in ("-", have.node[library]):
                print(f"{folder}: {have.soname[library]} wants version {want.node[library]}")
                worst = 1
        print(f"{folder}: {total} symbols needed of CUDA {major.group(1)}")
    return worst


sys.exit(main())
