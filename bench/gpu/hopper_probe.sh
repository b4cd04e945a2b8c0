#!/bin/sh
# Runs the cases of hopper_probe (bench/gpu/hopper_probe.cu), each in a process of its own, so that one that hangs or
# faults stops no other. Usage: hopper_probe.sh PROGRAM [SECONDS for all, 150 if left out] [CASE...]
#
# Every case prints RIGHT or WRONG lines, then times. If the tensor cores' operand descriptors turn out to be other than
# expected, the wgmma cases look for offsets that fit, and the cases after them use those.
program=$1
budget=${2:-150}
[ $# -ge 2 ] && shift
shift
began=$(date +%s)
watched=0
left() { echo $((budget - $(date +%s) + began)); }

run() {
  seconds=$(left)
  if [ "$seconds" -lt 3 ]; then
    echo "LEFT OUT $*: no time"
    return
  fi
  [ "$seconds" -gt 10 ] && seconds=10
  timeout -k 1 "$seconds" "$program" "$@"
  status=$?
  # The same with a watch over the barriers, where such a program lies beside this one.
  if [ $status -eq 124 ] && [ -x "$program.watch" ] && [ "$watched" -lt 3 ]; then
    watched=$((watched + 1))
    HOPPER_TIME=0 timeout -k 1 10 "$program.watch" "$@"
  fi
  [ $status -ge 2 ] && echo "FAILED $*: exit status $status$([ $status -eq 124 ] && echo ', it hung')"
  return 0
}

if [ $# -gt 0 ]; then
  for name in "$@"; do run "$name"; done
  exit
fi

nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.max.sm,power.limit --format=csv,noheader 2>/dev/null
run tma
for kind in kk kn mk mn; do
  said=$(run wgmma $kind)
  echo "$said"
  fits=$(echo "$said" | sed -n 's/^  FITS \(HOPPER_[A-Z_]*=[0-9,]*\):.*/\1/p' | head -1)
  if [ -n "$fits" ]; then
    echo "  from here on: $fits"
    export "${fits?}"
  fi
done

# The first four tell whether the kernel works at all; the rest is in the order of what one wants to know.
first="together128x256.identity turns128x128.identity together128x256.c2.identity turns128x128.gelu"
for name in $first; do run "$name"; done
run roof
run division
run same_bits
run mma_sync
for name in $("$program" list); do
  case " $first " in *" $name "*) ;; *) run "$name" ;; esac
done
nvidia-smi --query-gpu=clocks.sm,power.draw,temperature.gpu --format=csv,noheader 2>/dev/null
echo "took $(($(date +%s) - began)) s"
