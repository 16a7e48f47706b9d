#!/bin/sh
# Runs a program with the variables of /secrets/env. They reach its environment this way, and not
# through the compose file, so that neither the file nor `docker inspect` shows them.
set -eu
set -a
. /secrets/env
set +a
exec "$@"
