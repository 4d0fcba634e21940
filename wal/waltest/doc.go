// Package waltest is a disk for tests that breaks the way disks break.
//
//	WriteAt ─► start event ─► (faults, interleaving) ─► end event      Mark ─► mark event      Flush ─► flush event
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
// Faults are injected by Disk.OnWrite: errors, short writes, lost, misdirected and flipped writes.
package waltest
