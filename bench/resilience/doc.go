// Package resilience shows, with the server and MinIO as processes, what a node does when what it stands on fails: the object store stops, the
// WAL or a disk is full, the process is killed in the middle of its background work, clients misbehave in thousands. Everything is seen
// through the Kafka protocol, the bucket, /proc and the server's log; the package has tests only.
//
//	harness_test.go    nodes, MinIO, loads, memory samples, log lines
//	outage_test.go     MinIO stopped and killed under load
//	walfull_test.go    the WAL is full while the object store is away
//	device_test.go     the WAL on a raw block device
//	faildevice_test.go a block device under the WAL that fails in the kernel
//	million_test.go    a million records of Java's perf tool, read three times: from memory, after a restart, from MinIO
//	peers_test.go      thousands of connections that announce much and send little, or nothing
//	churn_test.go      kills in the middle of uploads, compactions and deletions
//	fulldisk_test.go   no space under the WAL, the metadata, the object store
//	retention_test.go  retention and deletion free space in the bucket
//
// Each subject has a short form for every run of the tests, and a long one, TestSoak…, which runs when RINGMQ_SOAK is set. What is not allowed on
// a machine (loop devices, mounts) is skipped, and the skip says so. Kills under load, many of them: bench/crash.
package resilience
