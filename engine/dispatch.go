package engine

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/quota"
	"github.com/ringmq/ringmq/kraft"
	"github.com/ringmq/ringmq/netpoll"
)

// connState is what the broker keeps per connection. Fields without a word are owned by the connection's goroutine.
type connState struct {
	conn     *netpoll.Conn
	listener string
	// principal is who is at the other end, as ACLs name it: User:<name>. Set when the connection is opened.
	principal string
	auth      *authentication // nil: the listener has no SASL
	host      string          // the peer's address, without a port
	quotas    *quota.Client   // what counted for the last request; nil: nothing yet
	// clientSoftware as ApiVersions told it, for logs.
	clientSoftware string

	// parked is a produce that waits for room in the WAL: its frame is held and will be delivered again.
	parked *produceOp
	// shareSession is the session of a share group's member that began on the connection, if any; it ends with it.
	shareSession atomic.Pointer[shareSession]
	// fetch is the fetch under way; whoever takes it out ends it.
	fetch atomic.Pointer[fetchOp]
	// busy counts requests that have begun and are not answered; waiting says that a held frame waits for it to reach zero.
	busy    atomic.Int32
	waiting atomic.Bool
	// exclusive says that the request in flight is not a produce: nothing may overtake or follow it.
	exclusive bool
	closed    atomic.Bool
}

// request is one request that is served through the generic path.
type request struct {
	broker   *Broker
	conn     *connState
	header   kproto.RequestHeader // ClientID does not alias the frame
	clientID string
	body     kmsg.Request
	resp     *netpoll.Response
	arrived  time.Time

	meter  *quota.Client // what a quota counts, see quotas.go; nil when nothing counts
	wait   time.Duration // for how long the client has to wait after the answer
	thread int           // that the handler runs on, if its time is counted
	began  time.Duration // processor time of the thread at the last lap

	amend   func(kmsg.Response)     // completes the handler's answer, see guard; nil: nothing to add
	visible func(topic string) bool // which topics the client may know of; nil: all
}

// Opened implements netpoll.Handler.
func (b *Broker) Opened(c *netpoll.Conn) {
	st := &connState{conn: c, listener: c.Listener(), host: hostOf(c)}
	c.Value = st
	b.identify(c, st)
}

// Closed implements netpoll.Handler.
func (b *Broker) Closed(c *netpoll.Conn, err error) {
	st := c.Value.(*connState)
	st.closed.Store(true)
	b.starting.remove(c)
	b.held.remove(c)
	if st.parked != nil {
		b.parked.remove(c)
		st.parked.abandon()
		st.parked = nil
	}
	st.closeFetch()
	if s := st.shareSession.Load(); s != nil {
		b.workers.Go(func() { b.shares.end(s) })
	}
	if err != nil {
		b.log.Debug("connection closed", "remote", c.RemoteAddr(), "listener", st.listener, "cause", err)
	}
}

