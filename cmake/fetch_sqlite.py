"""Brings SQLite's amalgamation, sqlite3.c and sqlite3.h, into a folder.

usage: fetch_sqlite.py FOLDER

It is taken from the source package of sqlean.py, by pip, from the index that pip is set up
for. That package appends five lines of its own to sqlite3.c; they are cut off. The checksums
of what comes and of what stays are those below, or nothing is kept."""

import hashlib
import pathlib
import subprocess
import sys
import tarfile
import tempfile

PACKAGE = "sqlean.py==3.50.4.5"  # SQLite 3.50.4
ARCHIVE = "9764b565e7ab430ab6e9e43cb2816199c2b39926dffc93c212a52f0019278459"
FILES = {
    "sqlite3.c": "e3f5d6901e7492af4a1fc8c4d745cae84c264942524c3fbfc02b82a5ca8818c8",
    "sqlite3.h": "abd1514e0351f79393d1be882830afdb40a8099e8257f311f0bfdf8486f11bea",
}
END = b"/************************** End of sqlite3.c ******************************/\n"


def good(data, checksum):
    return hashlib.sha256(data).hexdigest() == checksum


def kept(folder):
    return all((folder / name).exists() and good((folder / name).read_bytes(), checksum)
               for name, checksum in FILES.items())


def fetch(folder):
    """The archive of PACKAGE. pip itself refuses another checksum."""
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{PACKAGE} --hash=sha256:{ARCHIVE}\n")
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
         "--no-deps", "--no-binary", ":all:", "--require-hashes",
         "--dest", folder, "--requirement", wanted], check=True)
    [archive] = folder.glob("*.tar.gz")
    return archive


def main(folder):
    if kept(folder):
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        with tarfile.open(fetch(pathlib.Path(scratch))) as archive:
            for name, checksum in FILES.items():
                [member] = [m for m in archive.getmembers() if m.name.endswith("/sqlite/" + name)]
                data = archive.extractfile(member).read()
                if END in data:
                    data = data[: data.index(END) + len(END)]
                if not good(data, checksum):
                    sys.exit(f"{name} of {PACKAGE} is not the one that is expected")
                (folder / name).write_bytes(data)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]))
