// Package uring is a narrow adapter over giouring: only what a write-ahead log needs, and none of giouring's helpers that are known
// to be broken.
//
//	Write ─┐                         ┌─► Next (user data, result), one by one
//	Nop   ─┼─► SQ ─► Enter(wait) ─► CQ
//	eventfd READ (always armed) ─────┴─► swallowed here: it only ends a wait
//
// One OS thread creates the ring and makes every call except Wake: the ring is set up with SINGLE_ISSUER and DEFER_TASKRUN where the
// kernel has them, and those bind it to its thread. The caller locks its goroutine to the thread and never unlocks it.
//
// What is worked around, and why:
//
//   - giouring's GetSQE and prepareRW leave rw_flags and addr3 of the slot's former use in place. After the queue wraps, a WRITE behind an
//     FSYNC(DATASYNC) fails with EINVAL. Here the whole 64-byte entry is zeroed on get.
//   - The timeout helpers store the address of a pointer or of the stack. Nothing here takes a timeout: the wait ends by a completion
//     or by Wake.
//   - PeekBatchCQE walks past what is ready. Completions are read one at a time.
//   - RegisterFiles passes 64-bit descriptors and drops the error, RegisterBuffersUpdateTag keeps nothing alive. Both go through
//     Ring.Register with memory that the garbage collector neither moves nor owns.
//   - giouring pulls syscall.mmap by linkname: programs link with -ldflags=-checklinkname=0.
//
// Buffers are off the Go heap: a submission holds an integer, which the garbage collector does not see. A buffer belongs to the kernel from
// Write until its completion was returned by Next.
package uring
