// Package consumer is the state of one consumer group of the newer protocol (KIP-848): its members, who is to have which partition,
// and who has it. The coordinator (package group) brings the clock, the log and the timers.
//
//	heartbeat ──► subscription ──► group epoch ──► target assignment ──► reconciliation ──► answer
//	              (member, regex)  +1 when it      computed for an        of this member with
//	                               changes         epoch, all members     the target
//
// Three epochs: the group's grows with every change of members, subscriptions or topics; the assignment's is the group epoch that
// the target assignment was computed for; a member's is the assignment epoch that it has reached.
//
//	              target is new, partitions to give up
//	Stable ─────────────────────────────────────────────► Unrevoked
//	 ▲  │  target is new, something is not free yet           │ the member says that it gave them up
//	 │  └───────────────► Unreleased ◄────────────────────────┤
//	 └────────────────────────┴───────────────────────────────┘
//	    what it waited for is free
//
// The invariant: a partition has at most one owner. An owner is a member that has it assigned or has not said that it gave it up;
// nobody else is assigned it before that, or before the member is removed.
//
// A Group is not safe for concurrent use. Its methods change memory at once and note which records that makes stale (TakeRecords);
// what a method answers may be sent when those are durable, and not before. When they cannot be written, Unsaved notes them again:
// the records of a later change then are what memory says by then, so that the log catches up and memory need not go back.
//
//	group.go      the group, its indexes     member.go     a member, what it owns      heartbeat.go   requests of members
//	reconcile.go  the state machine above    target.go     the target assignment       regex.go       subscriptions by expression
//	classic.go    members of the classic protocol, groups that change over             describe.go    what is shown
//	records.go    formats (../FORMAT.md)     apply.go      replay
package consumer
