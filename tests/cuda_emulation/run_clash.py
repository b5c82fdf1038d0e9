"""Run an emulated clash kernel: run_clash.py library case.npz order out.npy. A process of its own, so that ASan can be preloaded."""

import ctypes
import sys

import numpy as np

library, case, order, out = sys.argv[1:]
arrays = dict(np.load(case))
in_clash = np.full(len(arrays["positions"]), 7, dtype=np.uint8)
function = getattr(ctypes.CDLL(library), f"clash_{arrays['positions'].dtype}")
addresses = {name: ctypes.c_void_p(x.ctypes.data) for name, x in arrays.items() if name != "scale"}
function(
    addresses["positions"],
    addresses["cell"],
    addresses["atom_ptr"],
    ctypes.c_int64(len(arrays["cell"])),
    addresses["radii"],
    ctypes.c_double(float(arrays["scale"])),
    ctypes.c_void_p(in_clash.ctypes.data),
    ctypes.c_int(int(order)),
)
np.save(out, in_clash)
