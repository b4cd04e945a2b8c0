#!/usr/bin/env bash
# All that wants a GPU, in one command: build, tests, sanitizer, figures.
usage() {
  cat <<'TEXT'
Usage: bench/gpu_check.sh [PART [ROW ...]] ...

Without parts: all of them, in this order, within TOTAL_SECONDS (540). A part that fails does not stop the next one.

  build      compile for sm_90a, beside the Python files; registers and spills of every kernel
  info       the GPU, its clocks, and what fnnfast makes of the machine
  tests      the tests marked "cuda"
  sanitizer  compute-sanitizer's memcheck, racecheck, synccheck and initcheck over bench/gpu/sanitize.py
  bench      the rows G1 to G7, or those named behind it: bench G1 G4
  profile    ncu over the first case of some rows, or of those named behind it: profile G1

Environment:
  OUT            where logs, JSON and tables go: bench/results/gpu; eight files, in no folders
  PYTHON         python3
  ARCH           CMake's CUDA architectures: 90a-real
  TOTAL_SECONDS, BUILD_SECONDS, TESTS_SECONDS, SANITIZER_SECONDS, BENCH_SECONDS, PROFILE_SECONDS
                 limits. With parts named, bench and the others may take what is left of TOTAL_SECONDS.
  COMPILE_SECONDS  for torch.compile to get ready for a case: 60; 0 leaves it out

Exit status: 0; 1 if a part failed; 2 without a GPU or for a part that there is not.
TEXT
}
set -uo pipefail

all_parts=(build info tests sanitizer bench profile)
parts=()
declare -A rows=()
for word in "$@"; do
  case $word in
    -h | --help)
      usage
      exit 0
      ;;
    build | info | tests | sanitizer | bench | profile) parts+=("$word") ;;
    [Gg][1-7])
      if ((${#parts[@]} == 0)) || [[ ${parts[-1]} != bench && ${parts[-1]} != profile ]]; then
        echo "expected rows behind bench or profile, got $word" >&2
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
: >"$summary"
say() { echo "$*" | tee -a "$summary"; }

end=$((SECONDS + total))
# within SECONDS COMMAND...: the command, for at most so long and no longer than the whole run may take.
within() {
  local seconds=$1 left=$((end - SECONDS))
  shift
  ((seconds > left)) && seconds=$left
  if ((seconds < 5)); then
    echo "no time left for: $*" >&2
    return 124
  fi
  timeout --kill-after=10 "$seconds" "$@"
}

# What the parts behind the build cannot do without; a test suite that skips everything would look like a success.
require_build() {
  local words
  words=$("$python" -c 'import fnnfast._cuda' 2>&1) || {
    say "fnnfast._cuda cannot be imported, run the part build first: ${words##*$'\n'}"
    return 1
  }
}

part_build() {
  local log=$out/build.log
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

part_tests() {
  require_build || return 1
  within "$(limit TESTS 120)" "$python" -m pytest -m "cuda and not slow" -q -rfE --tb=short --maxfail=0 --timeout=60 \
    --continue-on-collection-errors -p no:cacheprovider --durations=10 --junitxml="$out/tests.xml" >"$out/tests.log" 2>&1
  local status=$?
  tail -40 "$out/tests.log"
  local last
  last=$(tail -1 "$out/tests.log")
  say "tests: $last"
  if ((status == 0)) && ! grep -qE '[0-9]+ passed' <<<"$last"; then
    echo "no test ran: all were skipped" >&2
    return 1
  fi
  return "$status"
}

part_sanitizer() {
  require_build || return 1
  local log=$out/sanitizer.log failed=0 tool seconds status lot
  : >"$log"
  if ! command -v compute-sanitizer >/dev/null; then
    say "sanitizer: skipped, there is no compute-sanitizer"
    return 0
  fi
  lot=$(limit SANITIZER 120)
  ((lot > end - SECONDS)) && lot=$((end - SECONDS))
  local stop=$((SECONDS + lot))
  # Without it first: what fails here is no find of the sanitizer's, and CuPy's own kernels are compiled and kept.
  echo "== none" >>"$log"
  within $((lot / 4)) "$python" bench/gpu/sanitize.py --seconds $((lot / 5)) >>"$log" 2>&1 || {
    say "sanitizer: the script fails without it"
    failed=1
  }
  sed -n '/== none/,$p' "$log" | grep -vE '^ |^Traceback' | tail -12
  for tool in memcheck racecheck synccheck initcheck; do
    seconds=$((stop - SECONDS))
    [[ $tool == memcheck || $tool == racecheck ]] && seconds=$((seconds * 45 / 100))
    if ((seconds < 8)); then
      say "sanitizer: $tool: no time left"
      [[ $tool == memcheck || $tool == racecheck ]] && failed=1
      continue
    fi
    echo "== $tool" >>"$log"
    # Errors that an interface returns are the caller's to handle: CuPy asks some questions that fail.
    within "$seconds" compute-sanitizer --tool "$tool" --report-api-errors no --print-limit 20 --error-exitcode 86 \
      "$python" bench/gpu/sanitize.py --seconds $((seconds * 7 / 10)) >>"$log" 2>&1
    status=$?
    local found covered
    found=$(sed -n "/^== $tool/,\$p" "$log" | grep -E 'SUMMARY:' | tail -1 | sed 's/^=* *//')
    covered=$(sed -n "/^== $tool/,\$p" "$log" | grep -cE '^[a-z_]+: [0-9]+ calls')
    say "sanitizer: $tool: ${found:-no summary}; $covered families covered; status $status"
    # CuPy's copies and our padding may be read unwritten: initcheck tells, and does not judge.
    if [[ $tool != initcheck ]] && { ((status != 0)) || [[ ! $found =~ SUMMARY:\ 0\  ]] || ((covered == 0)); }; then failed=1; fi
  done
  grep -E 'Invalid|hazard|Barrier error|not covered|FAILED' "$log" | sort | uniq -c | sort -rn | head -20
  return "$failed"
}

part_bench() {
  require_build || return 1
  local seconds
  seconds=$(limit BENCH 120)
  ((seconds > end - SECONDS)) && seconds=$((end - SECONDS))
  if ((seconds < 20)); then
    echo "no time left for the bench" >&2
    return 124
  fi
  # shellcheck disable=SC2086 # rows are words
  within "$seconds" "$python" bench/gpu/main.py ${rows[bench]:+--rows ${rows[bench]}} --out "$out" \
    --seconds $((seconds - 8)) --compile-seconds "${COMPILE_SECONDS:-60}"
  local status=$?
  local finished
  finished=$(grep -cE '"finished": true' "$out/bench.json" 2>/dev/null)
  say "bench: ${finished:-0} cases finished"
  return "$status"
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
    within $((stop - SECONDS)) ncu --clock-control none --set basic --profile-from-start off --launch-count 8 \
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
  lines+=("$(printf '%-10s %4d s  %s' "$part" $((SECONDS - start)) "$( ((status)) && echo "FAILED, status $status" || echo ok)")")
done
echo "==== summary, also in $summary"
for line in "${lines[@]}"; do say "$line"; done
((${#failed[@]} == 0))
