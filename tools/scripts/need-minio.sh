#!/bin/sh
# need-minio.sh FILE: builds MinIO at MINIO_VERSION into FILE, unless FILE is that version already.
set -eu
file=$1 go=${GO:-go}
if [ -x "$file" ] && "$go" version -m "$file" 2>/dev/null | grep -q "minio/minio[[:space:]]*$MINIO_VERSION"; then
	exit 0
fi
dir=$(dirname "$file")
mkdir -p "$dir"
# Two builds at once would only disturb each other.
exec 9>"$dir/.minio.lock"
if command -v flock >/dev/null 2>&1; then
	flock 9
	if [ -x "$file" ] && "$go" version -m "$file" 2>/dev/null | grep -q "minio/minio[[:space:]]*$MINIO_VERSION"; then
		exit 0
	fi
fi
echo "building MinIO $MINIO_VERSION (once, a few minutes)" >&2
tmp=$(mktemp -d "$dir/build.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
if ! GOBIN=$tmp GOFLAGS= "$go" install "github.com/minio/minio@$MINIO_VERSION"; then
	echo "could not build MinIO $MINIO_VERSION: see above; a network is needed for this once" >&2
	if [ "${CI:-}" = true ]; then
		exit 1
	fi
	echo "tests that need MinIO will be SKIPPED" >&2
	exit 0
fi
mv -f "$tmp/minio" "$file"
