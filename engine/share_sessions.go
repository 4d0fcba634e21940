package engine

import (
	"sync"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/partition"
	"github.com/ringmq/ringmq/engine/share"
	"github.com/ringmq/ringmq/engine/sharestate"
	"github.com/ringmq/ringmq/kraft"
)

// shareTable is the share groups that are fetched from this broker: their partitions here, and the sessions of their members. A session is a list of
// partitions, with an epoch that goes up with each request; it ends with its connection.
type shareTable struct {
	b *Broker

	mu         sync.Mutex // guards everything below, and the sessions
	sessions   map[shareMember]*shareSession
	members    map[string]int // sessions by group
	partitions map[sharestate.Key]*sharePartition
	closed     bool
}

// shareMember names a member of a share group.
type shareMember struct{ group, id string }

// sharePlace is a partition in a session.
type sharePlace struct {
	topic kraft.TopicID
	index int32
}

// shareSession is a member that fetches.
type shareSession struct {
	member shareMember
	epoch  int32
	places []sharePlace  // in the order in which they came
	gone   chan struct{} // closed when the session ends
}

// Epochs that requests have instead of that of a session.
const (
	shareSessionBegin = 0
	shareSessionEnd   = -1
)

func newShareTable(b *Broker) *shareTable {
	return &shareTable{b: b, sessions: make(map[shareMember]*shareSession), members: make(map[string]int), partitions: make(map[sharestate.Key]*sharePartition)}
}

// nextShareEpoch is the epoch after another; it does not become one of those with a meaning.
func nextShareEpoch(epoch int32) int32 {
	if epoch++; epoch < 0 {
		return 1
	}
	return epoch
}

// open begins a session, and ends the one that the member had.
func (t *shareTable) open(m shareMember, places []sharePlace) (*shareSession, kproto.ErrorCode) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.sessions[m]; old != nil {
		t.removeLocked(old)
	}
	if len(t.sessions) >= t.b.cfg.Share.MaxSessions || t.closed {
		return nil, kproto.ShareSessionLimitReached
	}
	s := &shareSession{member: m, epoch: 1, places: places, gone: make(chan struct{})}
	t.sessions[m] = s
	t.members[m.group]++
	return s, kproto.None
}

// find returns the session of a request, with the epoch that the next one has to have. A request that ends the session finds it, too.
func (t *shareTable) find(m shareMember, epoch int32) (*shareSession, kproto.ErrorCode) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sessions[m]
	switch {
	case s == nil:
		return nil, kproto.ShareSessionNotFound
	case epoch == shareSessionEnd:
	case s.epoch != epoch:
		return nil, kproto.InvalidShareSessionEpoch
	default:
		s.epoch = nextShareEpoch(s.epoch)
	}
	return s, kproto.None
}

// update adds partitions to a session and takes others out, and returns all.
func (t *shareTable) update(s *shareSession, add, forget []sharePlace) []sharePlace {
	t.mu.Lock()
	defer t.mu.Unlock()
	has := make(map[sharePlace]bool, len(s.places))
	for _, p := range s.places {
		has[p] = true
	}
	for _, p := range add {
		if !has[p] {
			has[p] = true
			s.places = append(s.places, p)
		}
	}
	for _, p := range forget {
		delete(has, p)
	}
	kept := make([]sharePlace, 0, len(has))
	for _, p := range s.places {
		if has[p] {
			kept = append(kept, p)
		}
	}
	s.places = kept
	return kept
}

// end ends a session: what its member has goes back.
func (t *shareTable) end(s *shareSession) {
	t.mu.Lock()
	if t.sessions[s.member] != s {
		t.mu.Unlock()
		return
	}
	t.removeLocked(s)
	last := t.members[s.member.group] == 0
	var mine []*sharePartition
	for k, sp := range t.partitions {
		if k.Group == s.member.group {
			mine = append(mine, sp)
		}
	}
	t.mu.Unlock()
	for _, sp := range mine {
		select {
		case <-sp.loaded:
			sp.change(func(r *share.Records) (share.Change, *share.Refusal) { return r.Release(s.member.id, sp.limits()), nil }, func(*sharestate.Error) {})
		default: // nobody has got anything yet
		}
		if last {
			t.settled(sp)
		}
	}
}

func (t *shareTable) removeLocked(s *shareSession) {
	delete(t.sessions, s.member)
	if t.members[s.member.group]--; t.members[s.member.group] == 0 {
		delete(t.members, s.member.group)
	}
	close(s.gone)
}

// settled lets go of a partition whose group has no session here, when nothing of it is on its way: the group may be reset meanwhile.
func (t *shareTable) settled(sp *sharePartition) {
	t.mu.Lock()
	idle := t.members[sp.key.Group] == 0 && sp.idle()
	if idle && t.partitions[sp.key] == sp {
		delete(t.partitions, sp.key)
	}
	t.mu.Unlock()
	if idle {
		sp.fence()
	}
}

// partition returns a partition that this broker leads, as a group sees it. Its state may be on its way yet.
func (t *shareTable) partition(group string, p *partition.Partition) *sharePartition {
	k := sharestate.Key{Group: group, Topic: p.TopicID, Partition: p.Index}
	t.mu.Lock()
	defer t.mu.Unlock()
	if sp := t.partitions[k]; sp != nil && sp.part == p {
		return sp
	} else if sp != nil {
		sp.fence()
	}
	sp := &sharePartition{b: t.b, key: k, part: p, loaded: make(chan struct{})}
	t.partitions[k] = sp
	t.b.workers.Go(sp.load)
	return sp
}

// known is partition for one that members have records of; nil otherwise.
func (t *shareTable) known(k sharestate.Key) *sharePartition {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.partitions[k]
}

// drop forgets a partition: the next fetch asks the share coordinator anew.
func (t *shareTable) drop(sp *sharePartition) {
	t.mu.Lock()
	if t.partitions[sp.key] == sp {
		delete(t.partitions, sp.key)
	}
	t.mu.Unlock()
	sp.fence()
}

// lost forgets a partition that this broker does not lead any more, for all groups.
func (t *shareTable) lost(p *partition.Partition) {
	t.mu.Lock()
	var gone []*sharePartition
	for _, sp := range t.partitions {
		if sp.part == p {
			gone = append(gone, sp)
		}
	}
	t.mu.Unlock()
	for _, sp := range gone {
		t.drop(sp)
	}
}

// close ends everything.
func (t *shareTable) close() {
	t.mu.Lock()
	t.closed = true
	var all []*sharePartition
	for _, sp := range t.partitions {
		all = append(all, sp)
	}
	t.mu.Unlock()
	for _, sp := range all {
		t.drop(sp)
	}
}

// shareStats is a count of what share groups do here.
type shareStats struct{ Sessions, Partitions, Locked int }

func (t *shareTable) stats() (out shareStats) {
	t.mu.Lock()
	out.Sessions, out.Partitions = len(t.sessions), len(t.partitions)
	all := make([]*sharePartition, 0, len(t.partitions))
	for _, sp := range t.partitions {
		all = append(all, sp)
	}
	t.mu.Unlock()
	for _, sp := range all {
		sp.mu.Lock()
		if sp.records != nil {
			n, _, _ := sp.records.Locks()
			out.Locked += int(n)
		}
		sp.mu.Unlock()
	}
	return out
}
