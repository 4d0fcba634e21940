package group

import (
	"errors"

	"github.com/ringmq/ringmq/engine/group/changes"
)

// newer is what groups of the consumer protocol and streams groups have in common: their members' deadlines, and how their changes get into
// the log. While a group has one, its classic part is Empty and not used. Guarded by shard.mu.
type newer struct {
	kind         string // as ListGroups shows it
	protocolType string
	members      newerMembers
	timers       map[string]*memberTimers // by member id
	counted      int                      // members that shard.memberCount has

	saver
	// classic: the log may have a metadata record of the classic group that this one was.
	classic bool
}

// newerMembers is the members with what they share, whatever the protocol.
type newerMembers interface {
	Size() int
	Name() string // of the state
	Subscribed(topic string) bool
	Dirty() bool
	TakeRecords() ([]changes.Record, []changes.Key)
	Unsaved(keys []changes.Key)
	Tombstones() []changes.Record
}

// memberTimers are the deadlines of a member.
type memberTimers struct {
	session   timer
	rebalance timer // to give up what it has
	rejoin    timer // classic members of consumer groups: to join again, or to sync after that
}

// errChanged is why a change was not written: the group became another meanwhile. Clients retry.
var errChanged = errors.New("group: the group was converted or removed")

// leaveClassic ends the classic part of a group, which is n from now on. Whoever waits in it has to come again.
func (g *group) leaveClassic(t *turn, n *newer) {
	n.classic = g.recorded
	for _, o := range g.order {
		g.answerJoin(t, o, codeRebalanceInProgress)
		g.answerSync(t, o, codeRebalanceInProgress)
		t.stopTimer(&o.session)
	}
	for id := range g.pending {
		g.forgetPending(t, id)
	}
	t.stopTimer(&g.timer)
	g.unset()
	g.storing, g.gathering, g.awaitingJoin, g.unsynced = nil, false, 0, 0
	g.newer = n
}

// leaveNewer takes the part of the newer protocol away. The caller sees to its records.
func (g *group) leaveNewer(t *turn) {
	for id := range g.newer.timers {
		g.stopTimers(t, id)
	}
	if g.streams != nil {
		t.stopTimer(&g.streams.delay)
	}
	g.s.memberCount -= g.newer.counted
	g.newer, g.modern, g.streams = nil, nil, nil
}

// resumeNewer starts the timers of a replayed group.
func (g *group) resumeNewer(t *turn) {
	if g.modern != nil {
		g.resumeModern(t)
	} else {
		g.resumeStreams(t)
	}
}

// recount brings the shard's number of members up to date.
func (g *group) recount() {
	if n := g.newer; n != nil {
		size := n.members.Size()
		g.s.memberCount += size - n.counted
		n.counted = size
	}
}

// timersOf are the deadlines of a member; set says what happens at those of a new one.
func (n *newer) timersOf(id string, set func(tms *memberTimers)) *memberTimers {
	tms := n.timers[id]
	if tms == nil {
		tms = &memberTimers{}
		set(tms)
		n.timers[id] = tms
	}
	return tms
}

func (g *group) stopTimers(t *turn, id string) {
	if tms := g.newer.timers[id]; tms != nil {
		for _, tm := range []*timer{&tms.session, &tms.rebalance, &tms.rejoin} {
			t.stopTimer(tm)
		}
		delete(g.newer.timers, id)
	}
}

// save has then run when all that memory says of the group is in the log; at once when it is already.
func (g *group) save(t *turn, then func(t *turn, err error)) {
	n := g.newer
	n.saver.save(t, n.members.Dirty() || n.classic, g.write, then)
}

// write appends the records of all changes since the last write.
func (g *group) write(t *turn) {
	n := g.newer
	classic := n.classic
	n.classic = false
	n.begin()
	var records []Record
	if classic {
		records = append(records, Record{Key: appendGroupKey(nil, g.id), Timestamp: t.nowMillis()})
	}
	own, keys := n.members.TakeRecords()
	records = append(records, timed(t, own)...)
	t.append(records, func(t *turn, err error) {
		if err != nil {
			n.members.Unsaved(keys)
			n.classic = n.classic || classic
		}
		n.end(t, err, func() bool { return g.newer == n }, g.write)
	})
}
