// Package sharegroup is the state of one share group (KIP-932) as its coordinator has it: the members, which partitions each of them reads, and of which
// partitions the group has a state at the share coordinator. The coordinator (package group) brings the clock, the log and the timers.
//
//	heartbeat ──► subscription ──► group epoch ──► target assignment ──► the member has it at once ──► answer
//	                  │                 ▲
//	                  ▼                 └── +1 when partitions are ready that nobody has
//	            partitions without a state: initializing ──► (share coordinator) ──► initialized
//
// A partition may have many members, and nobody has to give it up before another may have it: there is no reconciliation. A partition is assigned when its
// state is initialized, so that the broker that leads it finds one.
//
// As in package consumer the methods change memory at once and note which records that makes stale; what a method answers may be sent when those are
// durable. A Group is not safe for concurrent use.
//
//	group.go      members, heartbeats, epochs      assign.go     who reads what
//	partitions.go states of partitions             records.go    formats (../FORMAT.md), replay
package sharegroup
