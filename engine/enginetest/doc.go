// Package enginetest runs a whole node inside a test: metadata quorum, WAL on a file, object store in a directory or wherever the test
// says, listeners on free ports of the loopback address.
package enginetest
