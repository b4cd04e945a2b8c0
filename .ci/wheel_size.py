"""Print the bytes of a wheel of the installed fnnfast, and whether the CUDA extension is in it; fail beyond a limit.

Usage: wheel_size.py MOST_BYTES MORE_WITH_CUDA. What was installed is packed again, rather than built again.
"""

import io
import sys
import zipfile
from importlib.metadata import files

most, more_with_cuda = map(int, sys.argv[1:])
packed = io.BytesIO()
with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as wheel:
    for file in files("fnnfast") or ():
        if file.suffix != ".pyc":
            wheel.write(file.locate(), str(file))
has_cuda = any("/_cuda." in name and not name.endswith(".pyi") for name in wheel.namelist())
size = len(packed.getvalue())
print(f"{size} bytes, {'with' if has_cuda else 'without'} the CUDA extension")
if size >= most + more_with_cuda * has_cuda:
    sys.exit(f"the wheel is not below {most + more_with_cuda * has_cuda} bytes")
