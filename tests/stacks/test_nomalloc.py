"""Neither walking nor naming Python frames allocates. Run with libcountmalloc.so preloaded."""
import sys

import walkers


def deep(n, then):
    return then() if n == 0 else deep(n - 1, then)


def main():
    if walkers.init():
        return walkers.SKIP
    for _ in range(2):
        for n in (0, 10, 100, 200):
            assert deep(n, lambda: walkers.lib.stk_py_mallocs(1)) == 0, n
            assert deep(n, lambda: walkers.lib.stk_py_mallocs(1000)) == 0, n
        walkers.watch()
    return 0


if __name__ == "__main__":
    sys.exit(main())
