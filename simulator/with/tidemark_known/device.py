"""device.py - what the simulated device (simulator/core) and known values tell each other."""
import ctypes


def find(name, result, *arguments):
    try:
        function = getattr(ctypes.CDLL(None), name)
    except AttributeError:  # no simulated device in this process
        return None
    function.restype, function.argtypes = result, arguments
    return function


#: (numbers, count): the thread's next reads of a size find these; -1: nobody knows them.
expect = find("tmksim_expect", None, ctypes.POINTER(ctypes.c_int64), ctypes.c_int)
#: (address, bytes): a collective has put real values there.
delivered = find("tmksim_delivered", ctypes.c_bool, ctypes.c_void_p, ctypes.c_size_t)
#: (address, bytes): what lies there is real; a sum over ranks counts it for each.
wrote = find("tmksim_host_wrote", None, ctypes.c_void_p, ctypes.c_size_t)
#: (address, bytes): the host has copied to there a moment ago.
just_written = find("tmksim_host_wrote_just_now", ctypes.c_bool, ctypes.c_void_p, ctypes.c_size_t)
SHARED = 4096  # bytes of values that a collective is told of
