// Package s3test is what tests of object storage share.
//
//	TestBucket   the suite that every objstore.Bucket passes: memory, directory, MinIO
//	Faults       a Bucket around another one that fails, delays, loses answers and counts requests, from one seed
//	StartMinIO   a real MinIO server on a free port for one test
package s3test
