// Package assignor distributes the partitions of topics among the members of a consumer group, as Kafka's server side assignors do.
//
//	uniform   as even as the subscriptions allow, over all topics, and sticky: what a member has it keeps as long as that does not
//	          make the result uneven
//	range     topic by topic, in contiguous ranges over the members in their order; topics with as many partitions and subscribers
//	          are co-partitioned; not sticky
//
// Racks are not looked at: a partition of this log is as near to one reader as to another. The functions are pure: no clock, no
// randomness, no state; equal input gives equal output. They keep nothing of their input, and share with their output what did
// not change: an Assignment is never modified once it is made.
package assignor
