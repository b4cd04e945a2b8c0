#!/usr/bin/env bash
# All that wants a GPU, in one command: build, tests, sanitizer, figures.
usage() {
  cat <<'TEXT'
Usage: bench/gpu_check.sh [PART [ROW ...]] ...

Without parts: all of them, in this order, within TOTAL_SECONDS (540). A part that fails does not stop the next one,
unless the GPU no longer answers.

  build      compile for sm_90a beside the Python files, unless a build that can be imported is there already;
             registers and spills of every kernel
  info       the GPU, its clocks, and what fnnfast says about the machine
  probe      every family of kernels in a process of its own
  checks     the parts tests and sanitizer at the same time
  bench      the rows G1 to G7 without torch.compile, or those named behind it: bench G1 G4
  profile    ncu over the first case of some rows, or of those named behind it: profile G1
  compile    torch.compile beside the cases that have a goal against it, or those of the rows named behind it
  cpu        python -m fnnfast bench with 1, 2, 4, ... threads

Alone:
  tests      the tests marked "cuda"
  sanitizer  compute-sanitizer's memcheck, racecheck, synccheck and initcheck over the families of the probe

Environment:
  OUT            where logs, JSON and tables go: bench/results/gpu; at most eight files, in no folders
  PYTHON         python3
  ARCH           CMake's CUDA architectures: 90a-real
  TOTAL_SECONDS, BUILD_SECONDS, PROBE_SECONDS, TESTS_SECONDS, SANITIZER_SECONDS, BENCH_SECONDS, PROFILE_SECONDS,
  COMPILE_SECONDS, CPU_SECONDS
                 limits. A part that is named may take what is left of TOTAL_SECONDS.
  REBUILD        1: build even if a build is there
  FNNFAST_EMULATED  the extension compiled for the host: a dry run of info, probe and checks without a GPU

Exit status: 0; 1 if a part failed; 2 without a GPU or for an unknown part.
TEXT
}
set -uo pipefail

