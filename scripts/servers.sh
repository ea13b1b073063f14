#!/usr/bin/env bash
# Make sure the servers are installed: Redis (or Valkey), RabbitMQ, Postgres. `servers.sh bench` adds wrk; `servers.sh test` tries to add Valkey,
# unpacked under .bootstrap, so that the scripts are tested on both.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
PATH="$PATH:/usr/sbin:/usr/local/sbin"

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

# Valkey from Debian's backports, where the release itself has none: fetched with a source list of our own and unpacked, not installed.
fetch_valkey() {
  command -v apt-get >/dev/null || return 1
  local target=.bootstrap/valkey work codename mirror
  work=$(mktemp -d)
  mkdir -p "$work/lists/partial" "$work/debs"
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -m1 '/debian/*$') || return 1
  echo "deb $mirror $codename-backports main" >"$work/sources.list"
  local options=(-qq -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists"
    -o "Dir::Cache=$work" -o APT::Sandbox::User=root)
  if (cd "$work/debs" && apt-get "${options[@]}" update && apt-get "${options[@]}" download valkey-server valkey-tools) >"$work/log" 2>&1; then
    mkdir -p "$target"
    for package in "$work"/debs/*.deb; do dpkg -x "$package" "$target"; done
  fi
  rm -rf "$work"
  "$target/usr/bin/valkey-server" --version >/dev/null 2>&1
}

if [ "${1:-}" = test ] && ! command -v valkey-server >/dev/null && [ ! -x .bootstrap/valkey/usr/bin/valkey-server ]; then
  if fetch_valkey; then
    say "Valkey unpacked for the tests: $(.bootstrap/valkey/usr/bin/valkey-server --version | cut -d' ' -f3)"
  else
    rm -rf .bootstrap/valkey
    say "no Valkey to be had for this machine: the tests run on Redis only"
  fi
fi
