// Package proc runs the servers of benchmarks and crash tests as processes of their own: RingMQ from its binary, Apache Kafka, MinIO, and a loop device.
// Processes are killed for good when their test or benchmark ends.
package proc
