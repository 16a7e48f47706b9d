#!/bin/sh
# Backup and restore of everything that the containers keep: lake, warehouse, metadata, secrets;
# and the way from an embedded home into containers.
#
#   deploy/compose/backup.sh create DIRECTORY                  stop, archive every volume, start again
#   deploy/compose/backup.sh verify DIRECTORY                  are the archives as they were written?
#   deploy/compose/backup.sh restore DIRECTORY [--overwrite]   fill the volumes of a stack, and start it
#   deploy/compose/backup.sh move HOME                         take over the data of `weekahead run`
#
# Called where `docker compose` finds its files; COMPOSE_FILE and COMPOSE_PROJECT_NAME count as always.
# A backup is cold: nothing writes while it is made, so its parts fit each other. It holds the
# secrets, too: only its owner may read it, and it belongs where secrets may lie.
# docs/operations.md says more.
set -eu
umask 077

usage() {
  sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
  exit 2
}

fail() {
  echo "$0: $*" >&2
  exit 1
}

# The services of the project that run; more filters may follow.
running() {
  docker ps --filter "label=com.docker.compose.project=$project" \
    --format '{{.Label "com.docker.compose.service"}}' "$@" | sort -u
}

# The volumes of the project: name in the compose file, name in Docker.
volumes() {
  docker volume ls --filter "label=com.docker.compose.project=$project" \
    --format '{{.Label "com.docker.compose.volume"}} {{.Name}}' | sort
}

# Runs a command with one volume and nothing else: no network, no other right than named.
# `also` may name a further mount.
in_volume() {
  mount=$1 capabilities=$2
  shift 2
  set -- ${also:+--volume "$also"} "$image" "$@"
  for capability in $capabilities; do
    set -- --cap-add "$capability" "$@"
  done
  docker run --rm --interactive --init --network none --read-only --user 0:0 --cap-drop ALL \
    --security-opt no-new-privileges:true --no-healthcheck --log-driver none \
    --volume "$mount" --entrypoint "" "$@"
}

# Makes volumes as compose would.
make_volumes() {
  for name in "$@"; do
    docker volume create --label "com.docker.compose.project=$project" \
      --label "com.docker.compose.volume=$name" "${project}_$name" >/dev/null
  done
}

is_empty() {
  [ -z "$(in_volume "${project}_$1:/data:ro" DAC_READ_SEARCH ls -A /data </dev/null)" ]
}

prepare() {
  project=$(docker compose config --no-interpolate | sed -n 's/^name: //p')
  [ -n "$project" ] || fail "there is no compose file here"
  image=$(docker compose config --images | grep -m 1 '^weekahead/platform:')
  docker image inspect "$image" >/dev/null 2>&1 || docker compose build --quiet secrets
}

