#!/bin/sh
# The stand-in for the image `postgres`: understands POSTGRES_USER, _PASSWORD, _DB and _INITDB_ARGS as
# that does.
set -eu
[ "${1-}" != postgres ] || shift
bin=$(echo /usr/lib/postgresql/*/bin)
data=${PGDATA:-/var/lib/postgresql/data}
user=${POSTGRES_USER:-postgres}
as_postgres() { setpriv --reuid postgres --regid postgres --clear-groups "$@"; }

install -d -o postgres -g postgres -m 700 "$data"
install -d -o postgres -g postgres /var/run/postgresql
if [ ! -s "$data/PG_VERSION" ]; then
    passwords=$(mktemp)
    printf '%s\n' "$POSTGRES_PASSWORD" >"$passwords"
    chown postgres "$passwords"
    as_postgres "$bin/initdb" --pgdata="$data" --username="$user" --pwfile="$passwords" --encoding=UTF8 \
        --locale=C.UTF-8 --auth-local=trust --auth-host=scram-sha-256 --no-sync ${POSTGRES_INITDB_ARGS-} >/dev/null
    rm "$passwords"
    echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
    [ "${POSTGRES_DB:-$user}" = postgres ] ||
        echo "CREATE DATABASE \"${POSTGRES_DB:-$user}\"" | as_postgres "$bin/postgres" --single -j -D "$data" postgres >/dev/null
fi
exec setpriv --reuid postgres --regid postgres --clear-groups \
    "$bin/postgres" -D "$data" -c listen_addresses='*' "$@"
