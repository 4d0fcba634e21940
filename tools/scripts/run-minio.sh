#!/bin/sh
# run-minio.sh DIR [SERVER FLAGS...]: a MinIO and one RingMQ node that keeps its log in it, until interrupted. Both end together.
# MINIO_ADDRESS (127.0.0.1:9000) and BUCKET (ringmq) may be set.
set -eu
dir=$1
shift
address=${MINIO_ADDRESS:-127.0.0.1:9000} bucket=${BUCKET:-ringmq}
export MINIO_ROOT_USER=${MINIO_ROOT_USER:-ringmq} MINIO_ROOT_PASSWORD=${MINIO_ROOT_PASSWORD:-ringmq-secret}
export KAFKA_S3_ACCESS_KEY=$MINIO_ROOT_USER KAFKA_S3_SECRET_KEY=$MINIO_ROOT_PASSWORD
url="s3://$address?s3-endpoint-protocol=http&s3-region=us-east-1&s3-path-style=true&s3-data-bucket=$bucket"
here=$(cd "$(dirname "$0")/../.." && pwd)

mkdir -p "$dir/minio"
"$RINGMQ_MINIO" server "$dir/minio" --address "$address" --quiet >"$dir/minio.log" 2>&1 &
minio=$!
node=
stop() {
	trap '' INT TERM
	# The node first: its last uploads go to MinIO.
	[ -z "$node" ] || { kill -TERM "$node" 2>/dev/null && wait "$node" || true; }
	kill -TERM "$minio" 2>/dev/null && wait "$minio" || true
}
trap 'stop; exit 0' INT TERM
trap stop EXIT

if ! "$here/bin/ringmq" bucket create --wait=30s --s3-url="$url"; then
	tail -n 3 "$dir/minio.log" >&2
	exit 1
fi
if ! kill -0 "$minio" 2>/dev/null; then
	echo "MinIO ended: $(tail -n 1 "$dir/minio.log") (MINIO_ADDRESS chooses another address)" >&2
	exit 1
fi
"$here/bin/ringmq" server start --s3-url="$url" --override "log.dirs=$dir/node-minio" "$@" &
node=$!
code=0
wait "$node" || code=$?
node=
exit "$code"
