// Package proc runs the servers of benchmarks and crash tests as processes of their own: RingMQ from its binary, MinIO beside it.
// Processes are killed for good when their test or benchmark ends.
package proc
