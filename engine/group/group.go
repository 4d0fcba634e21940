package group

import (
	"log/slog"
	"time"
)

// state of a group. The names are those that clients see.
//
//	          join                       all rejoined, or time is up        leader's assignment durable
//	Empty ───────────► PreparingRebalance ──────────────────► CompletingRebalance ──────────────► Stable
//	  ▲                   │        ▲                                 │                              │
//	  └── nobody left ────┘        └── join, leave, expiry ──────────┴──────────────────────────────┘
//
// A group that does not exist is described as Dead.
type state uint8

const (
	empty state = iota
	preparingRebalance
	completingRebalance
	stable
)

func (s state) String() string {
	switch s {
	case empty:
		return "Empty"
	case preparingRebalance:
		return "PreparingRebalance"
	case completingRebalance:
		return "CompletingRebalance"
	default:
		return "Stable"
	}
}

const stateDead = "Dead"

// group is a classic group: the members that share out work among them, and the offsets committed under its name. Either
// part may be missing. Guarded by shard.mu.
type group struct {
	s  *shard
	id string

	state       state
	stateMillis int64 // when the state was entered; -1 when unknown (old records)
	// protocolType is what the members agree on ("consumer", "connect"); "" until the first member joined. A group without
	// is a simple one: it has only offsets.
	protocolType string
	generation   int32
	protocol     *string // selected for the generation; nil while Empty
	leader       string  // member id; "" when there are no members

	members      map[string]*member // by member id
	order        []*member          // the same, in the order in which they joined
	static       map[string]*member // by instance id
	votes        map[string]int     // protocol name to the number of members that support it
	pending      map[string]*timer  // ids handed out with MEMBER_ID_REQUIRED, until they join or expire
	bytes        int                // of the members, as limited by MaxGroupBytes
	awaitingJoin int                // members whose join is held
	unsynced     int                // members that did not sync since the last join phase

	timer timer // PreparingRebalance: end of the join phase; later: end of the sync phase
	// While Preparing from Empty: the group waits a fixed time for newcomers, whoever is there already.
	gathering  bool
	gatherLeft time.Duration // how far the wait may still be extended
	newcomers  bool          // somebody joined since the wait was last extended

	storing *struct{ _ byte } // identity of the assignment whose record is being appended, nil when none is

	offsets    map[string]map[int32]offset // topic, partition
	numOffsets int
	committing map[topicPartition]int              // commits that are being appended
	txns       map[int64]map[topicPartition]offset // of open transactions, by producer id; shard.txns has the same from the other side

	recorded bool // a metadata record may be in the log; its removal needs a tombstone
	// owed are tombstones of the consumer group that this one was, which go into the log with its next metadata record.
	owed []Record

	// Nil: a classic group. modern or streams has the same, according to the protocol.
	newer    *newer
	modern   *modern
	streams  *streamsGroup
	deleting bool // tombstones for everything in the group are being appended
}

type topicPartition struct {
	topic     string
	partition int32
}

func (t *turn) newGroup(id string) *group {
	g := t.s.makeGroup(id, t.nowMillis())
	t.s.groups[id] = g
	return g
}

func (s *shard) makeGroup(id string, nowMillis int64) *group {
	g := &group{s: s, id: id, stateMillis: nowMillis}
	g.timer.fire = g.phaseEnds
	return g
}

func (g *group) setState(t *turn, to state) {
	g.state, g.stateMillis = to, t.nowMillis()
}

// lookup finds the member that a request speaks for.
func (g *group) lookup(id string, instance *string) (*member, int16) {
	if g == nil {
		return nil, codeUnknownMemberID
	}
	if instance != nil {
		m := g.static[*instance]
		switch {
		case m == nil:
			return nil, codeUnknownMemberID
		case m.id != id:
			return nil, codeFencedInstanceID
		}
		return m, codeNone
	}
	if m := g.members[id]; m != nil {
		return m, codeNone
	}
	return nil, codeUnknownMemberID
}

// rebalanceTimeout is the longest of the members'.
func (g *group) rebalanceTimeout() time.Duration {
	var longest time.Duration
	for _, m := range g.order {
		longest = max(longest, m.rebalanceTimeout)
	}
	return longest
}

// forgetIfUnused drops a group that holds nothing and is not in the log.
func (g *group) forgetIfUnused(t *turn) {
	if g.memberless() && g.newer == nil && !g.recorded && !g.deleting && len(g.pending) == 0 && g.numOffsets == 0 && len(g.committing) == 0 && len(g.txns) == 0 {
		g.drop(t)
	}
}

// drop takes the group out of the shard.
func (g *group) drop(t *turn) {
	if t.s.groups[g.id] == g {
		delete(t.s.groups, g.id)
		for producer := range g.txns {
			g.forgetTxn(producer)
		}
		t.s.offsetsCount -= g.numOffsets
		if g.newer != nil {
			g.leaveNewer(t)
		}
	}
}

// memberless reports whether the group has no members, of whatever protocol.
func (g *group) memberless() bool {
	return g.state == empty && (g.newer == nil || g.newer.members.Size() == 0)
}

// abandon answers every held request and stops every timer. The group is not used again.
func (g *group) abandon(t *turn, code int16) {
	for _, m := range g.order {
		g.answerJoin(t, m, code)
		g.answerSync(t, m, code)
		t.stopTimer(&m.session)
	}
	for _, tm := range g.pending {
		t.stopTimer(tm)
	}
	t.stopTimer(&g.timer)
}

// store appends the metadata record of the group with the given assignments.
func (g *group) store(t *turn, assignment func(m *member) []byte, done func(t *turn, err error)) {
	g.recorded = true
	record := Record{
		Key:       appendGroupKey(nil, g.id),
		Value:     appendGroupValue(nil, g, assignment),
		Timestamp: t.nowMillis(),
	}
	owed := g.owed
	g.owed = nil
	t.append(append(owed[:len(owed):len(owed)], record), func(t *turn, err error) {
		if err != nil {
			g.owed = append(owed[:len(owed):len(owed)], g.owed...)
		}
		done(t, err)
	})
}

// storeEmpty records that the group has no members any more. When that fails, the last generation in the log may come back
// after a change of coordinator; its members are gone then and expire, so nobody waits for the outcome.
func (g *group) storeEmpty(t *turn) {
	g.store(t, (*member).currentAssignment, func(t *turn, err error) {
		if err != nil {
			t.logf(slog.LevelWarn, "group: empty group not recorded", "group", g.id, "partition", g.s.partition, "err", err)
		}
	})
}
