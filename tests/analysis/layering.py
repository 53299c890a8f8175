"""layering.py - who includes whom, and who calls whom, in the four houses of the tree.

Includes are read from the sources, calls from the objects that the build made of them (nm):
a file calls another where it needs a symbol that the other defines.
"""
import collections
import pathlib
import re
import subprocess
import sys
import textwrap

HOUSES = {  # and whose headers each may include
    "analysis": {"analysis"},
    "hooks": {"hooks", "tracer"},
    "tracer": {"tracer"},
    "simulator": {"simulator"},
}


def sources(root, house):
    return sorted(p for p in (root / house).rglob("*.[ch]") if p.is_file())


def includes(path):
    """(kind, name) of each include of a file: kind is '"' or '<'."""
    return re.findall(r'^[ \t]*#[ \t]*include ([<"])([^>"]+)', path.read_text(), re.M)


def rooms(root, house):
    """{room: every room that it may use}, from the house's CMakeLists.txt; a file beside the
    rooms may use them all. Empty where a house has none."""
    text = (root / house / "CMakeLists.txt").read_text()
    closure = {}
    for name, uses in re.findall(r"^analysis_room\((\w+)\s+(?:USES\s+([\w\s]+?)\s+)?FILES",
                                 text, re.M):
        # a room comes after those that it uses, and sees what they use
        closure[name] = set(uses.split()).union(*(closure[u] for u in uses.split()))
    for name, uses in re.findall(r"^\s+room\((\w+)((?: \w+)*)\)", text, re.M):
        closure[name] = set(uses.split())
    for names in re.findall(r"^foreach\(room ([\w ]+)\)", text, re.M):
        closure.update({name: set() for name in names.split()})
    if closure:
        closure[house] = set(closure)
    return closure


def room_of(house, path):
    """The folder of a path (relative to the root) that is a room, or the house itself."""
    return path.parts[1] if len(path.parts) > 2 else house


def headers(root, house):
    """{name: [paths]} of what can be included from a house."""
    found = collections.defaultdict(list)
    for path in (root / house).rglob("*"):
        if path.suffix in (".h", ".def") and path.is_file():
            found[path.name].append(path)
    return found


def wrong_includes(root, copied):
    """Sentences, one for each include that goes where it may not. copied: lists that CMake
    puts beside the objects."""
    wrong = []
    owned = {house: headers(root, house) for house in HOUSES}
    for house, houses in HOUSES.items():
        allowed = rooms(root, house)
        for source in sources(root, house):
            short = source.relative_to(root)
            for kind, name in includes(source):
                base = name.rsplit("/", 1)[-1]
                if kind == "<" or base in copied:
                    continue
                targets = [p for h in houses for p in owned[h].get(base, ())]
                if ".." in name or not targets:
                    wrong.append(f"{short} includes {name}, which is not its house's")
                elif allowed and targets[0] in owned[house].get(base, ()):
                    own = room_of(house, short)
                    others = {room_of(house, p.relative_to(root)) for p in targets}
                    if not others <= allowed[own] | {own}:
                        wrong.append(f"{short} includes {name}: {own} may not use "
                                     + ", ".join(sorted(others)))
    return wrong


def header_graph(root, house):
    """{header: the house's headers that it includes}."""
    names = headers(root, house)
    return {str(path.relative_to(root)): {
        str(target.relative_to(root)) for _, name in includes(path)
        for target in names.get(name.rsplit("/", 1)[-1], ()) if target.suffix == ".h"}
        for path in sources(root, house) if path.suffix == ".h"}


def symbols(objects):
    """(defined, needed) names of an object file."""
    defined, needed = set(), set()
    listed = subprocess.run(["nm", "-P", objects], capture_output=True, text=True, check=True)
    for line in listed.stdout.splitlines():
        name, kind = line.split()[:2]
        if kind == "U":
            needed.add(name)
        elif kind.isupper():
            defined.add(name)
    return defined, needed


def call_graph(root, build, house):
    """{source: sources of the same house whose symbols it needs}; empty where the house is
    not built. A source may have been made into several objects."""
    defined, needed = collections.defaultdict(set), collections.defaultdict(set)
    for path in sources(root, house):
        if path.suffix != ".c":
            continue
        inside = path.relative_to(root / house)
        for objects in (build / house).glob(f"**/CMakeFiles/*.dir/{inside}.o"):
            has, wants = symbols(objects)
            for name in has:
                defined[name].add(str(path.relative_to(root)))
            needed[str(path.relative_to(root))] |= wants
    # what several files define (a stub of a function, a wrapper of each version) tells nothing
    home = {name: next(iter(files)) for name, files in defined.items() if len(files) == 1}
    return {source: {home[n] for n in wants if n in home} - {source}
            for source, wants in needed.items()}


def circles(graph):
    """The sets of nodes from which each reaches each other (Tarjan)."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            circle = set()
            while node not in circle:
                circle.add(stack.pop())
            if len(circle) > 1 or node in graph.get(node, ()):
                found.append(circle)

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def callers(graph):
    """{source: "Called from: …" as its head must say}: files by name up to three, else the rooms
    they are in. Nothing for what only other programs call."""
    by = collections.defaultdict(set)
    for source, others in graph.items():
        for other in others:
            by[other].add(source)
    said = {}
    for source, files in by.items():
        house, own = source.split("/")[0], pathlib.Path(source).parent
        names = sorted(f.split("/")[-1] if pathlib.Path(f).parent == own else f[len(house) + 1:]
                       for f in files)
        if len(names) > 3:
            names = sorted({room_of(house, pathlib.Path(f)) + "/" for f in files})
        said[source] = "Called from: " + ", ".join(names) + "."
    return said


def head_of(source):
    """The comment with which a file begins, in one line."""
    found = re.match(r"/\*(.*?)\*/", source.read_text(), re.S)
    return " ".join(re.sub(r"^ \*", "", found[1], flags=re.M).split()) if found else ""


def say_callers(root, build, house):
    """Writes it into every file's head, as the last thing said there."""
    for name, sentence in callers(call_graph(root, build, house)).items():
        path = root / name
        text = path.read_text()
        end = text.index("*/")
        head = re.sub(r"\s*\n \* Called from:[^\n]*(?:\n \* {4}[^\n]*)*", "", text[:end].rstrip())
        lines = textwrap.wrap(sentence, 86, initial_indent=" * ", subsequent_indent=" *     ")
        path.write_text(head + "\n" + "\n".join(lines) + " */" + text[end + 2:])


if __name__ == "__main__":  # layering.py BUILD: heads say again who calls
    root = pathlib.Path(__file__).resolve().parent.parent.parent
    for house in ("analysis", "simulator"):
        say_callers(root, pathlib.Path(sys.argv[1]).resolve(), house)
