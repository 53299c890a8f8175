"""Hide devices after torch was imported and before CUDA starts; print what is left.

usage: devices.py CUDA_VISIBLE_DEVICES
"""
import ctypes, json, os, sys
import torch

os.environ.pop("CUDA_VISIBLE_DEVICES", None)
counts = [torch.cuda.device_count()]  # by NVML: CUDA has not started
os.environ["CUDA_VISIBLE_DEVICES"] = sys.argv[1]
counts += [torch.cuda.device_count(), torch._C._cuda_getDeviceCount()]  # the latter by CUDA
driver, bus = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
buses = []
for device in range(counts[-1]):
    driver.cuDeviceGetAttribute(ctypes.byref(bus), 33, device)
    torch.zeros(10001, device=f"cuda:{device}")
    buses.append(bus.value)
print(json.dumps({"counts": counts, "buses": buses, "available": torch.cuda.is_available()}))
