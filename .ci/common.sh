# Sourced by the scripts beside it. Each of them also runs alone, in an environment with what the extra "dev" installs.
# It runs in the repository's root, with a scratch folder that is removed at the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# need FILE PACKAGE...: installs Debian packages unless the file or command exists. Returns 1, with a line that says so,
# where they cannot be installed.
need() {
  local file=$1
  shift
  [[ -e $file ]] || command -v "$file" >/dev/null && return
  if [[ $EUID == 0 ]] && apt-get -qq update >"$scratch/log" 2>&1 &&
    DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "$@" >>"$scratch/log" 2>&1; then
    return
  fi
  echo "SKIPPED: needs $file (Debian: $*)"
  tail -3 "$scratch/log" 2>/dev/null || true
  return 1
}

# quietly COMMAND...: its output is shown only if it fails, which ends the script.
quietly() {
  "$@" >"$scratch/log" 2>&1 && return
  cat "$scratch/log" >&2
  echo "failed: $*" >&2
  exit 1
}

# build NAME TARGET... -- CMAKE_ARGUMENT...: builds the targets in $scratch/NAME; warnings are errors. Extensions are
# put beside the package's Python files in $scratch/NAME/package, which is for PYTHONPATH.
build() {
  local folder=$scratch/$1 targets=()
  shift
  while [[ $1 != -- ]]; do targets+=("$1") && shift; done
  shift
  mkdir -p "$folder/package"
  cp -r python/fnnfast "$folder/package"
  rm -f "$folder"/package/fnnfast/*.so
  PYTHONPATH=$folder/package python -c '
import importlib.util, sys
sys.exit(not importlib.util.find_spec("fnnfast").origin.startswith(sys.argv[1]))' "$folder" || {
    echo "an editable installation of fnnfast hides other builds from Python: uninstall it" >&2
    exit 1
  }
  quietly cmake -G Ninja -S . -B "$folder" -DCMAKE_COMPILE_WARNING_AS_ERROR=ON -DFNNFAST_CUDA=OFF \
    -DCMAKE_LIBRARY_OUTPUT_DIRECTORY="$folder/package/fnnfast" -DPython_EXECUTABLE="$(command -v python)" \
    -Dpybind11_DIR="$(python -m pybind11 --cmakedir)" "$@"
  quietly cmake --build "$folder" --target "${targets[@]}"
}

# arm_python: makes the command $arm/python, which runs the Python of aarch64 from this system's own package sources in
# qemu; its version is in $arm_version. It is unpacked in $arm/root: nothing is installed. Returns 1, with a line that
# says so, where it cannot be had.
arm=$scratch/arm
arm_python() {
  need qemu-aarch64-static qemu-user-static || return 1
  mkdir -p "$arm"/{root,lists/partial,cache/archives/partial}
  touch "$arm/status"
  local apt=(apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o APT::Sandbox::User=root
    -o Dir::State="$arm" -o Dir::State::lists="$arm/lists" -o Dir::State::status="$arm/status" -o Dir::Cache="$arm/cache")
  if ! { "${apt[@]}" update &&
    "${apt[@]}" install --yes --no-install-recommends --download-only python3 libpython3-dev libstdc++6; } \
    >"$scratch/log" 2>&1; then
    echo "SKIPPED: needs a Python of aarch64 from Debian's packages"
    return 1
  fi
  local package
  for package in "$arm"/cache/archives/*.deb; do dpkg-deb --extract "$package" "$arm/root"; done

  cat >"$arm/python" <<END
#!/bin/sh
PYTHONHOME=$arm/root/usr exec qemu-aarch64-static -L $arm/root -0 "\$0" $arm/root/usr/bin/python3 "\$@"
END
  chmod +x "$arm/python"
  arm_version=$("$arm/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
}

# arm_packages FOLDER PACKAGE...: puts packages of PyPI for that Python in a folder, which is for PYTHONPATH.
arm_packages() {
  quietly pip install --disable-pip-version-check --target "$1" \
    --only-binary=:all: --python-version "$arm_version" \
    --platform manylinux2014_aarch64 --platform manylinux_2_24_aarch64 \
    --platform manylinux_2_27_aarch64 --platform manylinux_2_28_aarch64 "${@:2}"
}
