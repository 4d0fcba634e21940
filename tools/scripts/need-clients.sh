#!/bin/sh
# need-clients.sh: installs the client libraries of tools/clients at their pinned versions into the cache, once: a Python environment, node modules and the Go
# programs. Each is kept under a key of what it was made from, which it prints as "python=DIR", "node=DIR" and "go=DIR". What cannot be installed is said on standard
# error and left out; with CI=true that ends it.
set -eu
cd "$(dirname "$0")/../.."
cache=${RINGMQ_CACHE:-$HOME/.cache/ringmq}/clients go=${GO:-go}
mkdir -p "$cache"
exec 9>"$cache/lock"
if command -v flock >/dev/null 2>&1; then
	flock 9
fi

key() { cat "$@" | sha256sum | cut -c 1-12; }

lacking() {
	echo "$1: its tests will be SKIPPED" >&2
	[ "${CI:-}" != true ]
}

# install NAME KEY: runs make_NAME in a new directory, which then gets its final name.
install() {
	dir=$cache/$1-$2
	if [ ! -d "$dir" ]; then
		rm -rf "$cache/$1.tmp"
		mkdir "$cache/$1.tmp"
		if ! "make_$1" "$cache/$1.tmp" >"$cache/$1.log" 2>&1; then
			tail -n 5 "$cache/$1.log" >&2
			lacking "$1 could not be installed (log: $cache/$1.log)"
			return
		fi
		mv "$cache/$1.tmp" "$dir"
	fi
	echo "$1=$dir"
}

make_python() {
	# A directory of packages and not a virtual environment: it can be renamed.
	python3 -m pip --version || tools/scripts/need-package.sh pip3 python3-pip
	python3 -m pip install -q --disable-pip-version-check --only-binary=:all: --target "$1" -r tools/clients/python/requirements.txt
}

make_node() {
	cp tools/clients/node/package.json tools/clients/node/package-lock.json "$1"
	(cd "$1" && npm ci --no-audit --no-fund --ignore-scripts)
}

make_go() {
	(cd tools/clients/go && GOFLAGS=-mod=readonly "$go" build -o "$1/" ./...)
}

tools/scripts/need-package.sh python3 python3 >&2
tools/scripts/need-package.sh npm npm >&2
tools/scripts/need-package.sh javac default-jdk-headless >&2
install python "$({ python3 -V; cat tools/clients/python/requirements.txt; } | key)"
install node "$(key tools/clients/node/package.json tools/clients/node/package-lock.json)"
install go "$(find tools/clients/go -type f | LC_ALL=C sort | xargs cat | key)"
