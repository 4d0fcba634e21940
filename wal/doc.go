// Package wal is the broker's local write-ahead log: records in, durable on one device, in order.
//
//	Append ──► open block ──► sealed ──► commit goroutine ──► io_uring ──► device (O_DIRECT; O_DSYNC, RWF_DSYNC or fdatasync)
//	   │      (caller copies)  (FIFO)     own OS thread                      │
//	   │                                        ◄────────── completion ──────┘
//	   └── Entry: the same bytes       Completion.Durable(pos, err), in append order
//
// It knows nothing of Kafka or streams. A record is durable when Durable is called with a nil error, not before: then its block and every
// block before it are on stable storage. The first failed or short write stops the log: everything not durable gets ErrFailed, later
// calls return it, nothing is retried. FORMAT.md has the layout and the rules of recovery.
//
// # Group commit
//
// There are no timers. An idle log submits at once. While a write is in flight, records gather in the open block until it completes, or until
// they are Options.GatherBytes, which go beside it as long as fewer than Options.QueueDepth writes are: each write costs a flush on a device
// with a volatile cache, and on one without it the wait is short.
//
// To be durable is one thing, to be acknowledged another: Options.Hold keeps completions back, in order, until Log.Release has it asked again.
//
// # Which way to durability
//
// Blocks are made durable by one of three methods (SyncMethod): O_DSYNC, RWF_DSYNC with each write, or writes to the device's cache and an fdatasync, one
// for all blocks that are written by then. None is the fastest everywhere, so the target remembers a choice, in a page of its own (FORMAT.md, Note).
// Format measures all three for 75 ms on zeroes between the superblocks, one page at a time. A log that was made by its first opening must not wait: it
// begins with O_DSYNC, is measured when nothing was appended for a second and its file is prepared, and the next opening uses the result. A log that is never idle
// keeps O_DSYNC. Another method is taken only when its median is more than 5 % lower, its p99 at most 10 % higher, and it wins two turns of three
// against O_DSYNC. On another disk than the one that was measured the choice does not count. Options.Sync goes before it.
//
// A write at a time is what is measured, not a loaded log: there fdatasync may win where it loses here, since one flush serves all blocks that are
// written (BENCHMARKS.md of the repository, "Ways to durability").
//
// Without a volatile write cache O_DIRECT alone would be durable on a block device, and is not offered: there the kernel leaves the flush out by
// itself, so nothing would be won, and what it tells of the cache may be wrong; in a file, the file system's journal has to be written anyway.
//
// # Threads
//
// Append, Trim, ReadBlock, Next, Release and Stats are safe from any goroutine; Append, Trim, Next and Stats never block on the device. Open,
// Recover and Close belong to the owner. Completions and OnFailure run on the commit goroutine; OnSpace runs there, and on the goroutine that prepares
// a new file until it is written or the log closes. The commit goroutine is locked to an OS thread, which
// owns the ring. It sleeps on a futex when nothing is in flight, else in io_uring_enter, where an eventfd wakes it; an appender pays for
// that system call only when it sleeps and would submit now. An event loop that waits in epoll is woken from a completion just as directly: no Go scheduling lies between (see
// BenchmarkEventLoop). A thread that returns from a system call needs a P: give the process GOMAXPROCS = cores + 3, so that a busy
// scheduler does not make the ring wait.
//
// What the thread of its own costs: the medians of three interleaved runs, 1 KB in a block of 4 KiB, one in flight, a file on ext4, 2 processors
// (go test -bench Floor ./wal/internal/uring, -bench 'Latency|EventLoop' ./wal):
//
//	submitted and waited for on one thread, no log (io_uring)      100 µs
//	through the log, the appender waits in a system call           122 µs   its event loop; 183 µs with the pool of pwrite calls
//	through the log, the appender waits on a Go channel            160 µs   143 µs with the pool
//
// So to submit from the appender could save 22 µs at most, and would take a ring per event loop or a lock, and gnet's poller to wait for the ring: it has no
// way to add a descriptor. With every P busy beside it the same path has a median of 151 µs, the pool of pwrite calls 356.
//
// Lock order: scratch, then Log.mu, then pool.mu; the commit goroutine calls back with none of them held. Nothing is read or written
// under a lock.
//
// # Memory
//
// Blocks are carved from chunks of about 1 MiB outside the Go heap, registered with the ring when they are first written from. An Entry shows the
// block's own bytes and holds a reference on its chunk; a chunk returns when nothing refers to it. Records above 1 MiB get a mapping
// of their own. All of it counts against Options.MemoryBytes; beyond it Append returns ErrNoMemory, and OnSpace tells when to
// come back. Free chunks go back to the kernel when they were not needed for some seconds.
//
// # What is assumed of the device
//
// A write that returned through O_DSYNC or RWF_DSYNC survives power loss, and so does one that had returned before a flush began that has ended.
// A write that did not return may have stored any of its sectors. Sectors
// that were not written do not change. Everything read is checksummed, so a device that breaks these rules is found out, except
// when it loses the last blocks before an unclean end: no later block testifies to them. What the kernel tells of the disk's write cache is logged at
// every opening; it decides nothing, durability is asked for anyway.
//
// # When the device fails
//
// At the first write or flush that fails, is short, or whose device is gone, the log stops at once: Append and Trim return ErrFailed, no write is submitted any
// more (the commit goroutine panics if it tries), OnFailure is told, and then the completions. Those of blocks before the failed one in log
// order still get nil when they are durable, that is when their own write has succeeded, and by SyncFdatasync a flush that was under way; everything
// else gets ErrFailed. A flush is never tried again: the kernel tells of a lost write once.
//
// # How that is tested
//
// honest_test.go and lying_test.go tell random histories of a disk with every fault that waltest has, on one goroutine, and compare with a model;
// witness_test.go reads FORMAT.md independently to say what must be detected. exhaustive_test.go takes a small history to every crash point with every
// combination of sectors, rest_test.go damages every sector of an image at rest. crash_test.go does the same with goroutines, child_test.go
// with killed processes. make soak-wal tells 100,000 histories of both kinds.
//
// # Files
//
//	api.go, options.go        the interface                 log.go          Open, Trim, Stats, Close
//	append.go, block.go       appenders' side               commit.go       commit goroutine; super.go: trims
//	backend_uring.go          io_uring; internal/uring      backend_pwrite.go   pool of pwrite calls
//	recover.go, scan.go       recovery, chain rules         readahead.go, readblock.go   reading
//	format.go, bitmap.go      encodings; block starts       memory.go       chunks and budget
//	sync.go, trial.go         ways to durability: what a target remembers, and how they are measured
//	device.go, create.go      targets, creation             probe.go        what a foreign target holds
//	hardware.go               the disk under a target        latency.go   histograms for Latencies
//	prepare.go, holes.go      zeroes in a new file, behind the first appends
//	resize.go                 another capacity
//	inspect.go, bench.go      tools                         waltest/        a disk that crashes
package wal
