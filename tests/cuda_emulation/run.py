"""Run an emulated function: run.py library function case.npz order out.npz. A process of its own, so that ASan can be preloaded.

The arrays of the case are the arguments in their order: an array is passed as its address, one without dimensions as a number. Arrays
whose names share what is before a dot are the members of one struct, each of eight bytes.
"""

import ctypes
import sys

import numpy as np

library, function, case, order, out = sys.argv[1:]
saved = np.load(case)
arrays = {name: saved[name] for name in saved.files}
arguments = {}
for name, x in arrays.items():
    group, dot, _ = name.partition(".")
    if dot:
        word = x.ctypes.data if x.ndim else int(x)
        arguments[group] = np.append(arguments.get(group, np.empty(0, dtype=np.int64)), word)
    else:
        arguments[group] = x
stream = 0
addresses = (ctypes.c_void_p * (len(arguments) + 1))(*(x.ctypes.data for x in arguments.values()), stream)
getattr(ctypes.CDLL(library), function)(addresses, ctypes.c_int(int(order)))
np.savez(out, **arrays)
