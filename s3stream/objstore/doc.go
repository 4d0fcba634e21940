// Package objstore is the object store behind streams: one small interface, Bucket, and three implementations.
//
//	"s3"    MinIO, AWS S3 and whatever speaks their protocol, through minio-go
//	"file"  a directory: the embedded default of a single node
//	"mem"   this process's memory, for tests
//
// All three keep the same rules (package s3test holds the suite that they share): an object appears whole or not at all, a Put that
// returned nil is durable and visible to every reader, parts of a multipart upload have at least 5 MiB except the last one. Errors are classified so
// that a caller knows whether to retry, to wait or to tell the operator, and Remedy says what the operator can do.
//
// Each call has a deadline and a stated retry rule (Config). All calls are safe to repeat. The package knows nothing of what the objects mean,
// except for the marker object that says which cluster owns the bucket (Claim).
package objstore
