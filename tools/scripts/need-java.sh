#!/bin/sh
# need-java.sh: makes sure that Kafka's Java tools can run, and programs be compiled: a Java development kit, and the artifacts in the cache. Where that
# is not possible the tests that need them are skipped, unless CI=true.
set -eu
cd "$(dirname "$0")/../.."
need=tools/scripts/need-package.sh go=${GO:-go}
if ! command -v java >/dev/null 2>&1 && [ -z "${JAVA_HOME:-}" ]; then
	"$need" java default-jdk-headless
fi
[ -n "${JAVA_HOME:-}" ] || "$need" javac default-jdk-headless
# Maven is needed only until the class path is cached.
if ! "$go" run ./tools/javakit/kafkatool resolve 2>/dev/null; then
	"$need" mvn maven
	if ! "$go" run ./tools/javakit/kafkatool resolve; then
		if [ "${CI:-}" = true ]; then
			exit 1
		fi
		echo "JAVA TESTS WILL BE SKIPPED" >&2
	fi
fi
