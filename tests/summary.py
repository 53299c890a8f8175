"""summary.py FOLDER [FAILURE]: adds up the JUnit files in a folder, names failures and the
reasons of skips, and says where the time went; the last line is "N passed, N failed, N skipped".
Exits 1 on a failure."""

import collections
import pathlib
import re
import sys
import xml.etree.ElementTree as xml


def reason(case, skipped):
    """pytest says it in the message, ctest leaves it in the output of the test."""
    said = re.search(r"skipped: (.*)", case.findtext("system-out") or "")
    if said:
        return said[1].strip()
    return skipped.get("message") or "no reason given"


def slowest(times):
    """The sum of each part, and the files of tests that take most; seconds of all lanes."""
    parts = collections.Counter()
    for (part, _), seconds in times.items():
        parts[part] += seconds
    yield ", ".join(f"{part} {seconds:.0f} s" for part, seconds in parts.most_common(12))
    for (part, file), seconds in times.most_common(20):
        yield f"{seconds:7.0f} s  {part}: {file}"


def main(folder, *failures):
    passed, failed, skips = 0, list(failures), collections.defaultdict(list)
    times = collections.Counter()
    for path in sorted(pathlib.Path(folder).glob("*.xml")):
        for case in xml.parse(path).iter("testcase"):
            name = f"{path.stem}: {case.get('name')}"
            file = case.get("classname") or case.get("name")
            times[path.stem, file] += float(case.get("time") or 0)
            skipped = case.find("skipped")
            if skipped is not None:
                skips[reason(case, skipped)].append(name)
            elif case.find("failure") is not None or case.find("error") is not None:
                failed.append(name)
            elif case.get("status") in (None, "run"):
                passed += 1
            else:
                failed.append(f"{name} ({case.get('status')})")
    print("\n".join(slowest(times)))
    for name in failed:
        print(f"FAILED   {name}")
    for why, names in skips.items():
        print(f"SKIPPED  {len(names)} because: {why}")
        for name in names:
            print(f"         {name}")
    if not passed:
        failed.append("nothing ran")
    print(f"{passed} passed, {len(failed)} failed, {sum(map(len, skips.values()))} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
