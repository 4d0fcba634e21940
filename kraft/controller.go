package kraft

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	pb "go.etcd.io/raft/v3/raftpb"

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
	// founders are the voters that the cluster was founded with, for the first image; set before the first activate.
	founders []Voter

	balancing *balancing

	mu struct {
		sync.Mutex
		term     int64 // > 0 while active
		seq      int64 // of the next batch
		tail     *Image
		sessions map[int32]time.Time // last heartbeat of each broker since this controller became active
		leaving  map[int32]bool      // brokers that want to shut down and are given no partitions; until they register anew
		settled  string              // the dead brokers that settleDead has looked after
		wake     chan struct{}       // closed when it becomes active; nil when nobody waits
		change   *pending            // the last change of members of this term, nil if none
		tokens   tokenIndex
	}
	queue struct {
		sync.Mutex
		pending []*pending // proposed and not committed, in log order
	}
}

// proposer is the log, as the controller needs it; core implements it.
type proposer interface {
	// submit has data appended to the log in the given term. nil: the entry is in the log of this node and may get committed. errNotLeader, errBusy:
	// it is not. Any other error: nobody knows. conf: the batch changes the members; it becomes its context.
	submit(term int64, data []byte, conf *pb.ConfChangeV2) error
	// confirm returns nil when this node led in the term at some time after the call.
	confirm(ctx context.Context, term int64) error
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
	c := &controller{opts: o, logger: o.Logger, log: log}
	c.balancing = newBalancing(c)
	return c
}

// activate begins to serve: everything of earlier terms is in img. Called by the apply loop.
func (c *controller) activate(term int64, img *Image) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.term, c.mu.seq, c.mu.tail = term, 0, img
	c.mu.sessions, c.mu.leaving, c.mu.settled, c.mu.change = make(map[int32]time.Time), make(map[int32]bool), "", nil
	c.mu.tokens = tokenIndex{}
	if c.mu.wake != nil {
		close(c.mu.wake)
		c.mu.wake = nil
	}
	c.setQuotas(img)
	c.logger.Info("kraft: active controller", "node", c.opts.NodeID, "term", term, "offset", img.Offset())
	t := c.begin()
	if img.ClusterID() == "" {
		t.add(&record.Cluster{ClusterID: c.opts.ClusterID, Version: record.MetadataVersion})
	}
	if len(img.Voters()) == 0 && len(c.founders) > 0 {
		t.add(&record.VoterSet{Voters: c.founders})
	}
	t.foundFeatures()
	if len(t.recs) == 0 {
		return
	}
	if _, err := c.propose(t); err != nil {
		// The leadership is being lost again; the next controller does it.
		c.logger.Warn("kraft: the cluster record could not be proposed", "cause", err)
	}
}

// deactivate stops serving. What is proposed may yet be committed by the next leader: its outcome is unknown.
func (c *controller) deactivate() {
	c.mu.Lock()
	wasActive := c.mu.term > 0
	c.mu.term, c.mu.tail, c.mu.sessions, c.mu.leaving = 0, nil, nil, nil
	c.queue.Lock()
	lost := c.queue.pending
	c.queue.pending = nil
	c.queue.Unlock()
	c.setQuotas(nil)
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
	c     *controller
	b     *image.Builder
	recs  []record.Record
	conf  *pb.ConfChangeV2 // recs is a VoterSet that differs in this from the one before; nil: no change of members
	now   time.Time
	asker Asker         // who has it asked; nobody when the controller itself begins it
	wait  time.Duration // for how long who has it asked must ask nothing more, because of a quota
	err   error         // the first record that did not apply: a fault of the controller
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
	if err := c.log.submit(c.mu.term, data, t.conf); err != nil {
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
		// It may be in the log, and then the next transaction would be validated against a state without it. There must be none: an entry that does not
		// apply would stop every node.
		c.mu.term, c.mu.tail = 0, nil
		return nil, fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	c.mu.seq++
	c.mu.tail = p.image
	return p, nil
}

// do serves a request. ErrNotController and errBusy mean that nothing was done. offset is that of an image which shows the effect.
func (c *controller) do(ctx context.Context, req kmsg.Request) (resp kmsg.Response, offset int64, err error) {
	switch req.(type) {
	case *ReportLoadRequest, *DescribeBalancerRequest: // nothing of them enters the log
		resp, err := c.balancing.serve(req)
		return resp, 0, err
	}
	a, err := c.start(askerOf(ctx), req)
	if err != nil {
		return nil, 0, err
	}
	if a.seen != nil {
		if err := c.wait(ctx, a.seen); err != nil {
			return nil, 0, err
		}
		offset = a.seen.image.Offset()
	}
	if !a.wrote {
		// Nothing had to be committed, so nothing has shown yet that this controller is not deposed.
		switch err := c.log.confirm(ctx, a.term); {
		case errors.Is(err, errNotLeader):
			return nil, 0, ErrNotController
		case err != nil:
			return nil, 0, err
		}
	}
	return a.resp, offset, nil
}

// wait returns when a proposal is in the image, or when its outcome is unknown.
func (c *controller) wait(ctx context.Context, p *pending) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return timeoutOf(ctx)
	case <-c.log.stopped():
		return fmt.Errorf("%w: %w", ErrTimeout, ErrClosed)
	}
}