// Frame implements netpoll.Handler: one request. Produces of a connection may be in flight together; any other request waits until
// those before it are answered, and what follows waits for it.
func (b *Broker) Frame(c *netpoll.Conn, frame []byte) netpoll.Verdict {
	st := c.Value.(*connState)
	if b.closing.Load() {
		if st.parked != nil {
			st.parked.giveUp()
		}
		return netpoll.Hold // for good: the connection is about to be closed
	}
	if !b.ready.Load() {
		b.starting.add(c, time.Time{})
		if !b.ready.Load() {
			return netpoll.Hold
		}
	}
	if st.parked != nil {
		return st.parked.resume(frame)
	}
	if a := st.auth; a != nil && a.raw && a.exchange != nil {
		return b.rawToken(st, frame)
	}
	header, body, err := kproto.ParseHeader(frame)
	if st.auth != nil {
		if why := st.auth.refuses(header.Key); why != "" {
			return b.reject(c, "not allowed before authentication", errors.New(why))
		}
	}
	peer := err != nil && b.isPeer(st, frame, err)
	if err != nil && !peer {
		if header, body, err = toolHeader(frame, err); err != nil {
			return b.reject(c, "malformed request header", err)
		}
	}
	produce := header.Key == kproto.KeyProduce && !peer
	if st.busy.Load() > 0 && (!produce || st.exclusive) {
		st.waiting.Store(true)
		if st.busy.Load() > 0 {
			return netpoll.Hold
		}
		st.waiting.Store(false) // answered meanwhile: go on
	}
	st.exclusive = !produce
	if peer {
		if b.lacks(st, opClusterAction) {
			return b.refusePrivate(st, opClusterAction)
		}
		return b.servePeer(st, frame)
	}
	if kraft.IsToolKey(header.Key) {
		if b.lacks(st, opAlter) {
			return b.refusePrivate(st, opAlter)
		}
		return b.serveTool(st, header, body)
	}
	api := b.apis.byKey(header.Key)
	if api == nil {
		return b.reject(c, "unknown api key", fmt.Errorf("key %d version %d", header.Key, header.Version))
	}
	if header.Version < api.min || header.Version > api.max {
		if header.Key == kproto.KeyApiVersions {
			return b.apiVersionsFallback(st, header)
		}
		return b.reject(c, "unsupported version", fmt.Errorf("%s version %d, served are %d to %d", api.name, header.Version, api.min, api.max))
	}
	if header.Key == kproto.KeyFetch && b.holding.Load() > 0 && b.holdFetch(c, header, body) {
		return netpoll.Hold
	}
	b.metrics.requests[header.Key].Add(1)
	switch header.Key {
	case kproto.KeyProduce:
		return b.produce(st, header, frame, body)
	case kproto.KeyFetch:
		return b.fetch(st, header, body)
	}
	req := kmsg.RequestForKey(header.Key)
	req.SetVersion(header.Version)
	err = kproto.CheckRequest(header.Key, header.Version, body)
	if err == nil {
		if !api.inline {
			// kmsg's []byte fields alias what they are decoded from, and the frame is ours only until we return.
			body = bytes.Clone(body)
		}
		err = readBody(req, body)
	}
	if err != nil {
		return b.reject(c, "malformed request", fmt.Errorf("%s version %d: %w", api.name, header.Version, err))
	}
	r := &request{broker: b, conn: st, header: header, clientID: string(header.ClientID), body: req, resp: c.Begin(), arrived: time.Now(), meter: b.metered(st, header.ClientID)}
	r.header.ClientID = nil
	st.begin()
	if api.inline {
		r.clocked(func() { api.handle(r) })
		if st.auth != nil && st.auth.failed {
			return netpoll.Close
		}
	} else {
		b.workers.Go(func() {
			r.clocked(func() {
				if b.authorize(r) {
					api.handle(r)
				}
			})
		})
	}
	return netpoll.Next
}

// readBody decodes and turns a decoder's panic over hostile bytes into an error.
func readBody(req kmsg.Request, body []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("undecodable: %v", p)
		}
	}()
	return req.ReadFrom(body)
}

// reject closes a connection that sent what no response can answer.
func (b *Broker) reject(c *netpoll.Conn, what string, err error) netpoll.Verdict {
	b.metrics.rejected.Add(1)
	if b.rejects.allow() {
		b.log.Warn("request refused, closing the connection", "reason", what, "detail", err, "remote", c.RemoteAddr(), "listener", c.Listener(),
			"principal", c.Value.(*connState).principal)
	}
	return netpoll.Close
}

func (st *connState) begin() { st.busy.Add(1) }

// end notes that a request has been answered, and wakes the frame that waits for it.
func (st *connState) end() {
	if st.busy.Add(-1) == 0 && st.waiting.Swap(false) {
		st.conn.Resume()
	}
}

// reply sends the answer of a generic request; exactly once per request, from any goroutine.
func (r *request) reply(resp kmsg.Response) {
	if r.amend != nil {
		r.amend(resp)
	}
	if r.meter != nil || r.wait > 0 {
		r.throttle(resp)
	}
	resp.SetVersion(r.header.Version)
	head := kproto.AppendResponseHeader(r.resp.Buf(), r.header.Key, r.header.Version, r.header.CorrelationID)
	r.resp.SetBuf(resp.AppendTo(head))
	r.resp.Send()
	r.conn.end()
}

// host is the client's address as DescribeGroups shows it.
func (r *request) host() string {
	return "/" + r.conn.host
}

func hostOf(c *netpoll.Conn) string {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return a.IP.String()
	}
	return "unknown"
}
