#!/usr/bin/env bash
# Schemathesis (PyPI) against a server of its own: run.sh [examples per operation] [seed]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
examples=${1:-20} seed=${2:-$RANDOM}
work=$(mktemp -d)
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==4.32.5"

daybook=("$here/../../node_modules/.bin/node" "$here/../../bin/daybook.js")
"${daybook[@]}" ledger keys tested.example/log "$work/signer" > "$work/verifier"
"${daybook[@]}" serve --store memory: --port 0 --signer-key "$work/signer" --archive "$work/archive" --backups "$work/backups" \
  --states "$work/states" --retention '{"order":{"keepEvents":1}}' > "$work/log" &
server=$!
trap 'kill $server; wait $server || true; rm -rf "$work"' EXIT
for _ in $(seq 100); do
  url=$(sed -n 's/.*"url":"\([^"]*\)".*/\1/p' "$work/log")
  [ -n "$url" ] && break
  sleep 0.1
done

# It keeps what it found beside where it runs.
cd "$work"
export PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1
"$work/venv/bin/schemathesis" --config-file "$here/schemathesis.toml" run "$url/openapi/openapi-spec.json" \
  --checks all --max-examples "$examples" --seed "$seed"
