// Package javakit runs the Java side of tests and comparisons: Kafka's own command line tools, and a whole Apache Kafka broker.
//
//	pom.xml ──► mvn dependency:build-classpath (once) ──► ~/.cache/ringmq/java/<key>.cp ──► java -cp … org.apache.kafka.tools.…
//
// The class path is resolved by Maven from the repositories that it is configured for, and cached under a key that changes with the list of
// artifacts; afterwards neither Maven nor a network is needed. Several processes may resolve at the same time: the first one does, under a
// file lock.
//
// ForTest skips a test on a machine without Java, saying so, unless CI=true: there Java must exist. A Kit is immutable and may be used
// from any goroutine. Processes that it starts end with their context, and with this process even when it is killed.
package javakit
