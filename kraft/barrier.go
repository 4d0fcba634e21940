package kraft

import (
	"context"
	"encoding/binary"

	"go.etcd.io/raft/v3"
)

// A controller that was cut off goes on to believe that it is active until it has heard of no majority for an election timeout. What it answers from
// its state in the meantime could be out of date, so everything that it answers without a commit is confirmed first: a majority has to
// answer heartbeats that were sent after the question came.

// barrier is one question whether this node still leads in term.
type barrier struct {
	term  int64
	reply chan error // capacity 1
}

// confirm returns nil when this node led in the term at some time after confirm was called.
func (c *core) confirm(ctx context.Context, term int64) error {
	b := c.ask(term)
	select {
	case err := <-b.reply:
		return err
	case <-ctx.Done():
		return timeoutOf(ctx)
	case <-c.stop:
		return ErrClosed
	}
}

func (c *core) ask(term int64) *barrier {
	b := &barrier{term: term, reply: make(chan error, 1)}
	c.mail.Lock()
	c.mail.barriers = append(c.mail.barriers, b)
	c.mail.Unlock()
	c.ring()
	return b
}

// raise asks a majority, once for all the questions. Raft repeats lost heartbeats.
func (c *core) raise(barriers []*barrier) {
	var valid []*barrier
	for _, b := range barriers {
		if c.leads(b.term) {
			valid = append(valid, b)
		} else {
			b.reply <- errNotLeader
		}
	}
	if len(valid) == 0 {
		return
	}
	c.barriers.last++
	c.barriers.waiting[c.barriers.last] = valid
	c.rn.ReadIndex(binary.BigEndian.AppendUint64(nil, c.barriers.last))
}

// raiseAgain asks the members of a new configuration what those of the old one have not answered: raft does not, and a voter that is alone now would wait for
// ever.
func (c *core) raiseAgain() {
	var all []*barrier
	for n, barriers := range c.barriers.waiting {
		all = append(all, barriers...)
		delete(c.barriers.waiting, n)
	}
	c.raise(all)
}

// confirmed lets those through whose majority has answered.
func (c *core) confirmed(ctx []byte) {
	n := binary.BigEndian.Uint64(ctx)
	for _, b := range c.barriers.waiting[n] {
		b.reply <- nil
	}
	delete(c.barriers.waiting, n)
}

// dropBarriers refuses all: the leadership has changed.
func (c *core) dropBarriers() {
	for n, barriers := range c.barriers.waiting {
		for _, b := range barriers {
			b.reply <- errNotLeader
		}
		delete(c.barriers.waiting, n)
	}
}

// leads says whether raft leads in the term.
func (c *core) leads(term int64) bool {
	st := c.rn.BasicStatus()
	return st.RaftState == raft.StateLeader && int64(st.GetTerm()) == term
}
