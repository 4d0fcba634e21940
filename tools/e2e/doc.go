// Package e2e tests the binary as its users have it: a process with a configuration, real clients around it, signals to stop it.
//
// Clusters are processes on loopback addresses of their own, started by what the generators of automq-kafka-admin.sh print; the walk-through of
// tools/WALKTHROUGH.md is run from its page.
//
// The clients are Kafka's own Java tools (through tools/javakit) and kcat; the stores are a directory and a MinIO process. Tests of behaviour
// that need no process belong to engine; what is here shows that the pieces fit and that the tools which people use are content. The binary is
// $RINGMQ_BINARY, or built once per run.
package e2e
