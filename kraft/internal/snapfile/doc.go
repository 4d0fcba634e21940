// Package snapfile reads and writes snapshot files: the records of an image, in chunks that each carry a checksum.
//
// A file is written beside its final name, synced, renamed, and the directory synced: a file that has its final name is complete.
// Layout: FORMAT.md.
package snapfile
