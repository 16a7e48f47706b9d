#!/bin/sh
# Runs the metastore. It listens on every interface and cannot be told otherwise: keep it in a
# network of its own.
set -eu
mkdir -p /tmp/empty
for package in lang lang.invoke lang.reflect io net nio util util.concurrent util.concurrent.atomic; do
  # Hive 2.3 is older than the modules of Java.
  set -- "$@" "--add-opens=java.base/java.$package=ALL-UNNAMED"
done
exec java -Xmx256m -XX:+ExitOnOutOfMemoryError "$@" -cp "/opt/hive:/opt/hive/jars/*" \
  /opt/hive/Metastore.java
