"""The stub libraries by themselves, called as a program would; no PyTorch."""
import os, re, subprocess, sys, textwrap

import pytest

from conftest import HOME

PRELUDE = """
import ctypes
from ctypes import *
rt = CDLL(HOME + '/sim%d/libtmksim_cudart_%d.so' % (MAJOR, MAJOR))
cu = CDLL(HOME + '/sim%d/libtmksim_cuda_%d.so' % (MAJOR, MAJOR))
MIB = 1 << 20
def free():
    f, t = c_size_t(), c_size_t()
    assert rt.cudaMemGetInfo(byref(f), byref(t)) == 0
    return f.value
def malloc(n):
    p = c_void_p()
    return rt.cudaMalloc(byref(p), c_size_t(n)), p
"""


@pytest.fixture(params=[12, 13])
def on_device(request):
    def run(code, **env):
        head = f"HOME, MAJOR = {HOME!r}, {request.param}\n" + PRELUDE
        process = subprocess.run([sys.executable, "-c", head + textwrap.dedent(code)],
                                 env={**os.environ, **env}, capture_output=True, text=True)
        return process
    return run


def passes(process):
    assert process.returncode == 0, process.stderr


def test_malloc_takes_whole_2_mib_blocks(on_device):
    passes(on_device("""
        before = free()
        rc, a = malloc(10 * MIB + 1)
        assert rc == 0 and before - free() == 12 * MIB
        rc, b = malloc(1000)
        assert rc == 0 and before - free() == 14 * MIB
        rc, c = malloc(20002)                       # shares the small block
        assert before - free() == 14 * MIB
        for p in (a, b, c): assert rt.cudaFree(p) == 0
        assert free() == before
        assert rt.cudaFree(a) == 1                  # twice: invalid value
        assert rt.cudaGetLastError() == 1 and rt.cudaGetLastError() == 0
    """))


def test_memory_ends_where_the_card_ends(on_device):
    passes(on_device("""
        assert free() == 1024 * MIB - 100 * MIB
        rc, p = malloc(1000 * MIB)
        assert rc == 2 and not p.value and rt.cudaGetLastError() == 2
        rc, p = malloc(924 * MIB)
        assert rc == 0 and free() == 0
        assert malloc(1)[0] == 2
    """, TIDEMARK_SIM_MEMORY="1GiB", TIDEMARK_SIM_CONTEXT="100MiB"))


def test_ranges_of_nvtx_are_accepted():
    """PyTorch up to 2.4 is linked with NVTX's own library; with CUDA 13 there is none."""
    passes(subprocess.run([sys.executable, "-c", textwrap.dedent(f"""
        import ctypes
        nvtx = ctypes.CDLL({HOME!r} + '/sim12/libtmksim_nvtoolsext_12.so')
        for name in 'MarkA', 'RangePushA', 'RangeStartA':
            getattr(nvtx, 'nvtx' + name)(b'a name')
        nvtx.nvtxRangeEnd(ctypes.c_uint64(0)), nvtx.nvtxRangePop()
    """)], capture_output=True, text=True))


UUIDS = """
nvml = CDLL(HOME + '/sim%d/libtmksim_nvml_%d.so' % (MAJOR, MAJOR))
def uuid(machine):
    handle, text = c_void_p(), create_string_buffer(80)
    assert nvml.nvmlDeviceGetHandleByIndex_v2(machine, byref(handle)) == 0
    assert nvml.nvmlDeviceGetUUID(handle, text, 80) == 0
    return text.value.decode()
def count():
    n = c_int(-1)
    return rt.cudaGetDeviceCount(byref(n)), n.value
def seen():
    bus = create_string_buffer(20)
    buses = [rt.cudaDeviceGetPCIBusId(bus, 20, d) or int(bus.value[5:7], 16) - 1
             for d in range(count()[1])]
    n, value = c_int(), c_int()
    assert cu.cuDeviceGetCount(byref(n)) == 0 and n.value == len(buses)
    for device, machine in enumerate(buses):
        raw = create_string_buffer(16)
        assert cu.cuDeviceGetUuid(raw, device) == 0
        assert uuid(machine)[4:].replace('-', '') == raw.raw.hex()
        assert rt.cudaDeviceGetByPCIBusId(byref(value), b'0000:%02x:00.0' % (machine + 1)) == 0
        assert value.value == device
    return buses
"""


@pytest.mark.parametrize("wish, sees", [
    (None, [0, 1, 2, 3]), ("2", [2]), ("3,0", [3, 0]), ("1,7,2", [1]), ("0,-1,2", [0]),
    ("2gpu, 1", [2, 1]), ("0,GPU-01", [0]), ("GPU-01,GPU-03", [1, 3]), ("GPU-03,1", [3]),
    ("GPU-02,GPU-ff,GPU-01", [2]), ("GPU-0", []), ("1,2,1", []), ("", []), ("-1", []),
    ("none", [])])
