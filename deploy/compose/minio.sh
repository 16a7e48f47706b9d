#!/bin/sh
# The buckets in MinIO, and an account that reads them and nothing else; repeating it changes nothing.
set -eu
export MC_CONFIG_DIR=/tmp/mc
mc alias set --quiet store http://minio:9000 "$MINIO_ROOT_USER" "$MINIO_ROOT_PASSWORD"
mc mb --quiet --ignore-existing store/lake store/artifacts
cat >/tmp/reader.json <<'POLICY'
{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": ["s3:GetBucketLocation", "s3:ListBucket", "s3:GetObject"],
      "Resource": ["arn:aws:s3:::lake", "arn:aws:s3:::lake/*", "arn:aws:s3:::artifacts", "arn:aws:s3:::artifacts/*"]
    }
  ]
}
POLICY
mc admin policy create store weekahead-reader /tmp/reader.json
mc admin user add store "$S3_READER_USER" "$S3_READER_PASSWORD"
mc admin policy attach store weekahead-reader --user "$S3_READER_USER" ||
  mc admin policy entities store --user "$S3_READER_USER" | grep -q weekahead-reader
