#!/usr/bin/env bash
# Install what the tests need besides Python, on Debian or Ubuntu and as root. What is there stays as it is; what cannot
# be installed is said, and its tests are skipped or fail.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || exit 0
missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }
need chromium chromium         # the pages are tested in a browser
need redis-server redis-server # the gateway's limits are tested on a real Redis, which each test starts for itself
need promtool prometheus       # plays the alert rules
need node nodejs               # engines in its language are tested
need npm npm                   # installs TypeScript, which checks the page
[ ${#missing[@]} -eq 0 ] ||
    (apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}") >/dev/null 2>&1 ||
    echo "could not be installed, their tests will fail: ${missing[*]}"
tools/docker/install.sh >/dev/null || echo "what Docker needs could not be installed"
