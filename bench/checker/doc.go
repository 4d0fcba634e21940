// Package checker judges what clients of a broker saw, in the manner of Jepsen's workload for Kafka: it takes a history of their operations, and finds
// what no correct broker can have done. It knows nothing of brokers and clients; package workload writes such histories, and tests write them by hand.
//
//	clients ──► Recorder ──► history (JSON lines) ──► Read ──► Analyze ──► Report
//
// Every record that is sent has a value that no other has, so that a value tells where it came from. A history ends with a final read of every
// partition, from the start to the end, by a reader of all records and one of committed ones: that is the log that all else is compared with.
//
//	lost                a record was acknowledged, or its transaction committed, and the final read passes over it
//	unseen              the same, and the final read does not get that far
//	duplicate           one value at two offsets
//	inconsistent        two values at one offset, or another value at the offset of an acknowledgement
//	reordered           records of a producer in a partition in another order than they were sent in
//	refused-read        a record that was refused is in the log
//	aborted-read        (G1a) a reader of committed records saw one of an aborted transaction
//	early-read          (G1a) it saw one of a transaction before anybody asked to commit it
//	partial             (G1b) a part of a transaction is committed
//	internal            a transaction that reads committed records has read its own
//	cycle               (G1c) transactions have read from each other in a circle
//	consumed-twice      two committed transactions took the same record, and committed the offset behind it
//	non-monotonic       within an assignment the offsets that a consumer got did not ascend
//	skipped             within an assignment a consumer passed over a record that it had to see
//
// An operation whose outcome its client does not know may have happened or not; whatever was seen of it counts, and nothing that was not.
package checker
