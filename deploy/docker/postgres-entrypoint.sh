#!/bin/sh
# Makes the cluster at the first start, as the official image does, then runs the server.
set -eu

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  # Made beside its place and moved there: a start that was cut off leaves no half cluster.
  rm -rf "$PGDATA.new"
  initdb --pgdata="$PGDATA.new" --username=postgres --pwfile="$POSTGRES_PASSWORD_FILE" \
    --encoding=UTF8 --locale=C.UTF-8 --auth-local=scram-sha-256 --auth-host=scram-sha-256
  echo "host all all all scram-sha-256" >>"$PGDATA.new/pg_hba.conf"
  mv "$PGDATA.new" "$PGDATA"
fi
exec "$@" -c listen_addresses='*' -c unix_socket_directories=/tmp