def test_cuda_visible_devices(on_device, wish, sees):
    env = {} if wish is None else {"CUDA_VISIBLE_DEVICES": wish}
    passes(on_device(UUIDS + f"""
sees = {sees}
assert cu.cuDeviceGetCount(byref(c_int())) == 3                        # before CUDA starts
assert seen() == sees, seen()
n = c_uint()
assert nvml.nvmlDeviceGetCount_v2(byref(n)) == 0 and n.value == 4   # NVML sees the machine
assert rt.cudaSetDevice(len(sees)) == (101 if sees else 100)
if sees:
    assert cu.cuInit(0) == 0 and rt.cudaSetDevice(len(sees) - 1) == 0 and malloc(MIB)[0] == 0
    used, handle = (c_ulonglong * 3)(), c_void_p()
    holds = []
    for machine in range(4):
        nvml.nvmlDeviceGetHandleByIndex_v2(machine, byref(handle))
        assert nvml.nvmlDeviceGetMemoryInfo(handle, used) == 0
        holds += [machine] if used[2] else []
    assert holds == [sees[-1]]
else:
    assert count() == (100, 0) and cu.cuInit(0) == 100 and malloc(MIB)[0] == 100
""", TIDEMARK_SIM_COUNT="4", **env))


def test_other_processes_memory_is_gone(on_device):
    passes(on_device("assert free() == (1024 - 100 - 24) * MIB", TIDEMARK_SIM_MEMORY="1GiB",
                     TIDEMARK_SIM_CONTEXT="100MiB", TIDEMARK_SIM_OUTSIDE="24MiB"))


def test_copies_are_exact_from_the_device(on_device):
    passes(on_device("""
        rc, p = malloc(64 * MIB)
        text = bytes(range(256)) * 16
        rt.cudaMemcpy(c_void_p(p.value + 5001), text, c_size_t(4096), 1)
        back = create_string_buffer(b'x' * (8 * MIB), 8 * MIB)
        rt.cudaMemcpy(back, p, c_size_t(8 * MIB), 2)
        assert back.raw[5001:5001 + 4096] == text
        assert back.raw.count(0) == 8 * MIB - 4096 + 16
        rt.cudaMemset(p, 0, c_size_t(64 * MIB))
        rt.cudaMemcpy(back, p, c_size_t(8 * MIB), 2)
        assert back.raw.count(0) == 8 * MIB
    """))


def test_copies_to_the_device_are_bounded(on_device):
    passes(on_device("""
        rc, p = malloc(2 * MIB)
        rt.cudaMemcpy(p, b'y' * MIB, c_size_t(MIB), 1)
        back = create_string_buffer(MIB)
        rt.cudaMemcpy(back, p, c_size_t(MIB), 2)
        assert back.raw.count(b'y') == 100000
    """, TIDEMARK_SIM_COPY_MAX="100000"))


def test_virtual_memory_is_charged_when_created(on_device):
    passes(on_device("""
        before = free()
        at, made = c_void_p(), c_void_p()
        assert cu.cuMemAddressReserve(byref(at), c_size_t(1 << 40), c_size_t(0), None, c_ulonglong(0)) == 0
        assert free() == before
        properties = (c_int * 8)(1, 0, 1, 0)
        assert cu.cuMemCreate(byref(made), c_size_t(20 * MIB), properties, c_ulonglong(0)) == 0
        assert before - free() == 20 * MIB
        assert cu.cuMemMap(at, c_size_t(20 * MIB), c_size_t(0), made, c_ulonglong(0)) == 0
        assert cu.cuMemRelease(made) == 0
        assert before - free() == 20 * MIB          # the mapping keeps it
        assert cu.cuMemUnmap(at, c_size_t(20 * MIB)) == 0
        assert free() == before
        assert cu.cuMemAddressFree(at, c_size_t(1 << 40)) == 0
    """))


def test_pointers_know_what_they_are(on_device):
    passes(on_device("""
        class Attributes(Structure):
            _fields_ = [('type', c_int), ('device', c_int), ('d', c_void_p), ('h', c_void_p), ('rest', c_long * 8)]
        def kind(p):
            a = Attributes()
            assert rt.cudaPointerGetAttributes(byref(a), p) == 0
            return a.type
        host, local = c_void_p(), create_string_buffer(10)
        rt.cudaHostAlloc(byref(host), c_size_t(10001), 0)
        device = malloc(10001)[1]
        assert [kind(local), kind(host), kind(device)] == [0, 1, 2]
        assert kind(c_void_p(device.value + 10000)) == 2
        assert rt.cudaHostRegister(local, c_size_t(10), 0) == 0 and kind(local) == 1
        assert rt.cudaHostUnregister(local) == 0 and kind(local) == 0
    """))


IPC = """
import os, subprocess, sys
class Handle(Structure):
    _fields_ = [('bytes', c_char * 64)]
    def hex(self): return bytes(self).hex()
api = {'runtime': (rt.cudaIpcGetMemHandle, rt.cudaIpcOpenMemHandle, rt.cudaIpcCloseMemHandle),
       'driver': (cu.cuIpcGetMemHandle, cu.cuIpcOpenMemHandle_v2, cu.cuIpcCloseMemHandle)}
"""


