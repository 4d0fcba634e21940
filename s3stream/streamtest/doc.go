// Package streamtest has what tests of streams need and the product does not: an in-memory Metadata with the exact rules of the quorum.
//
// A Cluster is the state that all nodes share and that survives their crashes; Cluster.Node gives the view of one incarnation of one node, which
// is an s3stream.Metadata. Beside the rules it checks what only a test can afford: that a compaction covers what it replaces. Faults
// are injected per call, before or after the call takes effect.
package streamtest
