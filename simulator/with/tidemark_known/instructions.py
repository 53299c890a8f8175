"""instructions.py - what is done with a value where there is no source to read: looks at the
instructions that follow the call, to the end of their statement and, where the value gets a name,
at the statements of the same function that have that name."""
import dis, functools

ENDS = ("STORE_", "POP_TOP", "RETURN", "RAISE", "YIELD")


@functools.lru_cache(maxsize=512)
def instructions(code):
    return [one for one in dis.get_instructions(code) if one.opname not in ("CACHE", "NOP")]


def decides(one):
    return one.opname in ("COMPARE_OP", "CONTAINS_OP", "IS_OP", "UNARY_NOT") or \
        "JUMP_IF" in one.opname


def statement(code, at):
    """The instructions from there on, up to and with the one that ends the statement."""
    for one in code[at:]:
        yield one
        if one.opname.startswith(ENDS):
            return


def after(frame):
    """"branch" or "number" """
    code = instructions(frame.f_code)
    at = next(i for i, one in enumerate(code) if one.offset > frame.f_lasti)
    name = None
    for one in statement(code, at):
        if decides(one):
            return "branch"
        if one.opname.startswith("STORE_"):
            name = (one.opname[len("STORE_"):], one.argval)
    if name:
        for i, one in enumerate(code):
            if one.opname.startswith("LOAD_") and one.argval == name[1]:
                if any(map(decides, statement(code, i + 1))):
                    return "branch"
    return "number"
