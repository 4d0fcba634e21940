package streamtest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ringmq/ringmq/s3stream"
)

// Cluster is the metadata of a cluster. Safe for any goroutine.
type Cluster struct {
	// Now is the clock of the quorum. Default time.Now. Set it before use.
	Now func() time.Time
	// PreparedFor is how long a prepared object may wait for its commit. Default 1 h. Set it before use.
	PreparedFor time.Duration

	mu struct {
		sync.Mutex
		streams    map[s3stream.StreamID]*stream
		objects    map[s3stream.ObjectID]*object
		epochs     map[int32]int64 // newest epoch of each node
		nextStream s3stream.StreamID
		nextObject s3stream.ObjectID
		fault      Fault
		calls      map[string]int
	}
}

// Fault decides the fate of a call that changes metadata, op being the name of the method. It is asked twice: before the call takes effect (an error
// prevents it) and after (an error hides the effect from the caller). It runs with the cluster locked.
type Fault func(op string, applied bool) error

type stream struct {
	info  s3stream.StreamInfo
	parts []heldRange // by start
}

type heldRange struct {
	s3stream.Range
	object s3stream.ObjectID
}

type objectState uint8

const (
	prepared objectState = iota
	committed
	destroyed
)

type object struct {
	info  s3stream.ObjectInfo
	state objectState
	when  time.Time // of its state
}

// NewCluster returns an empty cluster.
func NewCluster() *Cluster {
	c := &Cluster{Now: time.Now, PreparedFor: time.Hour}
	c.mu.streams = make(map[s3stream.StreamID]*stream)
	c.mu.objects = make(map[s3stream.ObjectID]*object)
	c.mu.epochs = make(map[int32]int64)
	c.mu.calls = make(map[string]int)
	c.mu.nextStream, c.mu.nextObject = 1, 1
	return c
}

// CreateStream makes a stream that nobody has opened.
func (c *Cluster) CreateStream() s3stream.StreamID {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := c.mu.nextStream
	c.mu.nextStream++
	c.mu.streams[id] = &stream{info: s3stream.StreamInfo{ID: id, Epoch: -1, Node: -1, Closed: true}}
	return id
}

// DeleteStream deletes a stream; objects that hold nothing but it are destroyed.
func (c *Cluster) DeleteStream(id s3stream.StreamID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.mu.streams[id]
	if s == nil {
		return
	}
	delete(c.mu.streams, id)
	for _, p := range s.parts {
		c.destroyIfDeadLocked(p.object)
	}
}

// SetFault installs a fault, nil for none.
func (c *Cluster) SetFault(f Fault) {
	c.mu.Lock()
	c.mu.fault = f
	c.mu.Unlock()
}

// Calls is how often a method was called.
func (c *Cluster) Calls(op string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.calls[op]
}

// Objects returns the ids of committed objects, and how many are prepared and destroyed.
func (c *Cluster) Objects() (live []s3stream.ObjectInfo, nPrepared, nDestroyed int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.mu.objects {
		switch o.state {
		case prepared:
			nPrepared++
		case committed:
			live = append(live, o.info)
		case destroyed:
			nDestroyed++
		}
	}
	slices.SortFunc(live, func(a, b s3stream.ObjectInfo) int { return cmp.Compare(a.ID, b.ID) })
	return live, nPrepared, nDestroyed
}

// ExpirePrepared destroys objects that were prepared too long ago.
func (c *Cluster) ExpirePrepared() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.Now()
	for _, o := range c.mu.objects {
		if o.state == prepared && now.Sub(o.when) >= c.PreparedFor {
			o.state, o.when = destroyed, now
		}
	}
}

// Node returns the view of one incarnation of a node. A higher epoch of the same node fences it.
func (c *Cluster) Node(id int32, epoch int64) *Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.epochs[id] = max(c.mu.epochs[id], epoch)
	return &Node{cluster: c, id: id, epoch: epoch}
}

// change runs fn, a method that changes metadata, with its faults.
func (c *Cluster) change(ctx context.Context, op string, fn func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.calls[op]++
	if c.mu.fault != nil {
		if err := c.mu.fault(op, false); err != nil {
			return err
		}
	}
	if err := fn(); err != nil {
		return fmt.Errorf("streamtest: %s: %w", op, err)
	}
	if c.mu.fault != nil {
		return c.mu.fault(op, true)
	}
	return nil
}

// deadLocked says that nobody needs a range: all of it is trimmed, and it is not the end of the stream, whose object carries the checkpoint.
func (c *Cluster) deadLocked(r s3stream.Range) bool {
	s := c.mu.streams[r.Stream]
	return s == nil || r.End <= s.info.Start && r.End < s.info.End
}

func (c *Cluster) destroyIfDeadLocked(id s3stream.ObjectID) {
	o := c.mu.objects[id]
	if o == nil || o.state != committed {
		return
	}
	for _, r := range o.info.Ranges {
		if !c.deadLocked(r) {
			return
		}
	}
	c.destroyLocked(o)
}

// takeOutLocked takes a stream out of an object.
func (c *Cluster) takeOutLocked(s *stream, o *object) {
	id := o.info.ID
	o.info.Ranges = slices.DeleteFunc(slices.Clone(o.info.Ranges), func(r s3stream.Range) bool { return r.Stream == s.info.ID })
	s.parts = slices.DeleteFunc(s.parts, func(h heldRange) bool { return h.object == id })
	c.destroyIfDeadLocked(id)
}

func (c *Cluster) destroyLocked(o *object) {
	for _, r := range o.info.Ranges {
		if s := c.mu.streams[r.Stream]; s != nil {
			s.parts = slices.DeleteFunc(s.parts, func(h heldRange) bool { return h.object == o.info.ID })
		}
	}
	o.state, o.when = destroyed, c.Now()
}
