// Package resilience shows, with servers and MinIO as processes, what a node or a cluster does when what it stands on fails: the object store stops, the
// WAL or a disk is full, the process is killed in the middle of its background work, clients misbehave in thousands. Everything is seen
// through the Kafka protocol, the bucket, /proc and the server's log; the package has tests only.
//
//	harness_test.go    nodes, MinIO, loads, memory samples, log lines
//	outage_test.go     MinIO stopped and killed under load
//	laterminio_test.go MinIO starts later than the broker, or not at all
//	walfull_test.go    the WAL is full while the object store is away
//	device_test.go     the WAL on a raw block device
//	faildevice_test.go a block device under the WAL that fails in the kernel
//	million_test.go    a million records of Java's perf tool, read three times: from memory, after a restart, from MinIO
//	peers_test.go      thousands of connections that announce much and send little, or nothing
//	churn_test.go      kills in the middle of uploads, compactions and deletions
//	fulldisk_test.go   no space under the WAL, the metadata, the object store
//	retention_test.go  retention and deletion free space in the bucket
//	rescuekill_test.go a rescue of a dead broker's log that is killed at each of its steps
//	cluster_test.go    a cluster on hosts of its own (package lab): kills, power loss, cuts, pauses, restarts under verified load
//	clustermoves_test.go  partitions that move, alone and while nodes fail
//	groups_test.go     a consumer group through kills and moves of its coordinator
//	levelafter_test.go brokers that are restarted get partitions again: by the balancer, or once it is switched on
//	clusterchaos_test.go  random faults, several at a time, from a seed
//
// Each subject has a short form for every run of the tests, and a long one, TestSoak…, which runs when RINGMQ_SOAK is set. What is not allowed on
// a machine (loop devices, mounts, network namespaces) is skipped, and the skip says so. Kills under load, many of them: bench/crash.
package resilience
