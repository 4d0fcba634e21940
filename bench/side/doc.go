// Package side runs RingMQ and Apache Kafka one after the other on one machine, drives both with the same clients, and writes what came out
// beside each other: values, ratios, and the distance to what the device itself can do.
//
//	for each round, for each target (in turns, so that no one is always first):
//	    fresh directory ─► start ─► cases in order ─► stop ─► remove, sync
//	                                 │
//	                                 ├─ probe, load, floor: programs of this repository, as processes
//	                                 ├─ Kafka's own Java tools
//	                                 └─ around each: processor time and disk bytes of the server, steal time of the machine
//	    and for each case that needs other settings or leaves much behind (partitions, fairness, minio-load): the same with a server of its own
//	─► side.json (everything raw), side.md (goals, the table, the device)
//
// Rules that keep it honest: one server at a time; the same payload sizes, partitions and client settings for all; servers with their
// defaults except for what Settings lists in the output; probes and load generators warm up before they count, the Java tools do not (their
// own start is in their numbers, for every server); every processor second of the server's process counts, all threads, but not what the
// kernel does for it in threads of its own, such as writing back Kafka's page cache; MB are MiB as Kafka's tools have it; a case that fails
// is shown as failed, with its reason. Ratios are made within a round, and then their median is taken.
//
// Targets may be run in variants, NAME@LABEL, with another binary or other settings: before and after a change take turns (variant.go).
//
// A Runner is for one goroutine. Everything that it starts ends with its context.
package side
