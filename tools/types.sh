#!/bin/sh
# Checks the types of the players' page, which its modules have in JSDoc comments, with the TypeScript that
# web/package-lock.json pins. Without npm, or where it cannot install, this says so and passes; REQUIRE_NODE=1, as in CI,
# makes that a failure.
set -eu
cd "$(dirname "$0")/../web"
skip() {
    echo "types of web/ not checked: $1" >&2
    exit "${REQUIRE_NODE:-0}" # 1: a failure
}
command -v npm >/dev/null || skip "there is no npm: on Debian install nodejs and npm"
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    found=$(npm ci --ignore-scripts --no-audit --no-fund --loglevel=error 2>&1) || skip "npm ci: $(echo "$found" | head -n 1)"
    touch node_modules/.package-lock.json
fi
node_modules/.bin/tsc -p .
