#!/usr/bin/env bash
# Install what the tests need besides Python, on Debian or Ubuntu and as root. What is there stays as it is; what cannot
# be installed is said, and its tests are skipped or fail.
set -euo pipefail
cd "$(dirname "$0")/.."
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    # The mail page is tested in a browser; without one that test is skipped with a reason.
    command -v chromium >/dev/null ||
        (apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium) >/dev/null 2>&1 ||
        echo "chromium could not be installed: the browser tests will be skipped"
    # The gateway's limits are tested on a real Redis, which each test starts for itself.
    command -v redis-server >/dev/null ||
        (apt-get update -qq && apt-get install -y -qq --no-install-recommends redis-server) >/dev/null 2>&1 ||
        echo "redis-server could not be installed: its tests will fail"
    tools/docker/install.sh >/dev/null || echo "what Docker needs could not be installed"
fi
