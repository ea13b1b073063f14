#!/usr/bin/env bash
# Make sure the servers are installed: Redis (or Valkey), RabbitMQ, Postgres. `servers.sh bench` adds wrk.
# `servers.sh test` unpacks under .bootstrap: Prometheus for the rules and the dashboards' queries, and, if it can get them, Valkey and PgBouncer.
# It installs a Chromium from the system's packages for the tests of the pages, and Playwright into .venv.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
PATH="$PATH:/usr/sbin:/usr/local/sbin"
VALKEY=.bootstrap/valkey
PROMETHEUS=.bootstrap/prometheus
PGBOUNCER=.bootstrap/pgbouncer

missing=()
command -v redis-server >/dev/null || command -v valkey-server >/dev/null || missing+=(redis-server)
[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || command -v rabbitmq-server >/dev/null || missing+=(rabbitmq-server)
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null || missing+=(postgresql)
if [ "${1:-}" = bench ] && ! command -v wrk >/dev/null; then
  missing+=(wrk)
fi
if [ ${#missing[@]} -gt 0 ]; then
  need_packages "${missing[*]}" "${missing[@]}"
fi

# set -e has no effect in a function that is called as a condition, so each step handles its failure itself.
# Valkey 8 from Debian, from the machine's own package sources or its mirror's backports. It is unpacked, not installed.
fetch_valkey() {
  command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
  local work
  work=$(mktemp -d)
  # shellcheck disable=SC2064  # expand the variable now
  trap "rm -rf '$work'" EXIT
  if ! from_own_sources "$work" >"$work/log" 2>&1; then
    from_backports "$work" >>"$work/log" 2>&1 || return 1
  fi
  mkdir -p "$VALKEY"
  for package in "$work"/*.deb; do dpkg -x "$package" "$VALKEY"; done
  # It needs the libraries of Debian's Redis. They may be missing if Redis came from elsewhere.
  "$VALKEY/usr/bin/valkey-server" --version >/dev/null 2>&1
}

from_own_sources() {
  local candidate
  candidate=$(LC_ALL=C apt-cache policy valkey-server | sed -n 's/^ *Candidate: \([0-9].*\)/\1/p')
  [ -n "$candidate" ] && dpkg --compare-versions "$candidate" ge 8 || return 1
  (cd "$1" && apt-get -qq download valkey-server valkey-tools)
}

# With our own source list and package lists, so that the system's apt does not change.
from_backports() {
  local id codename mirror
  id=$(. /etc/os-release && echo "${ID:-}")
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  [ "$id" = debian ] && [ -n "$codename" ] || return 1
  # The mirror of the release itself, not of its security archive.
  # shellcheck disable=SC2016  # apt's own variables
  mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' | awk -v name="$codename" '$1 == name || $1 == "stable" { found = $2 } END { print found }')
  [ -n "$mirror" ] || return 1
  mkdir -p "$1/lists/partial" "$1/archives/partial"
  local keyring=/usr/share/keyrings/debian-archive-keyring.gpg signed=
  [ ! -r "$keyring" ] || signed="[signed-by=$keyring] "
  echo "deb $signed$mirror $codename-backports main" >"$1/sources.list"
  local options=(-qq -o "Dir::Etc::sourcelist=$1/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$1/lists" -o "Dir::Cache=$1"
    -o APT::Sandbox::User=root -o Acquire::Languages=none)
  (cd "$1" && apt-get "${options[@]}" update && apt-get "${options[@]}" download valkey-server valkey-tools)
}

if [ "${1:-}" = test ] && ! command -v valkey-server >/dev/null && ! "$VALKEY/usr/bin/valkey-server" --version >/dev/null 2>&1; then
  rm -rf "$VALKEY"
  if (fetch_valkey); then
    say "Valkey unpacked for the tests: $("$VALKEY/usr/bin/valkey-server" --version | cut -d' ' -f3)"
  else
    rm -rf "$VALKEY"
    say "Valkey is not available for this machine: the tests run on Redis only"
  fi
fi

# Unpacked, not installed: the package would start a system service.
fetch_prometheus() {
  local work
  work=$(mktemp -d)
  # shellcheck disable=SC2064  # expand the variable now
  trap "rm -rf '$work'" EXIT
  cd "$work"
  apt-get -qq download prometheus || { as_root apt-get -qq update && apt-get -qq download prometheus; } || return 1
  dpkg -x prometheus_*.deb "$OLDPWD/$PROMETHEUS"
}

if [ "${1:-}" = test ] && ! command -v promtool >/dev/null && ! "$PROMETHEUS/usr/bin/promtool" --version >/dev/null 2>&1; then
  command -v apt-get >/dev/null && command -v dpkg >/dev/null || fail "Prometheus is missing; install prometheus and promtool (>= 2.40) and run this again"
  rm -rf "$PROMETHEUS"
  mkdir -p "$PROMETHEUS"
  if ! (fetch_prometheus) >.bootstrap/prometheus.log 2>&1; then
    cat .bootstrap/prometheus.log >&2
    fail "apt-get cannot download the package prometheus; install prometheus and promtool (>= 2.40) and run this again"
  fi
  say "Prometheus unpacked for the tests: $("$PROMETHEUS/usr/bin/promtool" --version 2>&1 | sed -n 's/^promtool, version \([^ ]*\).*/\1/p')"
fi

# Unpacked for the same reason, with the libraries that it depends on, except for the C library.
fetch_pgbouncer() {
  command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
  local work names
  work=$(mktemp -d)
  # shellcheck disable=SC2064  # expand the variable now
  trap "rm -rf '$work'" EXIT
  names=$(apt-cache depends pgbouncer | sed -n 's/^ *Depends: \(lib[^ ]*\)$/\1/p' | grep -v '^libc6')
  # shellcheck disable=SC2086  # several names
  (cd "$work" && apt-get -qq download pgbouncer $names) || return 1
  mkdir -p "$PGBOUNCER"
  for package in "$work"/*.deb; do dpkg -x "$package" "$PGBOUNCER"; done
  chmod -R a+rX "$PGBOUNCER"
}

if [ "${1:-}" = test ] && ! command -v pgbouncer >/dev/null && ! [ -x "$PGBOUNCER/usr/sbin/pgbouncer" ]; then
  rm -rf "$PGBOUNCER"
  if (fetch_pgbouncer) >.bootstrap/pgbouncer.log 2>&1; then
    say "PgBouncer unpacked for the tests"
  else
    rm -rf "$PGBOUNCER"
    say "PgBouncer is not available for this machine: its tests are skipped"
  fi
fi

# The browser that the tests of pages run in. Ubuntu's package is a stub that installs a snap, so there another Chromium must be on PATH.
browser_runs() {
  local program
  for program in chromium-headless-shell chromium chromium-browser google-chrome; do
    ! "$program" --version --no-sandbox >/dev/null 2>&1 || return 0
  done
  return 1
}

has_package() {
  [ "$(. /etc/os-release 2>/dev/null && echo "${ID:-}")" != ubuntu ] &&
    # Not a pipe into grep -q, which ends at the first match: apt-cache then dies of SIGPIPE, and pipefail says there is no package.
    grep -q '^ *Candidate: [0-9]' <<<"$(LC_ALL=C apt-cache policy "$1" 2>/dev/null)"
}

# Installed, not unpacked: it starts no service, and a font must be where fontconfig looks.
install_browser() {
  local package
  # A fresh machine may have no package lists.
  has_package chromium || as_root apt-get -qq update >/dev/null 2>&1 || true
  for package in chromium-headless-shell chromium; do
    if has_package "$package"; then
      need_packages "a browser for the tests" "$package" fonts-dejavu-core
      return
    fi
  done
  return 1
}

# In a subshell, because need_packages ends the script.
if [ "${1:-}" = test ] && ! browser_runs && ! { (install_browser) && browser_runs; }; then
  say "THE TESTS OF THE PAGES ARE SKIPPED: no Chromium here; put chromium or google-chrome on PATH and run this again"
fi

# Playwright, which drives the browser, and Node, which it brings.
if [ "${1:-}" = test ] && ! .venv/bin/python -c 'import playwright, axe_playwright_python' 2>/dev/null; then
  uv=$(find_uv "$(find_python)")
  say "installing Playwright for the tests into .venv"
  VIRTUAL_ENV="$PWD/.venv" "$uv" pip install --quiet --require-hashes -r tools/requirements-browser.lock
fi
