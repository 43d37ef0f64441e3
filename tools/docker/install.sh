#!/usr/bin/env bash
# Install what the tests marked `docker` need, on Debian and as root: the daemon, a registry, and what images are
# made of where none can be pulled. What is there stays as it is.
set -euo pipefail

missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }
need dockerd docker.io
need docker docker.io
docker compose version >/dev/null 2>&1 || need docker-compose docker-compose
need docker-registry docker-registry
need mmdebstrap mmdebstrap
need busybox busybox-static
need unshare util-linux

[ ${#missing[@]} -gt 0 ] || exit 0
apt-get update -qq
# The service need not run: a daemon of our own is started where none answers.
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
