"""Run an emulated function: run.py library function case.npz orders out.npz. A process of its own, so that ASan can be preloaded.

The arrays of the case are the arguments in their order: an array is passed as its address, one without dimensions as a number. Arrays
whose names share what is before a dot are the members of one struct, each of eight bytes, int64 or float64. The function runs on fresh
copies in each of the orders of threads, such as 012; the results are named "ORDER ARGUMENT".
"""

import ctypes
import sys

import numpy as np

library, function, case, orders, out = sys.argv[1:]
function = getattr(ctypes.CDLL(library), function)
saved = np.load(case)
results = {}
for order in map(int, orders):
    arrays = {name: saved[name] for name in saved.files}
    arguments = {}
    for name, x in arrays.items():
        group, dot, _ = name.partition(".")
        number = x.view(np.int64) if x.dtype == np.float64 and dot else x
        word = x.ctypes.data if x.ndim else number
        arguments[group] = np.append(arguments.get(group, np.empty(0, dtype=np.int64)), word) if dot else x
    stream = 0
    addresses = (ctypes.c_void_p * (len(arguments) + 1))(*(x.ctypes.data for x in arguments.values()), stream)
    function(addresses, ctypes.c_int(order))
    results |= {f"{order} {name}": x for name, x in arrays.items()}
np.savez(out, **results)
