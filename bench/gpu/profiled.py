"""What ncu looks at: one call of fnnfast in a case, after a warm-up.

``python bench/gpu/profiled.py G1``, or a case's id; a row stands for its first case. Only the call itself lies between
cudaProfilerStart and cudaProfilerStop, for ``ncu --profile-from-start off``.
"""

from __future__ import annotations

import sys

import facts
import problems


def main() -> int:
    name = sys.argv[1] if len(sys.argv) > 1 else "G1"
    try:
        case = next((case for case in problems.CASES if case.row == name), None) or problems.get(name)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if facts.device_count() == 0:
        print("no CUDA device: nothing can be profiled here", file=sys.stderr)
        return 2
    from contenders import no_gradients, ours
    from data import Data
    from place import Gpu

    place = Gpu()
    with no_gradients(place.torch, case):
        data = Data(case, place.torch, place.device, place.cache_bytes)
        for way in ours(place, data):
            way.call(0)
            place.synchronize()
            place.torch.cuda.profiler.start()
            way.call(data.sets - 1)
            place.synchronize()
            place.torch.cuda.profiler.stop()
            print(f"{case.id}: {case.title}; {way.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
