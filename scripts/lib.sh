# Shared by the scripts here: saying, failing, and installing packages. Sourced, not run.

say() { echo "· $*" >&2; }

fail() {
  echo "flashsale: $*" >&2
  exit 1
}

# The first Python that is new enough.
find_python() {
  local candidate
  for candidate in python3 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return 0
    fi
  done
  return 1
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# need_packages WHAT PACKAGE...: install Debian packages, said in one line, without starting any service of the system's.
need_packages() {
  local what=$1
  shift
  command -v apt-get >/dev/null || fail "$what is missing; install it with your package manager (Debian's names: $*)"
  [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null || fail "$what is missing; as root: apt-get install $*"
  say "installing $what with apt-get: $*"
  # invoke-rc.d asks this file whether a package may start its service (Debian Policy 9.3.3): ours may not. Only if nobody else has one.
  local policy=/usr/sbin/policy-rc.d ours=
  if [ ! -e "$policy" ]; then
    ours=1
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod +x "$policy"
  fi
  local status=0
  {
    as_root apt-get -qq update &&
      as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@"
  } >.apt.log 2>&1 </dev/null || status=$?
  [ -z "$ours" ] || as_root rm -f "$policy"
  if [ "$status" -ne 0 ]; then
    tail -n 20 .apt.log >&2
    fail "apt-get could not install: $*"
  fi
  rm -f .apt.log
}
