// Package differ asks two brokers the same questions and compares their answers, field by field.
//
//	generate.go   requests of every API and version, filled from a vocabulary of ordinary, odd and wrong values; the seed decides
//	hostile.go    frames that are no requests: cut off, too long, of unknown APIs and versions
//	side.go       one broker: connections, names that each broker gives itself (topic ids), repetition while it is not ready
//	flatten.go    an answer as fields with paths, without what must differ (ids, times, addresses, texts)
//	allowed.go    the differences that are meant, each with its reason
//
// The test runs Apache Kafka and RingMQ side by side. A difference that is not in the list is a failure, and so is an entry of the list that no answer
// needs any more. Arrays are compared as sets, by the key of their elements: Kafka's own order is that of hash maps.
package differ
