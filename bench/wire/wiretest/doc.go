// Package wiretest is a Kafka broker for tests of load generators: one topic name is as good as another, partitions are lists of batches in
// memory, and faults are switched on by hand: a broker that stalls, answers with an error code, or loses what it acknowledged. It serves
// exactly the versions that package wire speaks.
package wiretest
