// Package s3stream keeps streams: ordered logs addressed by offset, made durable by a local write-ahead log and kept in an object store.
//
//	Stream.Append ──► wal.Append ──► Durable ──► Confirmed, Owner.Confirmed, Done.Appended      (producers)
//	                      │
//	                      ▼ the same bytes
//	Stream.Read ◄──── log cache: tails of parts of entries, by segment                          (tail readers)
//	                      │ segment full, old, or WAL filling up
//	                      ▼
//	                  uploader ──► objects ──► one commit ──► WAL trim ──► evictable
//	                                  │
//	Stream.ReadCold ◄── block cache ◄─┘ ◄── compactor, sweeper
//
// It knows no Kafka: a record is a payload that covers a run of offsets and has a largest time stamp. One node writes a stream at a time,
// with an epoch that the metadata grants and that fences earlier ones.
//
// # What is durable when
//
// A record is durable when Done.Appended is called with nil; Stream.Confirmed has moved past it by then. It stays so through any crash of the
// process: it is in the WAL until a commit has made an object that holds it part of its stream, and the WAL is trimmed only behind commits, which
// happen in WAL order. A failure of the WAL's device ends the Storage (ErrFailed, Options.OnFailure); a failure of the object store ends
// nothing: uploads are repeated until they succeed, while the WAL fills. Only when it is full appends are refused (ErrFull), and
// Options.OnSpace tells when to go on.
//
// # Checkpoints
//
// With each upload of a stream goes a state of its owner, taken at an offset C at or behind the end of what is uploaded. The commit waits until the
// WAL has everything below C. So whoever opens the stream gets C and the state, and the records from C on, and need not read anything else. The
// object with the highest end offset of a stream always has the newest state; compaction carries it along. Records that are found in the
// WAL and whose stream nobody opens within TailGrace are uploaded with the state that was there before; the records behind it are then replayed
// from objects.
//
// # From node to node
//
// A stream that is open goes to another node without waiting for the object store: HandOver on the one, TakeOverStream on the other, Disown on the first when the
// metadata shows the new owner (handover.go). The tail is durable on both before the owner changes; until then it belongs to the first.
//
// # Memory
//
// An entry of the log cache refers to the WAL's own memory. The distance in WAL positions between the oldest entry in memory and the end of the WAL is
// bounded: uploaded records leave memory and index, oldest first, when it exceeds three quarters of the WAL's memory budget; records that are not uploaded
// leave only memory, beyond seven eighths, and are read back from the device block by block. Beside that: entries (80 bytes per record in memory, per block on the device; at most a
// quarter of the budget for uploaded records), the block cache, the index cache, one segment while it is read back for upload, and what the
// writers of objects have in flight.
//
// # Threads and locks
//
// Append, Read, Confirmed, Start and Prefetch never wait for I/O and may be called on event loops. Everything with a context may wait. Completions run
// on the WAL's goroutine. Background goroutines: keeper (seals segments, keeps memory in bounds), uploader, compactors, sweepers, and one per
// request of a cold read. Close waits for all of them.
//
// Lock order, outermost first; no I/O under any of them, and no call of an Owner or a Done but Owner.Confirmed and Done.Appended, which run without:
//
//	the owner's own lock (Append is called with it)
//	Storage.relieving    held to take memory away and to pin segments; never by Append or Read
//	Storage.turn         shared by appends; exclusive to change segments
//	Storage.streams      the map of tails
//	tail.mu              one stream's part of the log cache
//	segment.mu, Storage.segments, blockCache.mu, indexCache.mu, notifier.mu, logLimiter.mu, claims.mu: leaves
//
// compactor.mu and sweeper.mu are held during I/O, by background work only; so are claims on objects (claims.go), which are no locks: who does not get
// them, goes on to something else or waits without any lock.
//
// # Files
//
//	api.go, options.go, stats.go            what others see
//	storage.go, stream.go, close.go         life cycle
//	record.go                               the head of a WAL record (FORMAT.md)
//	append.go, read.go                      the hot paths
//	tail.go, segment.go, keeper.go          the log cache
//	recover.go, digest.go, open.go, scan.go recovery, opening, replay; checkpoint.go: the state of an owner
//	handover.go                             from node to node
//	uploader.go, uploadplan.go, uploadwrite.go, uploadcommit.go; uploadpace.go, pace.go: not faster than needed
//	cold.go, readahead.go, blockcache.go, indexcache.go, deviceblock.go
//	retention.go, lookup.go                 trimming, sizes, search by time
//	compactor.go, compactsets.go, compactstreams.go, compactwindow.go, sweeper.go
//	rewrite.go                              log compaction: a stream through an Editor
//	notify.go, loglimit.go                  helpers
//
// # Holes
//
// A stream's ranges in the metadata follow each other without gaps; the records in them need not. What an Editor drops (Stream.Rewrite) leaves a hole, which readers pass
// over: a read at an offset in a hole begins with the first record behind it. Each object keeps at least one record. Only what is in objects is rewritten, and what
// has been is read from there: the log cache has it as it was.
//
// It does not replicate, does not compress, does not look into payloads, and knows no keys: those who compact by key are Editors.
package s3stream
