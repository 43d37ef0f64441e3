#!/usr/bin/env bash
# Have the base images of our Dockerfiles at hand, also where no registry can be reached: what is here stays, else it is
# pulled, else loaded from the cache, else made from Debian's packages with mmdebstrap and cached.
#
#   tools/docker/base-images.sh [IMAGE…]      without a name, the bases of our Dockerfiles
#
# What is made here stands in for the image of that name; it is not the same, and is for tests alone.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache="${XDG_CACHE_HOME:-$HOME/.cache}/galaxy-backend/images"
certificates=/etc/ssl/certs/ca-certificates.crt
work=$(mktemp -d "${TMPDIR:-/tmp}/base-images.XXXXXX")
trap 'rm -rf "$work"' EXIT

# bootstrap FILE [OPTION…]: a small Debian 12 as a tar, without what nobody reads in a container.
bootstrap() {
    local file=$1
    shift
    mmdebstrap --quiet --variant=apt \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        "$@" bookworm "$file"
}

debian_bookworm_slim() {
    bootstrap "$work/root.tar"
    docker import --change 'CMD ["bash"]' "$work/root.tar" debian:bookworm-slim
}

python_3_11_slim_bookworm() {
    # pip in a container trusts what this machine trusts, and may install outside of environments as in the image of
    # this name.
    printf '[global]\ncert = %s\n' "$certificates" >"$work/pip.conf"
    bootstrap "$work/root.tar" \
        --include=python3,python3-venv,python3-pip,ca-certificates \
        --customize-hook="copy-in $certificates /etc/ssl/certs" \
        --customize-hook="copy-in $work/pip.conf /etc" \
        --customize-hook='rm -f "$1"/usr/lib/python3.11/EXTERNALLY-MANAGED' \
        --customize-hook='ln -s /usr/bin/python3 "$1"/usr/local/bin/python' \
        --customize-hook='ln -s /usr/bin/python3 "$1"/usr/local/bin/python3'
    docker import --change 'CMD ["python3"]' "$work/root.tar" python:3.11-slim-bookworm
}

# stand_in NAME IMAGE: what a Dockerfile of stand-ins/ makes on top of Debian.
stand_in() {
    have debian:bookworm-slim
    DOCKER_BUILDKIT=0 docker build --quiet --file "$here/stand-ins/$1.Dockerfile" --tag "$2" "$here/stand-ins" >/dev/null
}

postgres_15_bookworm() { stand_in postgres postgres:15-bookworm; }
redis_7_bookworm() { stand_in redis redis:7-bookworm; }

make() {
    local recipe=${1//[:\/.-]/_}
    if ! declare -F "$recipe" >/dev/null; then
        echo "base-images: $1 cannot be pulled, and there is no recipe for it" >&2
        return 1
    fi
    "$recipe"
    mkdir -p "$cache"
    docker save "$1" | gzip -1 >"$work/image.tar.gz"
    mv "$work/image.tar.gz" "$cache/$recipe.tar.gz"
}

have() {
    docker image inspect "$1" >/dev/null 2>&1 && return
    timeout 300 docker pull --quiet "$1" 2>/dev/null && return
    local cached="$cache/${1//[:\/.-]/_}.tar.gz"
    [ -f "$cached" ] && docker load --quiet --input "$cached" && return
    make "$1"
}

[ $# -gt 0 ] || set -- debian:bookworm-slim python:3.11-slim-bookworm
for image in "$@"; do
    have "$image"
done
