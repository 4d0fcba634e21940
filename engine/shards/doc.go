// Package shards holds what a coordinator keeps for each partition of its internal topic that this broker leads: groups for __consumer_offsets,
// transactions for __transaction_state. A shard comes with the election of the broker, with the leader epoch as its age, and goes with the loss of the
// partition. Looking one up takes no lock. All methods may be called from any goroutine; only Load blocks, while it replays.
package shards
