#!/bin/sh
# Makes the base of our images from Debian's packages, for where no image can be pulled.
# Needs root, debootstrap and a running Docker engine.
#
#   deploy/compose/make-base-image.sh weekahead/base:bookworm
set -eu
name=${1:?"usage: $0 NAME:TAG"}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates \
  bookworm "$work/root" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$work/log" 2>&1 \
  || { tail -n 20 "$work/log" >&2; exit 1; }
rm -rf "$work"/root/var/cache/apt/archives/*.deb "$work"/root/var/lib/apt/lists/*

# Behind a proxy that opens TLS, pip and uv need its certificate, too. It gets a path of its own:
# Debian's bundle is written anew whenever ca-certificates is installed.
set --
if [ -n "${SSL_CERT_FILE:-}" ]; then
  install -D -m 0644 "$SSL_CERT_FILE" "$work/root/etc/ssl/site/ca.pem"
  set -- --change "ENV SSL_CERT_FILE=/etc/ssl/site/ca.pem PIP_CERT=/etc/ssl/site/ca.pem"
fi
tar -C "$work/root" -c . | docker import "$@" - "$name"
