package engine

import (
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ringmq/ringmq/engine/kproto"
)

// Incremental fetch sessions (KIP-227): the broker remembers what a consumer fetches, so that a request names only what changed
// and a response holds only what is new.

// sessionEvictAfter is how long a session must have been unused before another may take its slot.
const sessionEvictAfter = 2 * time.Minute

// Session epochs with a meaning of their own.
const (
	epochFull  = 0  // a full fetch that asks for a session
	epochFinal = -1 // a full fetch without one; closes the one named
)

// fetchSessions is the broker's cache of sessions.
type fetchSessions struct {
	slots int
	mu    struct {
		sync.Mutex
		byID map[int32]*fetchSession
	}
}

// fetchSession is what one consumer fetches. It is used by one request at a time (its epoch says which); mu guards against a
// client that breaks that rule from a second connection.
type fetchSession struct {
	id    int32
	byID  bool // partitions are named by topic id (v13 and later)
	used  time.Time
	mu    sync.Mutex
	epoch int32 // of the next request
	inUse bool  // a request is being served
	byKey map[sessionKey]*sessionPartition
	order []*sessionPartition
}

type sessionKey struct {
	topic   string
	topicID [16]byte
	index   int32
}

// sessionPartition is one partition of a session: what the client asked last, and what it was told last.
type sessionPartition struct {
	key      sessionKey
	offset   int64
	maxBytes int32
	epoch    int32
	fetched  int32
	// told is what the last response said; -1 before the first.
	toldHighWatermark, toldLogStart int64
	forgotten                       bool
}

func newFetchSessions(slots int) *fetchSessions {
	s := &fetchSessions{slots: slots}
	s.mu.byID = make(map[int32]*fetchSession)
	return s
}

// resolve finds or makes the session that a request uses and applies the request to it. A nil session is a sessionless fetch.
func (fs *fetchSessions) resolve(op *fetchOp) (s *fetchSession, full bool, code kproto.ErrorCode) {
	r := &op.request
	if op.header.Version < 7 || r.SessionEpoch == epochFull || r.SessionEpoch == epochFinal {
		if r.SessionID != 0 {
			fs.remove(r.SessionID)
		}
		if op.header.Version < 7 || r.SessionEpoch == epochFinal {
			return nil, true, kproto.None
		}
		s = fs.create(op.header.Version >= 13)
		if s != nil {
			s.apply(op)
		}
		return s, true, kproto.None
	}
	fs.mu.Lock()
	s = fs.mu.byID[r.SessionID]
	if s != nil {
		s.used = time.Now()
	}
	fs.mu.Unlock()
	if s == nil {
		return nil, false, kproto.FetchSessionIDNotFound
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.byID != (op.header.Version >= 13):
		return nil, false, kproto.FetchSessionTopicIDError
	case s.inUse || s.epoch != r.SessionEpoch:
		return nil, false, kproto.InvalidFetchSessionEpoch
	}
	s.inUse = true
	s.epoch = nextSessionEpoch(s.epoch)
	s.applyLocked(op)
	return s, false, kproto.None
}

// create takes a slot, from a session that has not been used for long if need be. Nil when none is free.
func (fs *fetchSessions) create(byID bool) *fetchSession {
	now := time.Now()
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if len(fs.mu.byID) >= fs.slots && !fs.evictLocked(now) {
		return nil
	}
	id := int32(0)
	for id == 0 || fs.mu.byID[id] != nil {
		id = 1 + rand.Int32N(math.MaxInt32-1)
	}
	s := &fetchSession{id: id, byID: byID, used: now, epoch: 1, inUse: true, byKey: make(map[sessionKey]*sessionPartition)}
	fs.mu.byID[id] = s
	return s
}

func (fs *fetchSessions) evictLocked(now time.Time) bool {
	var oldest *fetchSession
	for _, s := range fs.mu.byID {
		if oldest == nil || s.used.Before(oldest.used) {
			oldest = s
		}
	}
	if oldest == nil || now.Sub(oldest.used) < sessionEvictAfter {
		return false
	}
	delete(fs.mu.byID, oldest.id)
	return true
}

func (fs *fetchSessions) remove(id int32) {
	fs.mu.Lock()
	delete(fs.mu.byID, id)
	fs.mu.Unlock()
}

func (fs *fetchSessions) count() int {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return len(fs.mu.byID)
}

func (s *fetchSession) apply(op *fetchOp) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.applyLocked(op)
}

// applyLocked adds, changes and forgets what the request says.
func (s *fetchSession) applyLocked(op *fetchOp) {
	r := &op.request
	for ti := range r.Topics {
		t := &r.Topics[ti]
		for i := t.First; i < t.First+t.Count; i++ {
			rp := &r.Partitions[i]
			key := s.key(op, t.Name, t.ID, rp.Index)
			p := s.byKey[key]
			if p == nil {
				p = &sessionPartition{key: key, toldHighWatermark: -1, toldLogStart: -1}
				s.byKey[key] = p
				s.order = append(s.order, p)
			}
			p.offset, p.maxBytes, p.epoch, p.fetched = rp.FetchOffset, rp.MaxBytes, rp.CurrentLeaderEpoch, rp.LastFetchedEpoch
		}
	}
	forgot := false
	for i := range r.Forgotten {
		f := &r.Forgotten[i]
		for _, index := range f.Partitions {
			key := s.key(op, f.Name, f.ID, index)
			if p := s.byKey[key]; p != nil {
				p.forgotten, forgot = true, true
				delete(s.byKey, key)
			}
		}
	}
	if forgot {
		kept := s.order[:0]
		for _, p := range s.order {
			if !p.forgotten {
				kept = append(kept, p)
			}
		}
		clear(s.order[len(kept):])
		s.order = kept
	}
}

func (s *fetchSession) key(op *fetchOp, name []byte, id [16]byte, index int32) sessionKey {
	if s.byID {
		return sessionKey{topicID: id, index: index}
	}
	return sessionKey{topic: op.broker.topicString(name), index: index}
}

// appendParts lists the session's partitions in their order.
func (s *fetchSession) appendParts(parts []fetchPart) []fetchPart {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.order {
		parts = append(parts, fetchPart{topic: p.key.topic, topicID: p.key.topicID, index: p.key.index, offset: p.offset, maxBytes: p.maxBytes, epoch: p.epoch, fetched: p.fetched, state: p})
	}
	return parts
}

// changed says whether an incremental response must name the partition, and notes what it says.
func (p *sessionPartition) changed(f *fetchPart) bool {
	news := f.bytes > 0 || f.code != kproto.None || f.diverged.epoch >= 0 ||
		f.position.HighWatermark != p.toldHighWatermark || f.position.LogStart != p.toldLogStart
	if f.code == kproto.None {
		p.toldHighWatermark, p.toldLogStart = f.position.HighWatermark, f.position.LogStart
	} else {
		p.toldHighWatermark = -1 // named again once the error has passed
	}
	return news
}

// served ends a request: partitions that had data go to the end of the order, so that others get their turn.
func (s *fetchSession) served(op *fetchOp) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inUse = false
	if len(s.order) != len(op.parts) || op.bytes == 0 || len(s.order) < 2 {
		return
	}
	s.order = s.order[:0]
	for i := range op.parts {
		if op.parts[i].bytes == 0 {
			s.order = append(s.order, op.parts[i].state)
		}
	}
	for i := range op.parts {
		if op.parts[i].bytes > 0 {
			s.order = append(s.order, op.parts[i].state)
		}
	}
}

func nextSessionEpoch(e int32) int32 {
	if e == math.MaxInt32 {
		return 1
	}
	return e + 1
}
