package engine

import (
	"bytes"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/netpoll"
)

// connState is what the broker keeps per connection. Fields without a word are owned by the connection's goroutine.
type connState struct {
	conn     *netpoll.Conn
	listener string
	// clientSoftware as ApiVersions told it, for logs.
	clientSoftware string

	// parked is a produce that waits for room in the WAL: its frame is held and will be delivered again.
	parked *produceOp
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
}

// Opened implements netpoll.Handler.
func (b *Broker) Opened(c *netpoll.Conn) {
	c.Value = &connState{conn: c, listener: c.Listener()}
}

// Closed implements netpoll.Handler.
func (b *Broker) Closed(c *netpoll.Conn, err error) {
	st := c.Value.(*connState)
	st.closed.Store(true)
	b.starting.remove(c)
	if st.parked != nil {
		b.parked.remove(c)
		st.parked.abandon()
		st.parked = nil
	}
	st.closeFetch()
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
	header, body, err := kproto.ParseHeader(frame)
	if err != nil {
		return b.reject(c, "malformed request header", err)
	}
	produce := header.Key == kproto.KeyProduce
	if st.busy.Load() > 0 && (!produce || st.exclusive) {
		st.waiting.Store(true)
		if st.busy.Load() > 0 {
			return netpoll.Hold
		}
		st.waiting.Store(false) // answered meanwhile: go on
	}
	st.exclusive = !produce
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
	b.metrics.requests[header.Key].Add(1)
	switch header.Key {
	case kproto.KeyProduce:
		return b.produce(st, header, body)
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
	r := &request{broker: b, conn: st, header: header, clientID: string(header.ClientID), body: req, resp: c.Begin(), arrived: time.Now()}
	r.header.ClientID = nil
	st.begin()
	if api.inline {
		api.handle(r)
	} else {
		b.workers.Go(func() { api.handle(r) })
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
		b.log.Warn("request refused, closing the connection", "reason", what, "detail", err, "remote", c.RemoteAddr(), "listener", c.Listener())
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
	resp.SetVersion(r.header.Version)
	head := kproto.AppendResponseHeader(r.resp.Buf(), r.header.Key, r.header.Version, r.header.CorrelationID)
	r.resp.SetBuf(resp.AppendTo(head))
	r.resp.Send()
	r.conn.end()
}

// host is the client's address as DescribeGroups shows it.
func (r *request) host() string {
	if a, ok := r.conn.conn.RemoteAddr().(*net.TCPAddr); ok {
		return "/" + a.IP.String()
	}
	return "/unknown"
}