// answer is a request's response before it may be given.
type answer struct {
	resp  kmsg.Response
	seen  *pending // the last proposal that it rests on, its own if it has one; nil if everything is committed
	wrote bool     // seen is its own
	term  int64    // in which it was made
}

func (c *controller) start(by Asker, req kmsg.Request) (answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.term == 0 {
		return answer{}, ErrNotController
	}
	t := c.begin()
	t.asker = by
	resp, err := t.handle(req)
	if err != nil {
		return answer{}, err
	}
	p, err := c.propose(t)
	if _, ok := req.(*kmsg.AlterClientQuotasRequest); ok && err == nil && len(t.recs) > 0 {
		c.setQuotas(c.mu.tail)
	}
	return answer{resp: resp, seen: p, wrote: len(t.recs) > 0, term: c.mu.term}, err
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
	case *kmsg.AlterPartitionAssignmentsRequest:
		return t.alterReassignments(r), nil
	case *kmsg.ListPartitionReassignmentsRequest:
		return t.listReassignments(r), nil
	case *kmsg.ElectLeadersRequest:
		return t.electLeaders(r), nil
	case *kmsg.CreateACLsRequest:
		return t.createACLs(r), nil
	case *kmsg.DeleteACLsRequest:
		return t.deleteACLs(r), nil
	case *kmsg.AlterUserSCRAMCredentialsRequest:
		return t.alterScram(r), nil
	case *kmsg.CreateDelegationTokenRequest:
		return t.createToken(r), nil
	case *kmsg.RenewDelegationTokenRequest:
		return t.renewToken(r), nil
	case *kmsg.ExpireDelegationTokenRequest:
		return t.expireToken(r), nil
	case *kmsg.UpdateFeaturesRequest:
		return t.updateFeatures(r), nil
	case *kmsg.AlterClientQuotasRequest:
		return t.alterQuotas(r), nil
	case *kmsg.BrokerRegistrationRequest:
		return t.registerBroker(r), nil
	case *kmsg.BrokerHeartbeatRequest:
		return t.heartbeat(r), nil
	case *kmsg.UnregisterBrokerRequest:
		return t.unregisterBroker(r), nil
	case *kmsg.AllocateProducerIDsRequest:
		return t.allocateProducerIDs(r), nil
	case *kmsg.UpdateRaftVoterRequest:
		return t.updateVoter(r), nil
	case *DrainBrokerRequest:
		return t.drainBroker(r), nil
	case *PrepareObjectsRequest:
		return t.prepareObjects(r), nil
	case *CommitObjectsRequest:
		return streamResult(r.Key(), t.commitObjects(r)), nil
	case *ReclaimRequest:
		return streamResult(r.Key(), t.reclaim(r)), nil
	case *OpenStreamRequest:
		return streamResult(r.Key(), t.openStream(r)), nil
	case *CloseStreamRequest:
		return streamResult(r.Key(), t.closeStream(r)), nil
	case *RewriteStreamRequest:
		return streamResult(r.Key(), t.rewriteStream(r)), nil
	case *TrimStreamRequest:
		return streamResult(r.Key(), t.trimStream(r)), nil
	case *DeletedObjectsRequest:
		return streamResult(r.Key(), t.deletedObjects(r)), nil
	case *BrokerWALRequest:
		return streamResult(r.Key(), t.brokerWAL(r)), nil
	case *BrokerFailedRequest:
		return streamResult(r.Key(), t.brokerFailed(r)), nil
	case *BeginRescueRequest:
		return t.beginRescue(r), nil
	case *FinishRescueRequest:
		return t.finishRescue(r), nil
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
	t.settleDead()
	t.destroyAbandoned()
	t.sweepTokens()
	if len(t.recs) == 0 {
		return
	}
	_, err := c.propose(t)
	if err != nil {
		c.mu.settled = "" // nothing was done
	}
	if err != nil && !errors.Is(err, ErrNotController) && !errors.Is(err, errBusy) && !errors.Is(err, ErrClosed) {
		c.logger.Error("kraft: housekeeping failed", "cause", err)
	}
}
