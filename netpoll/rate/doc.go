// Package rate measures how fast something happens, and says how long to wait when it is faster than allowed. It is a leaf: it knows no
// connection and no clock; times are milliseconds that the caller gives, which must not go back.
//
//	Windowed   a rate over the last n windows, as Kafka measures byte rates, request times and connections
//	Bucket     tokens that come back at a rate, as Kafka measures changes of the metadata
//
// The values are those of Kafka's org.apache.kafka.common.metrics.stats.Rate and TokenBucket, so that a limit has the same effect here as
// there: what is above it is paid for by a wait after it has happened. Nothing in this package locks.
package rate