@pytest.mark.parametrize("which", ["runtime", "driver"])
def test_another_processs_memory_is_opened_and_counted_once(on_device, which):
    other = IPC + f"share, open_, close = api[{which!r}]\n" + """
handle = Handle.from_buffer_copy(bytes.fromhex(sys.argv[1]))
event_handle = Handle.from_buffer_copy(bytes.fromhex(sys.argv[2]))
before, at, again, event = free(), c_void_p(), c_void_p(), c_void_p()
assert open_(byref(at), handle, 1) == 0 and open_(byref(again), handle, 1) == 0
assert at.value == again.value
base, size = c_void_p(), c_size_t()
assert cu.cuMemGetAddressRange_v2(byref(base), byref(size), c_void_p(at.value + 5 * MIB)) == 0
assert (base.value, size.value) == (at.value, 12 * MIB)
assert free() == before                                    # the owner pays
assert rt.cudaMemset(at, 0, c_size_t(12 * MIB)) == 0       # and it is memory
assert rt.cudaFree(at) == 1                                # not ours to free
assert (close(at), close(at), close(at)) == (0, 0, 1)
assert cu.cuMemGetAddressRange_v2(byref(base), byref(size), at) == 1
assert rt.cudaIpcOpenEventHandle(byref(event), event_handle) == 0
assert rt.cudaEventQuery(event) == 0 and rt.cudaStreamWaitEvent(None, event, 0) == 0
assert open_(byref(at), event_handle, 1) == 400
"""
    passes(on_device(IPC + f"share, open_, close = api[{which!r}]\nOTHER = {other!r}\n" + """
before = free()
at = malloc(12 * MIB)[1]
handle, event_handle, event, plain = Handle(), Handle(), c_void_p(), c_void_p()
assert share(byref(handle), c_void_p(at.value + 4096)) == 0
assert share(byref(handle), c_void_p(16)) == 1             # no memory of ours
assert open_(byref(c_void_p()), handle, 1) == 201          # in its own process
rt.cudaEventCreateWithFlags(byref(event), 2 | 4)
rt.cudaEventCreate(byref(plain))
assert rt.cudaIpcGetEventHandle(byref(event_handle), plain) == 400
assert rt.cudaIpcGetEventHandle(byref(event_handle), event) == 0
head = f'HOME, MAJOR = {HOME!r}, {MAJOR}\\n' + PRELUDE
subprocess.run([sys.executable, '-c', head + OTHER, handle.hex(), event_handle.hex()], check=True)
assert before - free() == 12 * MIB
""".replace("PRELUDE", repr(PRELUDE))))


def test_events_lag_on_request(on_device):
    code = """
        e, s = c_void_p(), c_void_p()
        rt.cudaStreamCreate(byref(s)); rt.cudaEventCreate(byref(e))
        assert rt.cudaEventQuery(e) == 0            # never recorded
        rt.cudaMemsetAsync(None, 0, c_size_t(0), s)
        rt.cudaEventRecord(e, s)
        assert rt.cudaEventQuery(e) == LATE
        assert rt.cudaGetLastError() == 0           # not ready is no error
        for i in range(10): rt.cudaMemsetAsync(None, 0, c_size_t(0), s)
        assert rt.cudaEventQuery(e) == 0
    """
    passes(on_device(code.replace("LATE", "0")))
    passes(on_device(code.replace("LATE", "600"), TIDEMARK_SIM_LAG="10"))


def test_what_is_not_modelled_is_refused_and_logged(on_device, tmp_path):
    log = tmp_path / "log"
    passes(on_device("""
        for _ in range(2): assert rt.cudaGraphicsMapResources(0, 0, 0) == 801
    """, TIDEMARK_SIM_LOG=str(log)))
    lines = log.read_text().splitlines()
    assert sum("refused" in l and "cudaGraphicsMapResources" in l for l in lines) == 1


@pytest.mark.parametrize("profile, says", [
    ("name = x\n", "missing"), ("compute_capability = 99.9\n", "can't be '99.9'"),
    ("colour = red\n", "no such key as 'colour'"), ("nonsense\n", "is not 'key = value'"),
    (None, "can't read the device profile")])
def test_bad_profiles_are_named(on_device, tmp_path, profile, says):
    path = tmp_path / "card.conf"
    if profile is not None:
        path.write_text(profile)
    process = on_device("free()", TIDEMARK_SIM_PROFILE=str(path))
    assert process.returncode == 2 and says in process.stderr


def test_bad_numbers_are_named(on_device):
    process = on_device("free()", TIDEMARK_SIM_MEMORY="lots")
    assert process.returncode == 2 and "TIDEMARK_SIM_MEMORY='lots'" in process.stderr


def test_every_variable_is_documented():
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
    source = open(f"{root}/simulator/core/config.c").read()
    text = open(f"{root}/docs/simulator.md").read()
    for name in re.findall(r'"(TIDEMARK_SIM_\w+)"', source):
        assert f"`{name}`" in text
