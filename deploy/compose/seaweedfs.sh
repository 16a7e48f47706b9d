#!/bin/sh
# SeaweedFS: one process with S3 and the Iceberg REST catalog, or what the arguments ask for instead.
set -eu
data=/var/lib/seaweedfs
# Options that an earlier start left behind win over the command line.
rm -f "$data/mini.options"
# A copy, because the files in /secrets may be renewed while this runs, and all have to fit each other.
tls=/tmp/weed
umask 077
mkdir -p "$tls"
cp /secrets/weed-ca.pem /secrets/weed.pem /secrets/weed.key /secrets/security.toml "$tls"
[ $# -gt 0 ] || set -- -s3.port.iceberg=8181 -tableBucket=lake -bucket=artifacts
exec weed -logtostderr=true -config_dir="$tls" mini -dir="$data" -ip=seaweedfs -ip.bind=0.0.0.0 \
  -master.telemetry=false -master.volumeSizeLimitMB=64 -admin.ui=false -webdav=false \
  -s3.config=/secrets/s3.json -s3.iam=false -s3.autoCreateBucket=false \
  -s3.port=8333 -s3.port.lance=0 "$@"
