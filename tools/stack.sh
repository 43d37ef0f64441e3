#!/usr/bin/env bash
# What the Makefiles of tools/local-dev and tools/dev-deploy do, in the folder of the stack:
#
#   ../stack.sh build|up|down|logs|clean-data|clean-engines|reap
#
# From the environment: STACK (the value of the label galaxy.stack), ENV_FILE (the secrets), TAG (of our images),
# BUILD=no (the images are there), ENGINE_TITLES (the OCI titles of engines' images), and what compose.yaml names.
# Nothing is touched that does not carry the label.
set -euo pipefail

: "${STACK:?}"
root=$(cd "$(dirname "$0")/.." && pwd)
export TAG=${TAG:-$STACK}
env_file=${ENV_FILE:-.env}
mailpit=axllent/mailpit:v1.27
patience=180 # seconds within which everything must be ready

host=${DOCKER_HOST:-unix:///var/run/docker.sock}
export DOCKER_SOCKET=${DOCKER_SOCKET:-${host#unix://}}
DOCKER_GID=${DOCKER_GID:-$(stat -c %g "$DOCKER_SOCKET" 2>/dev/null || echo 0)}
export DOCKER_GID

if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
compose+=(--project-name "galaxy-$STACK" --file compose.yaml)
[ ! -f "$env_file" ] || compose+=(--env-file "$env_file")

ours() { docker ps --all --quiet --no-trunc --filter "label=galaxy.stack=$STACK" "$@"; }
remove() { xargs --no-run-if-empty docker rm --force --volumes >/dev/null; }
random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

# image TAG PART: ours, by its part of the Dockerfile. Without buildx Docker has its older builder.
image() {
    docker build --quiet --file "$root/tools/docker/Dockerfile" --build-arg "PART=$2" --target "$2" --tag "$1" "$root"
}

build() {
    docker buildx version >/dev/null 2>&1 || export DOCKER_BUILDKIT=0
    "$root/tools/docker/base-images.sh" postgres:15-bookworm redis:7-bookworm python:3.11-slim-bookworm
    image "galaxy/backend:$TAG" backend
    image "galaxy/gateway:$TAG" gateway
    docker build --quiet --tag "galaxy/game:$TAG" "$root/game"
    has_mailpit || image "galaxy/mail-sink:$TAG" mail-sink
}

has_mailpit() { docker image inspect $mailpit >/dev/null 2>&1 || docker pull --quiet $mailpit >/dev/null 2>&1; }

# The secrets are made once. A database keeps the password that it was made with, so new ones would not fit an old one.
secrets() {
    [ ! -f "$env_file" ] || return 0
    if docker volume inspect "galaxy-$STACK-postgres" >/dev/null 2>&1; then
        echo "$env_file is gone, and the database knows what was in it: put it back, or begin with make clean-data" >&2
        exit 1
    fi
    local new="$env_file.$$"
    (
        umask 077
        for name in POSTGRES_PASSWORD BACKEND_SECRET_KEY GATEWAY_TOKEN ADMIN_PASSWORD; do
            echo "$name=$(random)"
        done >"$new"
    )
    mv "$new" "$env_file"
    compose+=(--env-file "$env_file")
}

up() {
    secrets
    has_mailpit || export MAIL_IMAGE=galaxy/mail-sink:$TAG
    "${compose[@]}" up --detach --remove-orphans
    local end=$((SECONDS + patience))
    for service in backend gateway; do
        until [ -n "$(ours --filter health=healthy --filter "label=com.docker.compose.service=$service")" ]; do
            if [ $SECONDS -gt $end ]; then
                "${compose[@]}" logs --tail 50 >&2
                echo "$service is not ready after $patience s" >&2
                exit 1
            fi
            sleep 0.5
        done
    done
    cat <<END
The stack $STACK is ready.
  the page   http://127.0.0.1:${GATEWAY_PORT:-8090}
  its mails  http://127.0.0.1:${MAIL_PORT:-8025}
  operator   root, with the password ADMIN_PASSWORD of $env_file
END
}

# Engines go after the backend, which would start them again, and before their network. What they know is in the database.
down() {
    "${compose[@]}" stop
    clean-engines
    "${compose[@]}" down --remove-orphans "$@"
}

clean-engines() {
    for title in ${ENGINE_TITLES:-galaxy-game}; do
        ours --filter "label=org.opencontainers.image.title=$title" | remove
    done
}

clean-data() { down --volumes; }
reap() { ours --filter status=exited --filter status=dead | remove; }
logs() { exec "${compose[@]}" logs --follow --tail 100; }

case "${1-}" in
build) [ "${BUILD-}" = no ] || build ;;
up | down | logs | clean-data | clean-engines | reap) "$1" ;;
*)
    sed -n 's/^# \{0,1\}//; 2,/^Nothing/p' "$0" >&2
    exit 2
    ;;
esac
