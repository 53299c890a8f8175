#!/usr/bin/env python3
"""generate.py NAMES MEANING OUT: write OUT.S and OUT.map for one stub library.

Each symbol of the list gets a weak trampoline, which hands its record (struct
tmksim_entry in core/entry.h) and the argument registers to the core; a C function of
the same name takes its place. The per-thread-default-stream variants (_ptsz, _ptds) of
a listed function jump to it.

generate.py --text NAME FILE OUT: write FILE as a C string.
"""
import fnmatch, os, sys

BEHAVIOURS = "refuse accept launch set-stream get-stream destroy text".split()
KINDS = {"int": "i", "size": "s", "handle": "h"}


def read_names(path):
    names, head = {}, {}
    for line in open(path):
        first, *rest = line.split()
        if first in ("soname", "node"):
            head[first] = rest[0]
        else:
            names[first] = rest
    return head, names


def read_meaning(path, library):
    """[(glob, behaviour, refusal)] of a library, in order: the first match counts."""
    rules = []
    for line in open(path):
        word = line.split("#")[0].split()
        if word and fnmatch.fnmatchcase(library, word[0]):
            behaviour = BEHAVIOURS.index(word[2])
            rules.append((word[1], behaviour, int(word[3]) if len(word) > 3 else 0))
    return rules


def record(i, soname, symbol, outs, rules):
    behaviour, refusal = next((b, r) for g, b, r in rules if fnmatch.fnmatchcase(symbol, g))
    spec = [o.split(":") for o in outs][:6]
    pairs = [b for index, kind, *count in spec
             for b in (int(index), 128 + int(count[0]) if count else ord(KINDS[kind]))]
    pairs += [0] * (12 - len(pairs))
    return (f'.quad .Llibrary, .Lname{i}\n.long {refusal}\n.byte {behaviour}, {len(spec)}, '
            f'{", ".join(map(str, pairs))}, 0, 0, 0, 0, 0, 0\n')


ENTER = """.type tmksim_enter,@function
tmksim_enter:
	push %r9; push %r8; push %rcx; push %rdx; push %rsi; push %rdi
	mov %r11, %rdi; mov %rsp, %rsi; lea 56(%rsp), %rdx
	sub $8, %rsp
	call tmksim_entry_called@PLT
	add $56, %rsp
	ret
.size tmksim_enter,.-tmksim_enter
"""


def write_library(names_path, meaning_path, out):
    head, names = read_names(names_path)
    library = os.path.basename(names_path)[:-4]
    rules = read_meaning(meaning_path, library)
    code, data, text = [], [], [f'.Llibrary: .asciz "{head["soname"]}"\n']
    for i, (symbol, outs) in enumerate(names.items()):
        base = symbol[:-5] if symbol.endswith(("_ptsz", "_ptds")) else symbol
        code.append(f".globl {symbol}\n.weak {symbol}\n.type {symbol},@function\n{symbol}:\n")
        if base != symbol and base in names:
            code.append(f"\tjmp {base}@PLT\n")
        else:
            code.append(f"\tlea .Lentries+{40 * i}(%rip), %r11\n\tjmp tmksim_enter\n")
        code.append(f".size {symbol},.-{symbol}\n")
        data.append(record(i, head["soname"], symbol, outs, rules))
        text.append(f'.Lname{i}: .asciz "{symbol}"\n')
    with open(out + ".S", "w") as f:
        f.write(f".text\n{ENTER}{''.join(code)}.section .data.rel.local,\"aw\"\n.balign 8\n"
                f".Lentries:\n{''.join(data)}.section .rodata\n{''.join(text)}"
                ".section .note.GNU-stack,\"\",@progbits\n")
    node = "" if head["node"] == "-" else head["node"] + " "
    exported = "".join(f"\t\t{s};\n" for s in names)
    with open(out + ".map", "w") as f:
        f.write(f"{node}{{\n" + (f"\tglobal:\n{exported}" if names else "") + "\tlocal: *;\n};\n")


def write_text(name, path, out):
    with open(out, "w") as f:
        f.write(f"extern const char {name}[];\nconst char {name}[] =\n")
        for line in open(path):
            escaped = line.rstrip("\n").replace("\\", "\\\\").replace('"', '\\"')
            f.write(f'\t"{escaped}\\n"\n')
        f.write("\t;\n")


if sys.argv[1] == "--text":
    write_text(*sys.argv[2:])
else:
    write_library(*sys.argv[1:])
