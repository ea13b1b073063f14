# shellcheck shell=bash
# Functions for the scripts here: messages, finding Python and uv, installing Debian packages, loading images. Sourced, not run.

UV_VERSION=0.13.9
UV_VERSION_MIN=0.5
# Errors inside $(...) also end the script. uv uses the system's Python and never downloads one.
shopt -s inherit_errexit
export UV_PYTHON_DOWNLOADS=never

say() { echo "· $*" >&2; }

fail() {
  echo "flashsale: $*" >&2
  exit 1
}

# The first Python that is new enough and runs: a shim on PATH may have no Python behind it.
find_python() {
  local candidate
  for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return 0
    fi
  done
  return 1
}

# The user's uv if it runs and is new enough, otherwise our own in .bootstrap. find_uv PYTHON
find_uv() {
  if uv_runs uv; then
    command -v uv
    return 0
  fi
  local own="$PWD/.bootstrap/uv"
  if ! uv_runs "$own/bin/uv"; then
    if ! "$1" -c 'import ensurepip, venv' 2>/dev/null; then
      need_packages "Python's venv module" "$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    fi
    say "setting up uv $UV_VERSION in .bootstrap"
    # To stderr, because stdout is the result of this function.
    "$1" -m venv --clear "$own" >&2
    "$own/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$UV_VERSION" >&2
  fi
  echo "$own/bin/uv"
}

uv_runs() {
  local version
  version=$("$1" --version 2>/dev/null) || return 1
  version=${version#uv }
  [ "$(printf '%s\n' "$UV_VERSION_MIN" "${version%% *}" | sort -V | sed -n 1p)" = "$UV_VERSION_MIN" ]
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# Install Debian packages with a message of one line, and without starting their services. need_packages WHAT PACKAGE...
need_packages() {
  local what=$1
  shift
  command -v apt-get >/dev/null || fail "$what is missing; install it with your package manager (Debian's names: $*)"
  [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null || fail "$what is missing; as root: apt-get install $*"
  say "installing $what with apt-get: $*"
  mkdir -p .bootstrap
  local log=.bootstrap/apt.log
  if ! (apt_install "$@") >"$log" 2>&1 </dev/null; then
    tail -n 20 "$log" >&2
    fail "apt-get could not install: $* (all of its output: $log)"
  fi
}

# Runs in a subshell, so that the trap does not replace the caller's.
apt_install() {
  # invoke-rc.d asks this file whether a package may start its service (Debian Policy 9.3.3). Ours forbids it; an existing file is left alone.
  local policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" && as_root chmod 755 "$policy" || return 1
  fi
  # A package source that fails may not matter: the installation decides.
  as_root apt-get -qq update || echo "apt-get update failed; trying with the existing package lists"
  as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
    apt-get -qq -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@"
}

# The nodes of a kind cluster that run pods of everybody, with commas between them; the only node of a small one. kind_workers CLUSTER
kind_workers() {
  local workers
  workers=$(kubectl --context "kind-$1" get nodes -l '!node-role.kubernetes.io/control-plane' -o jsonpath='{.items[*].metadata.name}')
  [ -n "$workers" ] || workers=$(kubectl --context "kind-$1" get nodes -o jsonpath='{.items[*].metadata.name}')
  echo "${workers// /,}"
}

# Load images in one archive, because they share most of their layers. What kind says appears only after a failure. kind_load CLUSTER NODES IMAGE...
kind_load() {
  local cluster=$1 nodes=$2
  shift 2
  kind load docker-image "$@" --name "$cluster" --nodes "$nodes" >/dev/null 2>&1 || {
    say "the images could not be loaded into $cluster; once more:"
    kind load docker-image "$@" --name "$cluster" --nodes "$nodes"
  }
}
