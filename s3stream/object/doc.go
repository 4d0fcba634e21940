// Package object is the format of RingMQ's objects: what a bucket holds of streams.
//
//	Writer.Append ──► data blocks (one stream each) ──► parts of 16 MiB, in parallel ──► bucket
//	Writer.Checkpoint, Finish ──► checkpoints, index, footer: the last part, then complete
//
//	Open ──► footer, index (one request) ──► Index.Find / FindTime ──► ReadBlock ──► Block.Cut: many records, one slice
//
//	Compose: blocks of several objects ──► server-side copy where parts are large enough, read and sent again elsewhere ──► one object
//
// An object is immutable and becomes visible as a whole. Every byte of it is covered by a CRC32C that every read checks. The payloads
// of a data block lie back to back, so that a block of Kafka record batches is served as one slice. The format, bit by bit: FORMAT.md.
//
// The package knows no Kafka, no WAL and no metadata: which objects exist and which offsets of them count, the caller knows. A
// crash in the middle of a write leaves nothing but an unfinished multipart upload.
//
//	format.go    sizes, limits, errors, the types of records and entries
//	index.go     index block and footer: lookups, encoding, decoding
//	block.go     data blocks and checkpoint blocks: encoding, decoding, cutting
//	writer.go    Writer
//	uploader.go  one Put or a multipart upload: parts in parallel, a slow one sent twice, clean-up
//	reader.go    Reader
//	compose.go   Compose, Merge: what is copied and what is read, reading ahead
//	chunkmem.go  the memory of what Compose reads
//	dump.go      Dump, which goes on past damage
//	edit.go      objects out of objects, record by record
//	key.go       names of objects in the bucket
package object
