#!/bin/sh
# need-package.sh COMMAND PACKAGE: installs a Debian package when the command is missing. Where that is not possible the tests that need it
# are skipped, unless CI=true.
set -eu
command=$1 package=$2
command -v "$command" >/dev/null 2>&1 && exit 0

sudo=
if [ "$(id -u)" != 0 ]; then
	sudo="sudo -n"
fi
if command -v apt-get >/dev/null 2>&1; then
	echo "installing $package" >&2
	log=$(mktemp)
	trap 'rm -f "$log"' EXIT
	if { $sudo apt-get install -y -q --no-install-recommends "$package" ||
		{ $sudo apt-get update -q && $sudo apt-get install -y -q --no-install-recommends "$package"; }; } >"$log" 2>&1 </dev/null; then
		exit 0
	fi
	tail -n 3 "$log" >&2
fi
echo "$command is missing and could not be installed: install it with your system's packages (Debian: apt-get install $package)" >&2
if [ "${CI:-}" = true ]; then
	exit 1
fi
echo "tests that need $command will be SKIPPED" >&2
