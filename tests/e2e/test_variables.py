"""What outlives a function in the library is seen by every thread of the traced program. So each
such variable is constant, atomic, a thread's own, or has a reason here why it is safe."""

import pathlib
import re
import subprocess

from conftest import BUILD, ROOT

#: file: {variable: which lock or which moment protects it}
LOADED = "written by loaded() of process.c, before main and before any thread of the program"
STORE = "STORE, which the writer holds whenever it works, and whoever recovers a trace"
FOUND = "filled before `ready` is set (release), under a lock; read after it (acquire)"
PREPARED = "filled once by prepare.c, under PREPARE, before what uses it is switched on"
ATOMIC_INSIDE = "every field that two threads share is atomic"
REASONS = {
    "caller.c": {
        "known": "an entry is claimed by an atomic count, and read once `good` is set (release)",
        "places": ATOMIC_INSIDE,
    },
    "cstack.c": {"main_stack_top": FOUND + "; the lock is NATIVE"},
    "cunwind.c": {
        "unw": FOUND + "; the lock is NATIVE",
        "pipe_ends": FOUND + "; the lock is NATIVE",
        "pipes": FOUND + "; the lock is NATIVE",
    },
    "emit.c": {
        "exit_key": "made by pthread_once",
        "exit_once": "is a pthread_once_t",
        "tmk_clock_invariant": LOADED,
        "tmk_on_thread_exit": LOADED,
        "tmk_rings": "made under START before the state is ACTIVE; a ring more under RINGS, "
                     "published by `ready`; set back in a child that has one thread",
    },
    "enrich.c": {
        "known": "Python's lock (the GIL); set back in a child that has one thread",
        "methods": "never written; Python's type for it is not constant",
        "py": PREPARED + ": `usable`",
        "tell": "never written; Python's type for it is not constant",
        "tmk_enrich_may_read_gradients": LOADED,
        "tmk_enrich_quiet": LOADED,
        "visit_objects": PREPARED + ": `usable`",
    },
    "files.c": {
        "opened": STORE,
        "patience": STORE,
    },
    "gradmode.c": {"tmk_grad_flag": PREPARED + ": `bit`, an atomic that is set last"},
    "intern.c": {"tables": "tmk_intern_init() fills it under START; what is in a table is atomic"},
    "mapped.c": {
        "asked": "an entry is filled before `theirs`, an atomic, leads to it, and not again before "
                 "so many changes that no handler looks at it any more",
        "noted": "an entry is claimed, published and given back by `from`, an atomic",
    },
    "objects.c": {"demangle": STORE},
    "phase.c": {"kept_callback": "CALLBACK"},
    "process.c": {"owner": LOADED + "; again in a child that has one thread"},
    "pycode.c": {"free_code": "Python's lock (the GIL), before Python can call what uses it"},
    "pylayout.c": {"tmk_py": FOUND + "; the lock is LAYOUT"},
    "pystack.c": {"stacks": ATOMIC_INSIDE},
    "real.c": {
        "tmk_found": ATOMIC_INSIDE,
        "tmk_on_torch_call": LOADED,
        "tmk_real": "every pointer in it is stored and read as one word",
    },
    "recover.c": {"buffer": STORE},
    "scope.c": {"exit_key": "made by pthread_once", "exit_once": "is a pthread_once_t"},
    "session.c": {
        "stack": "START",
        "tmk_session_about": LOADED,
        "torn": "written in a child that has one thread, read under START",
        "writer": "written under START before the state is ACTIVE, read after that",
        "writer_thread": "START",
    },
    "settings.c": {"tmk_settings": LOADED},
    "state.c": {"nobody": STORE},
    "wrap_nvtx.c": {"another_tool": LOADED},
    "writer.c": {"first_ns": STORE, "first_tick": STORE},
}


def variables():
    """{(file, name)}: what the compiler has put where it can be written, for all threads."""
    found = set()
    for folder in "hooks", "tracer":
        for path in (BUILD / folder).rglob("*.c.o"):
            table = subprocess.run(["objdump", "-t", path], text=True, capture_output=True,
                                   check=True).stdout
            for section, name in re.findall(
                    r"^\S+ .{6}O (\S+)\s+\S+\s+(?:\.\w+ )?(\S+)$", table, re.M):
                if re.match(r"\.(data|bss)|tmk_hot|\*COM\*", section) and not re.match(
                        r"\.data\.rel\.ro", section) and not name.startswith("DW.ref."):
                    found.add((path.name[:-2], name.split(".")[0]))
    return found


def is_atomic(name, text):
    """Is each declaration of this name one of an atomic variable?"""
    code = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    found = re.findall(
        rf"^\s*((?:static|TMK_HOT_DATA|_Atomic)\b[^;{{}}=]*?)\b{name}\b", code, re.M)
    # A name inside of parentheses is a parameter, but for a pointer to a function.
    declared = [d for d in found if d.count("(") == d.count(")") or d.endswith("(*_Atomic ")]
    return bool(declared) and all(re.search(r"\b_Atomic\b|\batomic_\w+", d) for d in declared)


def test_what_outlives_a_function_is_constant_atomic_or_a_threads_own():
    assert len(variables()) > 50, "no object files"
    sources = {p.name: p for folder in ("hooks", "tracer") for p in (ROOT / folder).rglob("*.c")}
    unsafe = {(file, name) for file, name in variables()
              if not is_atomic(name, pathlib.Path(sources[file]).read_text())}
    reasoned = {(file, name) for file, names in REASONS.items() for name in names}
    assert sorted(unsafe - reasoned) == [], "shared by threads, and nothing says what protects it"
    assert sorted(reasoned - unsafe) == [], "named here, and no longer there or atomic by now"
