#!/usr/bin/env bash
# Resolve requirements.lock again, and from the same resolution the locks of the images and of the pictures in docs/.
# Locks contain versions and hashes, and no addresses (docs/decisions/0001).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
python=$(find_python) || fail "Python 3.11 or newer is needed"
uv=$(find_uv "$python")
export UV_PYTHON="$python"
"$uv" lock --quiet --upgrade --exclude-newer "$(date -u -d '7 days ago' +%Y-%m-%d)"
# Into another file first, so that a lock is never half written.
trap 'rm -f .requirements.new' EXIT
export_lock() { # FILE OPTION...
  local file=$1
  shift
  "$uv" export --quiet --frozen --no-header --no-annotate "$@" --no-emit-workspace --format requirements.txt >.requirements.new
  ! grep -nE '://|^-' .requirements.new || fail "the export names addresses or options; a lock must not"
  mv .requirements.new "$file"
}
export_lock requirements.lock --all-packages
for folder in services/* cli; do
  export_lock "$folder/requirements.lock" --no-dev --package "flashsale-${folder##*/}"
done
export_lock tools/requirements-pictures.lock --only-group pictures
export_lock tools/requirements-browser.lock --only-group browser
# Tools that only build the images: the same uv as everywhere, and the packages' build backend.
printf '%s\n' "uv==$UV_VERSION" hatchling | "$uv" pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
  --exclude-newer "$(date -u -d '7 days ago' +%Y-%m-%d)" - >.requirements.new
! grep -nE '://|^-' .requirements.new || fail "the build's lock names addresses or options; a lock must not"
mv .requirements.new requirements-build.lock
say "requirements.lock has $(grep -c '==' requirements.lock) distributions"
