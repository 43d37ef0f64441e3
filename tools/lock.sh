#!/bin/sh
# Writes the lock files: every dependency pinned with its hashes, without download addresses, for Python 3.11 and later.
# With --upgrade everything moves to its newest version, without it only what is new or no longer fits.
#   locks/uv.txt   what brings everything else   locks/run.txt   a deployment of everything   locks/dev.txt   development
#   locks/backend.txt, locks/gateway.txt, locks/mail-sink.txt   what the images of tools/docker hold
set -eu
cd "$(dirname "$0")/.."
uv=.venv/bin/uv
upgrade=${1-}
members="contracts migrations chassis kernel devkit engine game gateway client web plugins/*"
projects=$(for member in $members; do echo "$member/pyproject.toml"; done)
ours=$(sed -n '/^\[project\]/,/^\[tool/s/^name = "\(galaxy-[a-z-]*\)"$/--no-emit-package \1/p' pyproject.toml $projects)
compile() {
    # shellcheck disable=SC2086 # $ours is a list of options, $upgrade may be none
    "$uv" pip compile --quiet $upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
        --no-annotate --no-header $ours "$@"
}
echo 'uv' | "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
    --no-annotate --no-header - -o locks/uv.txt
compile pyproject.toml -o locks/run.txt
compile pyproject.toml $projects --all-extras --group pyproject.toml:dev --group pyproject.toml:drivers -c locks/run.txt -o locks/dev.txt
backend="kernel engine plugins/*"
# shellcheck disable=SC2086 # a list of folders
compile $(for member in $backend; do echo "$member/pyproject.toml"; done) -c locks/run.txt -o locks/backend.txt
compile gateway/pyproject.toml web/pyproject.toml -c locks/run.txt -o locks/gateway.txt
compile plugins/mail/pyproject.toml --extra dev -c locks/dev.txt -o locks/mail-sink.txt
