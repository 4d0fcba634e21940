// Package record defines the typed records of the metadata log and their binary form.
//
// A record is a kind, a version and fields. The log holds them in batches, one batch per raft entry, applied as a whole; a snapshot
// is a sequence of records too. FORMAT.md beside this file gives every layout. A kind or version that this package does not know is an
// ErrUnknown: the node that meets one must stop, because skipping it would make its image differ from everybody else's.
package record
