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
// A handler may have a connection not served for a time (Conn.Mute), whatever is in flight: quotas are enforced so.
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
// # TLS
//
// Connections of an Endpoint with TLS are on goroutines from the beginning, since gnet has no TLS. The goroutine does the handshake, within
// HandshakeTimeout, and then reads through crypto/tls, whose socket never blocks: "nothing to read" is a temporary error, after which
// crypto/tls goes on in the middle of a record. Responses take the same way as without TLS; whoever flushes encrypts, up to 48 KiB ahead of the
// socket, and what the socket does not take is the write poller's (secure). Order, batches, budgets, limits and Drain are the same code.
// Handshakes are not limited in number but by Options.Limits. A failed one is counted, answered with its alert, and logged with what it
// most likely means (ExplainTLS); peers that connect and go, as port checks do, are no line. crypto/tls refuses renegotiation.
// What crypto/tls holds of records that were read, at most some 33 KiB of a connection, and at most 64 KiB of plaintext about to be
// delivered, are not in InboundBytes; ciphertext that waits is in OutboundBytes.
//
// Lock order: outbound.io, the locks of crypto/tls, secure.mu; and outbound.io, outbound.mu, writePoller.mu; and mutes, mailbox. The other locks (mailbox, budget, loop, connections) are taken alone.
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
// With TLS 1.3 (AES-128-GCM), beside the same without, in one run on another and busier machine, processor time of the server per request:
//
//	who sends                                   1 connection   16 connections   256 connections
//	the owner, in Frame, loop                       16.3 µs           7.8 µs            8.4 µs
//	the owner, in Frame, goroutine                  18.0 µs          11.0 µs           12.3 µs
//	the owner, in Frame, TLS                        17.5 µs          12.5 µs           16.5 µs
//	another goroutine: Send, goroutine              18.6 µs          11.7 µs           13.1 µs
//	another goroutine: Send, TLS                    27.0 µs          13.8 µs           19.0 µs
//
// So most of what TLS costs a small request is the goroutine. An idle connection with TLS takes 8.5 KB of heap, 15.5 KB resident (TestIdleTLS).
// crypto/tls allocates 24 bytes for each look at the socket; nothing else allocates there either.
//
// Hence Send writes on the goroutine that completes the response, and loops are half the processors. Neither path allocates
// (TestNoAllocations). An idle connection takes 0.9 KB of heap, 1.2 KB resident (TestIdleConnections). Frames
// of 100 KB and 1 MB go in at 5.9 and 2.4 GB/s, for 0.18 processor seconds of the server per GiB (-bench Ingest, one run). One flush writes at
// most 512 KiB on the sender's goroutine, some 100 µs; the write poller goes on from there.
//
// A whole broker with the settings of this package, against bench/probe, medians of three interleaved runs on 2 processors with other work paused
// (p50, and the server's processor time per request): one record of 1 KB in flight; 5,000 a second over 4 connections; 64 connections without a pause, 100 bytes.
//
//	                                        one in flight      5,000/s           64 connections
//	as it is: 256 KiB read buffer           190 µs  96 µs      209 µs  88 µs     49-54,000/s  15.5-17 µs
//	loops locked to their threads           204 µs 107 µs      232 µs  99 µs     56,000/s     16.5 µs
//	read buffer of 64 KiB                   189 µs  88 µs      194 µs  85 µs     57,000/s     14.2 µs
//	read buffer of 1 MiB                    198 µs  94 µs      215 µs  87 µs     55,000/s     13.9 µs
//	socket buffers of 1 MiB                 186 µs  89 µs      211 µs  86 µs     48,000/s     17.6 µs
//	GOGC=50                                 198 µs  89 µs      203 µs  85 µs     57,000/s     14.2 µs
//	GOGC=400                                197 µs  96 µs      213 µs  89 µs     57,000/s     13.9 µs
//	1 loop (two further runs)               189 µs  91 µs      204 µs  86 µs     55,500/s     13.8 µs
//	2 loops, which GOMAXPROCS=5 gives       187 µs  90 µs      228 µs  87 µs     53,600/s     15.5 µs
//
// Locked loops cost a tenth; everything else is within what two runs of the same program differ by (one 64-connection run of 49,000/s was "as it is"). One loop
// serves many small requests with 11 % less processor time, two serve Kafka's Java producer with 4-9 % less (5.37 and 5.14 s per GB, 2.16 and 1.96 with batches
// of 128 KiB): so half of GOMAXPROCS stays. The collector's settings do not matter, as the hot path allocates nothing: p99.9 is the device's in every row.
//
// # gnet
//
// gnet v2.10 runs the event loops, as its client engine: connections are accepted by package net and enrolled. Its own listeners
// are not used because its acceptor ends the engine when accept(2) fails, out of descriptors for instance, cannot be stopped
// alone, and does not tell the port when asked for port 0. Connections of IPv6 addresses with a zone start on a goroutine: gnet
// hands the zone's string to a pool of scratch buffers. Everything that was read is taken in OnTraffic and nothing is written
// through gnet, so that its buffers stay empty.
//
// # Files
//
//	api.go, options.go, stats.go   what callers see
//	server.go, listen.go, accept.go   life of the server, listening, accepting
//	conn.go                        a connection, its mailbox, its turns, its end
//	loop.go, goroutine.go          the two kinds of owner
//	tls.go, handshake.go           TLS above a goroutine's socket, what failed handshakes mean
//	inbound.go, buffer.go, budget.go   framing, what is kept, what it may cost
//	response.go, outbound.go, writepoller.go   responses and their way out; batch.go: those of one group commit
//	sweep.go, log.go               timeouts, rate-limited log lines
//	limits.go                      how many connections, and how fast
//	mute.go                        connections that are not served until a time
package netpoll
