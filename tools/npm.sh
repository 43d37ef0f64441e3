# Sourced by scripts that check with what npm brings: `npm_ci WHAT` installs what the package-lock.json of this folder pins.
# Without npm, or where it cannot install, it says that WHAT is not checked, and ends the script: well, or with
# REQUIRE_NODE=1, as in CI, as a failure.
npm_ci() {
    if ! command -v npm >/dev/null; then
        npm_skip "$1" "there is no npm: on Debian install nodejs and npm"
    fi
    if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
        npm_found=$(npm ci --ignore-scripts --no-audit --no-fund --loglevel=error 2>&1) ||
            npm_skip "$1" "npm ci: $(echo "$npm_found" | head -n 1)"
        touch node_modules/.package-lock.json
    fi
}

npm_skip() {
    echo "$1 not checked: $2" >&2
    exit "${REQUIRE_NODE:-0}" # 1: a failure
}
