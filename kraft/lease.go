package kraft

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// A broker may act for the cluster (acknowledge, above all) only while it knows that the controller takes it for alive. It knows that for
// Options.BrokerSession from the moment at which it SENT the last heartbeat that was confirmed: the controller counts the same time from the later moment at
// which it received it, and fences nobody before. A process that was stopped, a machine that slept, a cut network: each lets the time run out, and the
// next confirmed heartbeat begins it anew, unless another process has registered in between; then heartbeats are refused for good.
//
//	broker      sent ─────────────────── BrokerSession ──────────────────► lapsed
//	controller     └─► received ──────── BrokerSession ───────────────────────► fences
//
// The clock only ever takes a right away. What gives rights are epochs, which the quorum grants and checks at every commit; with all clocks
// wrong two brokers still cannot write one stream. The controller confirms only after a majority has told it that it leads (see barrier.go): one that was paused, or
// is cut off with a minority, confirms nothing, so the time always runs against a controller that was active when the heartbeat arrived. Controllers that
// come to be active later count from then.

// bootTime is a clock that neither jumps nor stops while the machine sleeps.
func bootTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(fmt.Sprintf("BUG: kraft: CLOCK_BOOTTIME: %v", err)) // Linux has it since 2.6.39
	}
	return time.Duration(ts.Nano())
}

// never is a moment that no lease reaches from.
const never = time.Duration(-1 << 62)

// Confirmed reports whether the registration of this broker was confirmed so recently that the controller cannot have fenced it for its silence. Any
// goroutine; one reading of a clock.
func (n *Node) Confirmed() bool {
	return n.opts.Elapsed()-time.Duration(n.broker.confirmed.Load()) < n.opts.BrokerSession
}

// confirm notes that a heartbeat, or the registration, that was sent at a moment was granted.
func (n *Node) confirm(sent time.Duration) {
	n.broker.confirmed.Store(int64(sent))
	if fn := n.broker.onConfirmed.Load(); fn != nil {
		(*fn)()
	}
}

// OnConfirmed has fn called after the registration and after each heartbeat that is confirmed, on the goroutine that sent it; fn must be quick. To be called before
// RegisterBroker.
func (n *Node) OnConfirmed(fn func()) { n.broker.onConfirmed.Store(&fn) }
