#!/bin/sh
# Builds hopper_probe (see hopper_probe.cu) in a folder, and hopper_probe.watch beside it, which tells who waits where
# when a case hangs. Usage: hopper_probe_build.sh FOLDER, with nvcc 12.8 or newer on the path.
set -e
folder=$1
here=$(cd "$(dirname "$0")" && pwd)
cuda=$here/../../csrc/cuda
flags="-std=c++20 -O3 -gencode=arch=compute_90a,code=sm_90a -fmad=false --expt-relaxed-constexpr -cudart static \
  -Xcompiler=-Wall,-Wextra,-Wno-unknown-pragmas -Xptxas=-v,--warn-on-spills"
mkdir -p "$folder"
for part in 0 1 2 3; do
  nvcc $flags -DHOPPER_PART=$part -c "$here/hopper_probe.cu" -o "$folder/part$part.o" 2>"$folder/part$part.log" &
  nvcc $flags -DHOPPER_PART=$part -DFNNFAST_BARRIER_WATCH -c "$here/hopper_probe.cu" -o "$folder/watch$part.o" 2>"$folder/watch$part.log" &
done
for source in launch.cpp plan.cpp product_bfloat16.cu; do
  nvcc $flags -c "$cuda/$source" -o "$folder/${source%.*}.o" 2>"$folder/$source.log" &
done
wait
cp "$here/hopper_probe.sh" "$folder"
others="$folder/launch.o $folder/plan.o $folder/product_bfloat16.o"
static="-Xcompiler -static-libstdc++,-static-libgcc"
nvcc $flags $static -o "$folder/hopper_probe" "$folder"/part?.o $others
nvcc $flags $static -o "$folder/hopper_probe.watch" "$folder"/watch?.o $others
# Products that the compiler runs one after the other, registers that it does not hand over.
! grep -h "C7508\|C7510\|C7511" "$folder"/part?.log
