# ended.py - what ended the program, told once Python leaves. Embedded in the library; run in a
# dictionary of its own when a request for memory has been refused, and never before.
# Given: emit_meta(key, value)
# "uncaught" is the class of the exception that nobody caught; OutOfMemoryError also where it
# was raised from one; "" where the program left by itself.
def tell(emit=emit_meta):
    import sys

    value, seen = getattr(sys, "last_value", None), 0
    name = "" if value is None else type(value).__name__
    while value is not None and seen < 20:
        said = value.args[0] if value.args else ""
        if type(value).__name__ == "OutOfMemoryError" or (
                isinstance(value, RuntimeError) and isinstance(said, str)
                and said.startswith("CUDA out of memory")):
            name = "OutOfMemoryError"
        value, seen = value.__cause__, seen + 1
    emit("uncaught", name)


import atexit
atexit.register(tell)
del atexit
