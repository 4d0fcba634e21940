package kraft

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/kraft/image"
	"github.com/ringmq/ringmq/kraft/record"
)

// controller is the active controller while this node leads the quorum. It validates a request against the image as it will be when everything
// already proposed is committed (tail), turns it into records, applies them to tail and proposes them as one entry. Because only the leader of
// a term appends to the log in that term, the entries commit in the order of tail; when they do, the applier publishes the images made here.
//
// Lock order: mu before queue.mu. mu is held while a request is validated and handed to raft, never while it is waited for.
type controller struct {
	opts   Options
	logger *slog.Logger
	log    proposer

	mu struct {
		sync.Mutex
		term     int64 // > 0 while active
		seq      int64 // of the next batch
		tail     *Image
		sessions map[int32]time.Time // last heartbeat of each broker since this controller became active
		wake     chan struct{}       // closed when it becomes active; nil when nobody waits
	}
	queue struct {
		sync.Mutex
		pending []*pending // proposed and not committed, in log order
	}
}

// proposer is the log, as the controller needs it; core implements it.
type proposer interface {
	// submit has data appended to the log in the given term. nil: the entry is in the log of this node and may get committed. errNotLeader, errBusy:
	// it is not. Any other error: nobody knows.
	submit(term int64, data []byte) error
	// stopped is closed when nothing will be committed any more.
	stopped() <-chan struct{}
}

// pending is a proposal on its way through the quorum.
type pending struct {
	origin record.Origin
	image  *Image
	delta  *Delta
	err    error         // set before done is closed
	done   chan struct{} // closed when the image is published, or the outcome will never be known
}

func (p *pending) finish(err error) {
	p.err = err
	close(p.done)
}

func newController(o Options, log proposer) *controller {
	return &controller{opts: o, logger: o.Logger, log: log}
}

// activate begins to serve: everything of earlier terms is in img. Called by the apply loop.
func (c *controller) activate(term int64, img *Image) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.term, c.mu.seq, c.mu.tail = term, 0, img
	c.mu.sessions = make(map[int32]time.Time)
	if c.mu.wake != nil {
		close(c.mu.wake)
		c.mu.wake = nil
	}
	c.logger.Info("kraft: active controller", "node", c.opts.NodeID, "term", term, "offset", img.Offset())
	if img.ClusterID() != "" {
		return
	}
	t := c.begin()
	t.add(&record.Cluster{ClusterID: c.opts.ClusterID, Version: record.MetadataVersion})
	if _, err := c.propose(t); err != nil {
		// The leadership is being lost again; the next controller does it.
		c.logger.Warn("kraft: the cluster record could not be proposed", "error", err)
	}
}

// deactivate stops serving. What is proposed may yet be committed by the next leader: its outcome is unknown.
func (c *controller) deactivate() {
	c.mu.Lock()
	wasActive := c.mu.term > 0
	c.mu.term, c.mu.tail, c.mu.sessions = 0, nil, nil
	c.queue.Lock()
	lost := c.queue.pending
	c.queue.pending = nil
	c.queue.Unlock()
	c.mu.Unlock()
	for _, p := range lost {
		p.finish(fmt.Errorf("%w: the controller lost its leadership", ErrTimeout))
	}
	if wasActive {
		c.logger.Info("kraft: controller resigned", "node", c.opts.NodeID, "unfinished", len(lost))
	}
}

// activated returns a channel that is closed when this controller becomes active the next time.
func (c *controller) activated() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.wake == nil {
		c.mu.wake = make(chan struct{})
	}
	return c.mu.wake
}

func (c *controller) active() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.term > 0
}

// made takes the pending proposal that the entry is, nil if another controller made it. Called by the apply loop, in log order.
func (c *controller) made(e entry) *pending {
	o, err := record.ReadOrigin(e.data)
	if err != nil {
		return nil // decoding it as a whole gives the error
	}
	c.queue.Lock()
	defer c.queue.Unlock()
	if len(c.queue.pending) == 0 {
		return nil
	}
	p := c.queue.pending[0]
	if p.origin != o {
		return nil
	}
	if p.image.Offset() != e.index || p.image.Term() != e.term {
		panic(fmt.Sprintf("BUG: kraft: proposal %+v was made for entry %d of term %d, but is %d of term %d", o, p.image.Offset(), p.image.Term(), e.index, e.term))
	}
	c.queue.pending[0] = nil
	c.queue.pending = c.queue.pending[1:]
	return p
}

// tx is one request on its way to records. Reading t.img() shows the effect of the records added so far.
type tx struct {
	c    *controller
	b    *image.Builder
	recs []record.Record
	now  time.Time
	err  error // the first record that did not apply: a fault of the controller
}

func (t *tx) img() *Image { return t.b.Image() }

func (t *tx) add(r record.Record) {
	if t.err != nil {
		return
	}
	if err := t.b.Apply(r); err != nil {
		t.err = fmt.Errorf("kraft: controller made a bad record: %w", err)
		return
	}
	t.recs = append(t.recs, r)
}

// begin starts a transaction. REQUIRES: mu is held, active.
func (c *controller) begin() *tx {
	return &tx{c: c, b: c.mu.tail.Edit(), now: c.opts.Now()}
}

