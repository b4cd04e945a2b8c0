"""How long ``import fnnfast`` takes after ``import numpy``: ``import_time.py LIMIT_MS``, status 1 above the limit.

In processor time of the thread: time in which other processes run is not counted.
"""

import subprocess
import sys

CODE = """
import time, numpy
start = time.thread_time()
import fnnfast
print(time.thread_time() - start)
"""

limit = float(sys.argv[1])
# Each import in a process of its own; the least of some, since only disturbances can add to it.
times = [float(subprocess.run([sys.executable, "-c", CODE], capture_output=True, check=True).stdout) for _ in range(10)]
best = min(times) * 1e3
print(f"import fnnfast: {best:.1f} ms after numpy (limit {limit:g} ms)")
sys.exit(best > limit)