create() {
  target=${1%/}
  [ ! -e "$target" ] || fail "$target exists: give the name of a directory that does not"
  prepare
  [ -n "$(volumes)" ] || fail "the project $project has no volumes, so there is nothing to back up"
  [ -z "$(running --filter label=com.docker.compose.oneoff=True)" ] ||
    fail "a command is running ('docker ps' shows it): wait for its end, or stop it"

  services=$(running)
  partial=$target.partial
  # Neither an error nor Ctrl-C leaves the stack down or half a backup behind.
  trap 'end_of_backup' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  mkdir -p "$(dirname "$target")"
  mkdir "$partial" || { partial=; fail "$target.partial exists: is another backup being made?"; }

  # Stopping may take the grace periods: a flow that runs is allowed to end.
  docker compose --profile '*' stop
  [ -z "$(running)" ] || fail "containers of $project still run"
  echo "archiving the volumes of $project"
  {
    echo "format 1"
    echo "created $(date -u +%Y-%m-%dT%H:%M:%SZ)"
    echo "project $project"
    echo "compose_files ${COMPOSE_FILE:-docker-compose.yml}"
    docker compose config --images | sort -u | while read -r name; do
      echo "image $name $(docker image inspect --format '{{.Id}}' "$name" 2>/dev/null || echo -)"
    done
  } >"$partial/manifest"
  volumes >"$partial/.volumes"
  while read -r name volume; do
    in_volume "$volume:/data:ro" DAC_READ_SEARCH \
      tar --create --numeric-owner --use-compress-program 'gzip -1' --directory /data . \
      >"$partial/$name.tar.gz" </dev/null
    echo "volume $name $(wc -c <"$partial/$name.tar.gz")" >>"$partial/manifest"
  done <"$partial/.volumes"
  rm "$partial/.volumes"
  [ -z "$(running)" ] || fail "something was started meanwhile, so the parts may not fit each other"

  (cd "$partial" && sha256sum manifest ./*.tar.gz >SHA256SUMS)
  sync
  mv "$partial" "$target"
  echo "$target is complete, $(du -sh "$target" | cut -f1)"
}

end_of_backup() {
  status=$?
  # A second Ctrl-C must not interrupt this.
  trap '' INT TERM HUP
  trap - EXIT
  if [ -n "$partial" ]; then
    rm -rf "$partial"
  fi
  if [ -n "$services" ]; then
    echo "starting again"
    # shellcheck disable=SC2086  # one word for each service
    setsid --wait docker compose --profile '*' start $services </dev/null || status=1
  fi
  exit "$status"
}

verify() {
  source=${1%/}
  [ -f "$source/SHA256SUMS" ] || fail "$source is not a complete backup: it has no SHA256SUMS"
  grep -qx 'format 1' "$source/manifest" || fail "$source has a format that this script does not know"
  (cd "$source" && sha256sum --check --strict --quiet SHA256SUMS) ||
    fail "$source is damaged: nothing was restored"
  names=$(sed -n 's/^volume \([^ ]*\) .*/\1/p' "$source/manifest")
  for name in $names; do
    grep -q " ./$name.tar.gz\$" "$source/SHA256SUMS" || fail "$source lacks the volume $name"
  done
}

restore() {
  verify "$1"
  overwrite=${2:-}
  prepare
  if [ "$overwrite" = --overwrite ]; then
    docker compose --profile '*' down
  fi
  [ -z "$(running)" ] || fail "$project is running: stop it, or say --overwrite"
  # shellcheck disable=SC2086  # one word for each volume
  make_volumes $names
  if [ "$overwrite" != --overwrite ]; then
    for name in $names; do
      is_empty "$name" ||
        fail "the volume ${project}_$name is not empty: say --overwrite to lose what is in it"
    done
  fi

  # Half a restore is worse than none: what was not finished is emptied again.
  trap 'empty_all; fail "not restored; the volumes of $project are empty"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  if [ "$overwrite" = --overwrite ]; then
    empty_all
  fi
  for name in $names; do
    echo "filling ${project}_$name"
    in_volume "${project}_$name:/data" "CHOWN DAC_OVERRIDE FOWNER" \
      tar --extract --gzip --same-owner --same-permissions --numeric-owner --directory /data \
      <"$source/$name.tar.gz"
  done
  trap - EXIT INT TERM HUP
  docker compose up -d --wait
}

# Empties every volume of the project, those that the backup does not know, too.
empty_all() {
  trap '' INT TERM HUP
  for volume in $(volumes | cut -d ' ' -f 2); do
    in_volume "$volume:/data" "DAC_OVERRIDE FOWNER" \
      find /data -mindepth 1 -delete </dev/null
  done
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
}

# The lake is the same program's files in both; MLflow's records change databases; the marts are built
# anew. Of Prefect only what the repository declares is there afterwards.
move() {
  [ -f "$1/config/secrets.json" ] || fail "$1 is not the home of an embedded weekahead"
  home=$(cd "$1" && pwd)
  if grep -q '"manager": {' "$home/run/local.json" 2>/dev/null; then
    fail "the local stack of $home is up: 'weekahead down' first"
  fi
  # Commands hold this lock while they have services.
  flock --exclusive --nonblock "$home/run/lease.lock" true || fail "a weekahead command uses $home"
  prepare
  [ -z "$(running)" ] || fail "$project is running: this is for a stack that has not been started yet"
  make_volumes secrets seaweedfs
  for name in secrets seaweedfs; do
    is_empty "$name" || fail "the volume ${project}_$name is not empty"
  done

  trap 'docker compose down; empty_all; fail "not moved; the volumes of $project are empty, and $home is as it was"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  echo "copying secrets and lake"
  in_volume "${project}_secrets:/data" CHOWN python3 -c '
import json, os, sys
sys.path.insert(0, "/opt/deploy/compose")
from make_secrets import NAMES
known = json.load(sys.stdin)
os.umask(0o077)
with open("/data/secrets.json", "w") as file:
    json.dump({name: known[name] for name in NAMES if name in known}, file)
os.chmod("/data", 0o700)
for path in ("/data/secrets.json", "/data"):
    os.chown(path, 10001, 10001)
' <"$home/config/secrets.json"
  also="$home/data/seaweedfs:/from:ro" in_volume "${project}_seaweedfs:/data" \
    "CHOWN DAC_OVERRIDE FOWNER" \
    sh -c 'cp -R --preserve=mode,timestamps /from/. /data/ && chown -R 10001:10001 /data' </dev/null
  docker compose up -d --wait
  if [ -f "$home/mlflow.db" ]; then
    docker compose stop worker mlflow
    docker compose run --rm -T --no-deps --entrypoint "python3 /opt/deploy/compose/copy_mlflow.py" \
      databases <"$home/mlflow.db"
    docker compose up -d --wait
  fi
  trap - EXIT INT TERM HUP
  echo "building the marts"
  docker compose run --rm -T pipeline weekahead transform </dev/null
}

case "${1:-} $#" in
  "create 2") create "$2" ;;
  "verify 2") verify "$2" && echo "$2 is complete" ;;
  "restore 2") restore "$2" ;;
  "restore 3") [ "$3" = --overwrite ] || usage; restore "$2" "$3" ;;
  "move 2") move "$2" ;;
  *) usage ;;
esac