all_parts=(build info probe checks bench profile compile cpu)
parts=()
declare -A rows=()
for word in "$@"; do
  case $word in
    -h | --help)
      usage
      exit 0
      ;;
    build | info | probe | checks | tests | sanitizer | bench | profile | compile | cpu) parts+=("$word") ;;
    [Gg][1-7])
      if ((${#parts[@]} == 0)) || [[ ! ${parts[-1]} =~ ^(bench|profile|compile)$ ]]; then
        echo "expected rows behind bench, profile or compile, got $word" >&2
        exit 2
      fi
      rows[${parts[-1]}]+=" ${word^^}"
      ;;
    *)
      echo "expected parts out of ${all_parts[*]} and rows G1 to G7, got $word" >&2
      exit 2
      ;;
  esac
done

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
python=${PYTHON:-python3}
arch=${ARCH:-90a-real}
out=${OUT:-bench/results/gpu}
total=${TOTAL_SECONDS:-540}
chosen=${#parts[@]}
((chosen)) || parts=("${all_parts[@]}")

# limit NAME DEFAULT: a part's own limit from the environment; else the default of a whole run, or, for parts that were
# asked for by name, all the time there is.
limit() {
  local variable=${1}_SECONDS
  if [[ -n ${!variable:-} ]]; then
    echo "${!variable}"
  elif ((chosen)); then
    echo "$total"
  else
    echo "$2"
  fi
}

for folder in /usr/local/cuda/bin /usr/local/cuda/compute-sanitizer /opt/nvidia/nsight-compute/*/; do
  [[ -d $folder ]] && PATH=$PATH:${folder%/}
done
export PATH PYTHONPATH="$PWD/python${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1

if ! facts=$("$python" bench/gpu/facts.py 2>&1); then
  printf '%s\n' "$facts" >&2
  echo "gpu_check: no CUDA device here, or its description failed (above)" >&2
  exit 2
fi
mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 2
summary=$out/summary.txt
echo "== $(date -u +%H:%M:%S) ${parts[*]}" >>"$summary"
say() { echo "$*" | tee -a "$summary"; }

end=$((SECONDS + total))
# within SECONDS COMMAND...: the command, for at most so long and no longer than the whole run may take. It is stopped as
# by Ctrl-C, so that Python programs, pytest among them, still report what they have.
within() {
  local seconds=$1 left=$((end - SECONDS))
  shift
  ((seconds > left)) && seconds=$left
  if ((seconds < 5)); then
    echo "no time left for: $*" >&2
    return 124
  fi
  timeout --signal=INT --kill-after=15 "$seconds" "$@"
}

# What the parts behind the build cannot do without; a test suite that skips everything would look like a success.
require_build() {
  local words
  [[ -n ${FNNFAST_EMULATED:-} ]] && return 0
  words=$("$python" -c 'import fnnfast._cuda' 2>&1) || {
    say "fnnfast._cuda cannot be imported, run the part build first: ${words##*$'\n'}"
    return 1
  }
}

# Whether the GPU still computes, in a process of its own.
answers() {
  [[ -n ${FNNFAST_EMULATED:-} ]] && return 0
  timeout --kill-after=5 40 "$python" -c 'import cupy; assert int(cupy.arange(5).sum()) == 10' 2>/dev/null
}

part_build() {
  local log=$out/build.log
  if [[ ${REBUILD:-} != 1 ]] && "$python" -c 'import fnnfast._cpu' 2>/dev/null && require_build >/dev/null; then
    say "build: the one that is there"
    return 0
  fi
  {
    within "$(limit BUILD 200)" bash -ec '
      python=$1 arch=$2
      cmake -S . -B build/gpu -G Ninja -DCMAKE_BUILD_TYPE=Release -DFNNFAST_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES="$arch" \
        -DCMAKE_LIBRARY_OUTPUT_DIRECTORY="$PWD/python/fnnfast" -DPython_EXECUTABLE="$("$python" -c "import sys; print(sys.executable)")" \
        -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" -DCMAKE_CUDA_FLAGS="-lineinfo -Xptxas=-v"
      cmake --build build/gpu --parallel "$(nproc)" -- -k 0' build "$python" "$arch"
  } >"$log" 2>&1
  local status=$?
  {
    echo "== kernels"
    "$python" bench/gpu/ptxas.py "$log"
  } >"$log.tail" 2>&1
  cat "$log.tail" >>"$log"
  head -25 "$log.tail"
  rm -f "$log.tail"
  if ((status)); then
    grep -nE 'error|FAILED|fatal' "$log" | head -30
    tail -5 "$log"
  else
    require_build && say "build: $(grep -cE 'Compiling entry function' "$log") kernels for $arch"
    status=$?
  fi
  return "$status"
}

part_info() {
  {
    printf '%s\n' "$facts"
    nvidia-smi || true
    within 60 "$python" -m fnnfast info
  } 2>&1 | tee -a "$summary"
  return "${PIPESTATUS[0]}"
}

part_probe() {
  require_build || return 1
  local seconds
  seconds=$(limit PROBE 45)
  echo "== probe" >>"$out/probe.log"
  within $((seconds + 5)) "$python" bench/gpu/probe.py --seconds "$seconds" --log "$out/probe.log" | tee "$out/probe.part"
  local status=${PIPESTATUS[0]}
  say "probe: $(grep -c ' ok ' "$out/probe.part") families right, $(grep -c FAILED "$out/probe.part") not"
  grep FAILED "$out/probe.part" >>"$summary"
  rm -f "$out/probe.part"
  return "$status"
}

part_tests() {
  require_build || return 1
  local parallel=()
  "$python" -c 'import xdist' 2>/dev/null && parallel=(-n "${TEST_PROCESSES:-8}")
  # Warnings of libraries that are newer than those of the suite's own environment are no errors here.
  within "$(limit TESTS 150)" "$python" -m pytest -m "cuda and not slow" -q -rfE --tb=short --maxfail=0 --timeout=60 \
    -W default "${parallel[@]}" --continue-on-collection-errors -p no:cacheprovider --durations=10 \
    >"$out/tests.log" 2>&1
  local status=$?
  grep -E '^(FAILED|ERROR)|unusable' "$out/tests.log" | head -40
  local last
  last=$(grep -E '[0-9]+ (passed|failed|skipped|error)' "$out/tests.log" | tail -1)
  say "tests: ${last:-no result, see tests.log}; status $status"
  if ((status == 0)) && ! grep -qE '[0-9]+ passed' <<<"$last"; then
    echo "no test ran: all were skipped" >&2
    return 1
  fi
  return "$status"
}

part_sanitizer() {
  require_build || return 1
  if ! command -v compute-sanitizer >/dev/null; then
    say "sanitizer: skipped, there is no compute-sanitizer"
    return 0
  fi
  local failed=0 tool seconds running=() file
  seconds=$(limit SANITIZER 150)
  for tool in memcheck racecheck synccheck initcheck; do
    file=$out/probe.$tool.part
    within $((seconds + 5)) "$python" bench/gpu/probe.py --tool "$tool" --jobs 4 --seconds "$seconds" \
      --log "$out/probe.log" >"$file" 2>&1 &
    running+=($!)
  done
  for tool in memcheck racecheck synccheck initcheck; do
    file=$out/probe.$tool.part
    wait "${running[0]}" || failed=1
    running=("${running[@]:1}")
    say "sanitizer: $tool: $(grep -c ' ok ' "$file") families clean, $(grep -c FAILED "$file") not"
    grep FAILED "$file" | tee -a "$summary"
    rm -f "$file"
  done
  return "$failed"
}

# Both leave the GPU idle most of the time, and nothing is timed.
part_checks() {
  part_tests >"$out/tests.part" 2>&1 &
  local tests=$! failed=0
  part_sanitizer || failed=1
  wait "$tests" || failed=1
  cat "$out/tests.part"
  rm -f "$out/tests.part"
  return "$failed"
}

# measure SECONDS OPTION...: the bench with these options; a table and a record of all that was measured so far.
measure() {
  local seconds=$1
  shift
  ((seconds > end - SECONDS)) && seconds=$((end - SECONDS))
  if ((seconds < 20)); then
    echo "no time left for the bench" >&2
    return 124
  fi
  within "$seconds" "$python" bench/gpu/main.py "$@" --out "$out" --seconds $((seconds - 8))
  local status=$?
  say "bench: $(grep -cE '"finished": true' "$out/bench.json" 2>/dev/null) cases finished; status $status"
  return "$status"
}

part_bench() {
  require_build || return 1
  # shellcheck disable=SC2086 # rows are words
  measure "$(limit BENCH 130)" ${rows[bench]:+--rows ${rows[bench]}} --compile-seconds 0
}

part_compile() {
  require_build || return 1
  # shellcheck disable=SC2086
  measure "$(limit COMPILE 110)" ${rows[compile]:+--rows ${rows[compile]}} --goals-against torch.compile --compile-seconds 40
}

part_cpu() {
  require_build || return 1
  local seconds threads failed=0
  seconds=$(limit CPU 50)
  local stop=$((SECONDS + seconds))
  : >"$out/cpu.txt"
  for ((threads = 1; threads <= $(nproc); threads *= 2)); do
    ((stop - SECONDS < 6)) && {
      say "cpu: no time left for $threads threads"
      break
    }
    echo "== $threads threads" >>"$out/cpu.txt"
    within $((stop - SECONDS)) "$python" -m fnnfast bench --only "${CPU_ROWS:-I4,I5,I7,T3}" --peers torch --rounds 2 \
      --threads "$threads" >>"$out/cpu.txt" 2>&1 || failed=1
  done
  grep -E '^==|^ *[IMT][0-9]' "$out/cpu.txt"
  return "$failed"
}

part_profile() {
  require_build || return 1
  local text=$out/profile.txt failed=0 row seconds
  : >"$text"
  if ! command -v ncu >/dev/null; then
    say "profile: skipped, there is no ncu"
    return 0
  fi
  seconds=$(limit PROFILE 60)
  local stop=$((SECONDS + seconds))
  for row in ${rows[profile]:-G1 G5 G3 G4}; do
    ((stop - SECONDS < 5)) && {
      say "profile: no time left for $row"
      continue
    }
    echo "== $row" >>"$text"
    within $((stop - SECONDS)) ncu --clock-control none --set basic --section WarpStateStats \
      --section MemoryWorkloadAnalysis --section InstructionStats --profile-from-start off --launch-count 8 \
      "$python" bench/gpu/profiled.py "$row" >>"$text" 2>&1 || {
      say "profile: $row failed: $(tail -1 "$text")"
      failed=1
    }
  done
  grep -E '^== |^  [a-zA-Z].*Context|Duration|Registers Per|Compute \(SM\) Thr|Memory Thr|==ERROR' "$text" | head -60
  return "$failed"
}

failed=()
lines=()
for part in "${parts[@]}"; do
  echo "==== $part"
  start=$SECONDS
  "part_$part"
  status=$?
  ((status)) && failed+=("$part")
  if ((status)) && ! answers; then
    say "stopped after $part: the GPU no longer answers"
    failed+=("the GPU")
    break
  fi
  lines+=("$(printf '%-10s %4d s  %s' "$part" $((SECONDS - start)) "$( ((status)) && echo "FAILED, status $status" || echo ok)")")
done
echo "==== summary, also in $summary"
for line in "${lines[@]}"; do say "$line"; done
((${#failed[@]} == 0))
