// Package netpoll owns the broker's sockets: listeners, framing, the order of responses, and the memory of connections. It
// knows bytes and the 4-byte length prefix, nothing of Kafka.
//
//	     accept (package net) ──► event loop (gnet) ──► Handler.Frame, in place in the loop's read buffer
//	                                 │  ▲                  │
//	too large, or not served for now │  │ mailbox          │ Begin: a place in the order of responses
//	                                 ▼  │                  ▼
//	          goroutine (blocking reads, waits for memory) ──► Response: own bytes and references
//	                                                       │
//	   write poller ◄── socket full ── writev ◄────────────┘ Send, from any goroutine
//
// # Owner
//
// A connection has one owner: the event loop that reads it or, after a move, a goroutine of its own. The owner calls the
// Handler, which must not block. Everything else reaches the owner through the connection's mailbox: Resume, Execute, Close,
// and the news that there is room again.
//
// # Inbound
//
// Frames that are complete in the loop's read buffer are delivered there, without a copy. An incomplete rest goes to a buffer of
// the connection that grows as bytes arrive, never by the announced length: a peer that announces 90 MB and sends 100
// bytes costs 512 bytes. Beyond 8 KiB per connection such memory is charged to Options.InboundBytes (budget.go says how many
// large frames share a budget smaller than their sum, and never block each other).
//
// gnet cannot stop reading one connection. So one that piles up more than 1 MiB because it is not being served, or whose frame
// is above 4 MiB or finds no budget, is moved off its loop to a goroutine, which does not read while it waits (goroutine.go).
// Such a connection stays there; it costs a stack and is about as fast.
//
// What happens at the bounds: a connection that is held, has MaxInFlight responses outstanding or ConnOutboundBytes queued is
// not served, then not read, so TCP stops its peer. When memory is short, peers that sit on it without progress are closed after
// StallTimeout. A connection for whose bytes, already read, there is no room at all is closed (ErrMemory).
//
// # Outbound
//
// Begin takes a place, Send or Drop fills it, in any order and from any goroutine; bytes leave in the order of Begin. Whoever
// completes the first place writes, by one writev with all that is ready behind it. What is completed while the owner delivers
// frames, or while somebody writes, is taken along. gnet's write buffer has no bound and its AsyncWrite makes one system
// call and several allocations per response: it is not used. When the socket is full, the rest waits in our queue, by
// reference, for the write poller. A peer that takes nothing is closed after IdleTimeout, or after StallTimeout when all queued
// responses together are above three quarters of OutboundBytes: a handler that keeps to OutboundRoom never gets above all of it, and
// without that those who read would have to do with what those leave who do not.
//
// Lock order: outbound.io, outbound.mu, writePoller.mu. The other locks (mailbox, budget, loop, connections) are taken alone.
// Foreign code (Handler, Mem.Unref) is called without locks.
//
// # Measured
//
// 2 processors of a Xeon virtual machine shared by server and client process, Linux 6.18, Go 1.26, loopback, requests of 1 KB
// with one in flight per connection; median of three runs, time per request and p99. Other work ran on the machine: compare
// rows with each other, not with other machines (go test -run xxx -bench RoundTrip -benchtime 50000x -count 3):
//
//	who sends                          1 connection       16 connections     256 connections
//	the owner, in Frame                 9.9 µs    40 µs    6.3 µs   0.59 ms    6.9 µs   6.2 ms
//	another goroutine: Send            12.5 µs    55 µs    6.2 µs   0.33 ms    8.2 µs   4.9 ms
//	another goroutine wakes the owner  14.5 µs    54 µs    8.3 µs   0.46 ms   10.3 µs   7.3 ms
//	Send, 2 loops instead of 1         17.9 µs    60 µs    9.4 µs   0.98 ms    8.8 µs  12.4 ms
//	Send, connections on goroutines    17.1 µs    90 µs    9.1 µs   0.54 ms   13.5 µs  24.7 ms
//
// Hence Send writes on the goroutine that completes the response, and loops are half the processors. Neither path allocates
// (TestNoAllocations). An idle connection takes 0.9 KB of heap, 1.2 KB resident (TestIdleConnections). Frames
// of 100 KB and 1 MB go in at 5.9 and 2.4 GB/s, for 0.18 processor seconds of the server per GiB (-bench Ingest, one run). One flush writes at
// most 512 KiB on the sender's goroutine, some 100 µs; the write poller goes on from there.
//
// # gnet
//
// gnet v2.10 runs the event loops, as its client engine: connections are accepted by package net and enrolled. Its own listeners
// are not used because its acceptor ends the engine when accept(2) fails, out of descriptors for instance, cannot be stopped
// alone, and does not tell the port when asked for port 0. Connections of IPv6 addresses with a zone start on a goroutine: gnet
// hands the zone's string to a pool of scratch buffers. Everything that was read is taken in OnTraffic and nothing is written
// through gnet, so that its buffers stay empty.
//
// Not here: TLS. Its connections will run on goroutines (transport), where blocking reads through crypto/tls fit.
//
// # Files
//
//	api.go, options.go, stats.go   what callers see
//	server.go, accept.go           life of the server, accepting
//	conn.go                        a connection, its mailbox, its turns, its end
//	loop.go, goroutine.go          the two kinds of owner
//	inbound.go, buffer.go, budget.go   framing, what is kept, what it may cost
//	response.go, outbound.go, writepoller.go   responses and their way out
//	sweep.go, log.go               timeouts, rate-limited log lines
package netpoll
