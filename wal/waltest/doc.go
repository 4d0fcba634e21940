// Package waltest is a disk for tests that breaks the way disks break.
//
//	WriteAt ─► start event ─► (faults, interleaving) ─► end event      Mark ─► mark event      Flush ─► flush event
//	WriteVolatile: the same, but stable only by a flush that begins after its end: BeginFlush ─► start event, End ─► end event
//	                     └──────────── history, one total order ─────────────┘
//	                                       │
//	                             Crash(at event i) ─► a new Disk
//
// A Disk lives in memory and remembers every write as two events, its start and its end, beside marks that the test sets (record 17 was
// acknowledged). After the run the test crashes the disk at any event of the history, as often as it likes: writes that had
// ended are there; of each write that had started, nothing, everything, or any set of its sectors is there. Killed processes and power
// failures differ: after a kill, reads show what the device's cache holds, which a later power failure may still take away unless
// Flush came first.
//
// Faults are injected by Disk.OnWrite, per write:
//
//	lost         success is returned, nothing is stored
//	stale        success is returned and reads show it, until power fails: then the older content is back
//	misdirected  it is stored elsewhere
//	flipped      one bit of it is stored inverted
//	short        part of it is stored, and that many bytes are reported
//	failing      the error (EIO, ENOSPC, any) is returned; none, part or all of it is stored
//	vanishing    from this write on every call fails, reads and writes under way too, until Reopen
//
// Disk.OnFlush fails or loses flushes, Disk.OnRead fails reads. Torn and reordered writes need no injection: they are what a crash leaves of writes under way, chosen at random
// (PowerFailure) or sector by sector (PowerFailureKeeping). A caller that wants to say itself which write ends when uses Begin and End.
//
// Pictures share their pages: a crash costs a slice of pointers, not a copy of the disk.
package waltest