// propose hands the transaction to raft. The result is what has to be waited for: for a transaction without records the last proposal
// that it has seen, nil if all that it has seen is committed. REQUIRES: mu is held, active.
func (c *controller) propose(t *tx) (*pending, error) {
	if t.err != nil {
		return nil, t.err
	}
	if len(t.recs) == 0 {
		c.queue.Lock()
		defer c.queue.Unlock()
		if n := len(c.queue.pending); n > 0 {
			return c.queue.pending[n-1], nil
		}
		return nil, nil
	}
	origin := record.Origin{Node: c.opts.NodeID, Term: c.mu.term, Seq: c.mu.seq}
	data := record.AppendBatch(nil, record.Batch{Origin: origin, Records: t.recs})
	if len(data) > maxBatchBytes {
		return nil, fmt.Errorf("%w: the change takes %d bytes, the most is %d", ErrInvalid, len(data), maxBatchBytes)
	}
	p := &pending{origin: origin, done: make(chan struct{})}
	p.image, p.delta = t.b.Build(c.mu.tail.Offset()+1, c.mu.term)
	// It has to be in the queue before raft can commit it.
	c.queue.Lock()
	c.queue.pending = append(c.queue.pending, p)
	c.queue.Unlock()
	if err := c.log.submit(c.mu.term, data); err != nil {
		c.queue.Lock()
		// When the node stops at this very moment, it may be in the log after all, and even be applied.
		if n := len(c.queue.pending); n > 0 && c.queue.pending[n-1] == p {
			c.queue.pending = c.queue.pending[:n-1]
		}
		c.queue.Unlock()
		switch {
		case errors.Is(err, errNotLeader):
			return nil, ErrNotController
		case errors.Is(err, errBusy):
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	c.mu.seq++
	c.mu.tail = p.image
	return p, nil
}

// do serves a request. ErrNotController and errBusy mean that nothing was done. offset is that of an image which shows the effect.
func (c *controller) do(ctx context.Context, req kmsg.Request) (resp kmsg.Response, offset int64, err error) {
	p, resp, err := c.start(req)
	if err != nil {
		return nil, 0, err
	}
	if p == nil {
		return resp, 0, nil
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		return nil, 0, timeoutOf(ctx)
	case <-c.log.stopped():
		return nil, 0, fmt.Errorf("%w: %w", ErrTimeout, ErrClosed)
	}
	if p.err != nil {
		return nil, 0, p.err
	}
	return resp, p.image.Offset(), nil
}

func (c *controller) start(req kmsg.Request) (*pending, kmsg.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.term == 0 {
		return nil, nil, ErrNotController
	}
	t := c.begin()
	resp, err := t.handle(req)
	if err != nil {
		return nil, nil, err
	}
	p, err := c.propose(t)
	return p, resp, err
}

// handle dispatches a request. An error means that it was not looked at, or that the controller is at fault; refusals are in the response.
func (t *tx) handle(req kmsg.Request) (kmsg.Response, error) {
	switch r := req.(type) {
	case *kmsg.CreateTopicsRequest:
		return t.createTopics(r), nil
	case *kmsg.DeleteTopicsRequest:
		return t.deleteTopics(r), nil
	case *kmsg.CreatePartitionsRequest:
		return t.createPartitions(r), nil
	case *kmsg.AlterConfigsRequest:
		return t.alterConfigs(r), nil
	case *kmsg.IncrementalAlterConfigsRequest:
		return t.incrementalAlterConfigs(r), nil
	case *kmsg.BrokerRegistrationRequest:
		return t.registerBroker(r), nil
	case *kmsg.BrokerHeartbeatRequest:
		return t.heartbeat(r), nil
	case *kmsg.UnregisterBrokerRequest:
		return t.unregisterBroker(r), nil
	case *kmsg.AllocateProducerIDsRequest:
		return t.allocateProducerIDs(r), nil
	case *PrepareObjectsRequest:
		return t.prepareObjects(r), nil
	case *CommitObjectsRequest:
		return streamResult(r.Key(), t.commitObjects(r)), nil
	case *OpenStreamRequest:
		return streamResult(r.Key(), t.openStream(r)), nil
	case *CloseStreamRequest:
		return streamResult(r.Key(), t.closeStream(r)), nil
	case *TrimStreamRequest:
		return streamResult(r.Key(), t.trimStream(r)), nil
	case *DeletedObjectsRequest:
		return streamResult(r.Key(), t.deletedObjects(r)), nil
	}
	return nil, fmt.Errorf("%w: the controller does not serve requests of key %d", ErrInvalid, req.Key())
}

// housekeeping fences silent brokers and destroys prepared objects whose time is over. Called about every tick.
func (c *controller) housekeeping() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.term == 0 {
		return
	}
	t := c.begin()
	t.fenceSilent()
	t.destroyAbandoned()
	if len(t.recs) == 0 {
		return
	}
	if _, err := c.propose(t); err != nil && !errors.Is(err, ErrNotController) && !errors.Is(err, errBusy) && !errors.Is(err, ErrClosed) {
		c.logger.Error("kraft: housekeeping failed", "error", err)
	}
}
