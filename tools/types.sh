#!/bin/sh
# Checks the types of the players' page, which its modules have in JSDoc comments, with the TypeScript that
# web/package-lock.json pins.
set -eu
. "$(dirname "$0")/npm.sh"
cd "$(dirname "$0")/../web"
npm_ci "types of web/"
node_modules/.bin/tsc -p .
