// Package clienttest runs real clients against a node: Kafka's own Java tools, and kcat. The Go client franz-go has its tests beside the
// engine. Each test runs on the embedded default (a directory as object store) and on a real MinIO.
package clienttest
