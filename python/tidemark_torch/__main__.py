"""The command: `tidemark …` and `python -m tidemark_torch …` both come here, and go on as the
program itself."""

import os
import sys


def main():
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bin", "tidemark")
    os.execv(program, ["tidemark", *sys.argv[1:]])


if __name__ == "__main__":
    main()
