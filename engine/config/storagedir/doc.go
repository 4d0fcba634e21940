// Package storagedir gives a node's directories their identity, and refuses those of another cluster or node.
//
//	log.dirs ──► lock (.lock) ──► read meta.properties ──┬── all agree with cluster.id and node.id ──► use
//	                                                     ├── none anywhere: choose a cluster id, write them
//	                                                     ├── some: write the missing ones
//	                                                     └── anything else: refuse, naming the directory
//
// The file is Kafka's meta.properties, version 1: cluster.id, node.id, directory.id. It is written beside its place, synced and renamed,
// so that after a crash it is there whole or not at all. A directory without meta.properties must be empty: what is in it would belong to
// an identity that nobody knows. The locks last until Close; a second process on the same directory is refused.
//
// The package does not look into the write-ahead log, the metadata log or a bucket; those carry the cluster id themselves.
package storagedir
