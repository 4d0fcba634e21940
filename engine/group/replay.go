package group

import (
	"log/slog"
	"time"

	"github.com/ringmq/ringmq/engine/group/changes"
	"github.com/ringmq/ringmq/engine/group/consumer"
	"github.com/ringmq/ringmq/engine/group/sharegroup"
	"github.com/ringmq/ringmq/engine/group/streams"
)

// replayer builds the groups of a shard from its records. Nobody else sees them yet.
type replayer struct {
	s       *shard
	groups  map[string]*group
	topics  map[string]string // one copy of each topic name
	modern  map[string]*consumer.Replay
	streams map[string]*streams.Replay
	shares  map[string]*sharegroup.Replay
	records int
	other   int   // records of kinds that nothing here knows
	broken  int   // records that cannot be read
	first   error // why the first of them cannot
}

// load replays the log and makes the shard active.
func (s *shard) load(replay Replay, open func() []OpenRecord) error {
	started := s.opts.Clock.Now()
	r := &replayer{
		s: s, groups: make(map[string]*group), topics: make(map[string]string), modern: make(map[string]*consumer.Replay),
		streams: make(map[string]*streams.Replay), shares: make(map[string]*sharegroup.Replay),
	}
	err := replay(func(key, value []byte, timestamp int64) error {
		if s.gone.Load() {
			return ErrNotCoordinator
		}
		r.apply(key, value)
		return nil
	})
	if err != nil {
		return err
	}
	if open != nil {
		for _, o := range open() {
			r.applyOpen(o)
		}
	}
	r.endNewer()
	if r.broken > 0 {
		s.opts.Logger.Error("group: unreadable records left out", "partition", s.partition, "records", r.broken, "first", r.first)
	}
	err = nil
	s.run(func(t *turn) {
		if s.state != shardLoading {
			err = ErrNotCoordinator
			return
		}
		s.state, s.groups, s.shares = shardActive, r.groups, r.endShares()
		for _, g := range s.groups {
			g.resume(t)
		}
		for _, g := range s.shares {
			for _, m := range g.Members() {
				g.alive(t, m.ID)
			}
		}
		for _, topic := range s.deleted {
			for _, g := range s.groups {
				g.deleteTopic(t, topic)
			}
		}
		s.deleted = nil
		level := slog.LevelInfo
		if r.records == 0 {
			level = slog.LevelDebug // most of fifty partitions are empty: nothing that an operator wants a line for
		}
		t.logf(level, "group: partition loaded", "partition", s.partition, "epoch", s.epoch, "records", r.records,
			"groups", len(s.groups), "members", s.memberCount, "offsets", s.offsetsCount, "other records", r.other, "took", t.now.Sub(started))
	})
	return err
}

// apply takes one record. The latest record of a key counts.
func (r *replayer) apply(key, value []byte) {
	r.records++
	k, err := decodeKey(key)
	if err == nil {
		switch k.version {
		case keyOffset0, keyOffset:
			err = r.applyOffset(k, value)
		case keyGroup:
			err = r.applyGroup(k, value)
		default:
			err = r.applyOther(key, value)
		}
	}
	r.note(err)
}

// note counts a record that cannot be read.
func (r *replayer) note(err error) {
	if err != nil {
		if r.broken++; r.first == nil {
			r.first = err
		}
	}
}

func (r *replayer) applyOffset(k recordKey, value []byte) error {
	g := r.groups[string(k.group)]
	if value == nil {
		if g != nil {
			g.removeOffset(topicPartition{string(k.topic), k.partition})
			r.dropIfEmpty(g)
		}
		return nil
	}
	o, err := decodeOffsetValue(value)
	if err != nil {
		return err
	}
	if g == nil {
		g = r.makeGroup(string(k.group))
	}
	topic, ok := r.topics[string(k.topic)]
	if !ok {
		topic = string(k.topic)
		r.topics[topic] = topic
	}
	g.setOffset(topicPartition{topic, k.partition}, o)
	return nil
}

// applyGroup replaces the members of a group; offsets have records of their own.
func (r *replayer) applyGroup(k recordKey, value []byte) error {
	g := r.groups[string(k.group)]
	if value == nil {
		if g != nil {
			g.unset()
			r.dropIfEmpty(g)
		}
		return nil
	}
	v, err := decodeGroupValue(value)
	if err != nil {
		return err
	}
	if g == nil {
		g = r.makeGroup(string(k.group))
	}
	g.unset()
	g.restore(v)
	delete(r.modern, g.id) // what comes last counts
	delete(r.streams, g.id)
	return nil
}

// applyOther takes a record of a group of a newer protocol, or counts one of another type.
func (r *replayer) applyOther(key, value []byte) error {
	if id, k, known, err := consumer.DecodeKey(key); known || err != nil {
		if value != nil {
			delete(r.streams, id) // what comes last counts
		}
		return applyNewer(r.modern, consumer.NewReplay, id, k, value, err)
	}
	if id, k, known, err := streams.DecodeKey(key); known || err != nil {
		if value != nil {
			delete(r.modern, id)
		}
		return applyNewer(r.streams, streams.NewReplay, id, k, value, err)
	}
	if id, k, known, err := sharegroup.DecodeKey(key); known || err != nil {
		return applyNewer(r.shares, sharegroup.NewReplay, id, k, value, err)
	}
	r.other++
	return nil
}

// newerReplay builds a group of a newer protocol.
type newerReplay interface {
	Apply(k changes.Key, value []byte) error
	Empty() bool
}

// applyNewer takes a record whose key has been read, if there was no error.
func applyNewer[R newerReplay](groups map[string]R, begin func(id string) R, id string, k changes.Key, value []byte, err error) error {
	if err != nil {
		return err
	}
	m, ok := groups[id]
	if !ok {
		if value == nil {
			return nil
		}
		m = begin(id)
		groups[id] = m
	}
	err = m.Apply(k, value)
	if m.Empty() {
		delete(groups, id)
	}
	return err
}

// endShares are the share groups. A name that a group of another type has, by a log that lost a part of a change, stays that group's.
func (r *replayer) endShares() map[string]*shareGroup {
	out := make(map[string]*shareGroup, len(r.shares))
	for id, g := range r.shares {
		if r.groups[id] == nil {
			out[id] = r.s.makeShareGroup(g.Group())
		}
	}
	return out
}

// endNewer gives the groups of newer protocols what else there is of them.
func (r *replayer) endNewer() {
	end := func(id string, take func(g *group) *newer) {
		g := r.groups[id]
		if g == nil {
			g = r.makeGroup(id)
		}
		g.newer = take(g)
		g.newer.classic = g.recorded // a change over of which only a part reached the log
		g.unset()
		g.recount()
	}
	for id, m := range r.modern {
		end(id, func(g *group) *newer { g.modern = newModern(m.Group()); return g.modern.newer })
	}
	for id, m := range r.streams {
		end(id, func(g *group) *newer { g.streams = newStreamsGroup(g, m.Group()); return g.streams.newer })
	}
}

func (r *replayer) makeGroup(id string) *group {
	g := r.s.makeGroup(id, -1)
	r.groups[id] = g
	return g
}

func (r *replayer) dropIfEmpty(g *group) {
	if !g.recorded && g.numOffsets == 0 {
		delete(r.groups, g.id)
	}
}

// unset takes back what a metadata record set.
func (g *group) unset() {
	g.s.memberCount -= len(g.order)
	g.state, g.stateMillis, g.protocolType, g.generation, g.protocol, g.leader = empty, -1, "", 0, nil, ""
	g.members, g.order, g.static, g.votes, g.bytes = nil, nil, nil, nil, 0
	g.recorded = false
}

// restore sets what a metadata record says. Timers start with resume.
func (g *group) restore(v *groupValue) {
	g.recorded = true
	g.stateMillis, g.protocolType, g.generation = v.stateMillis, v.protocolType, v.generation
	if len(v.members) == 0 {
		return
	}
	g.state, g.protocol = stable, v.protocol
	if g.protocol == nil {
		g.protocol = new(string)
	}
	for i := range v.members {
		vm := &v.members[i]
		if g.members[vm.id] != nil || vm.instance != nil && g.static[*vm.instance] != nil {
			continue // never written
		}
		m := &member{
			id: vm.id, instance: vm.instance, clientID: vm.clientID, clientHost: vm.clientHost,
			sessionTimeout: time.Duration(vm.sessionMillis) * time.Millisecond,
			protocols:      []protocol{{*g.protocol, vm.subscription}},
			assignment:     vm.assignment,
		}
		m.rebalanceTimeout = m.sessionTimeout
		if vm.rebalanceMillis >= 0 {
			m.rebalanceTimeout = time.Duration(vm.rebalanceMillis) * time.Millisecond
		}
		g.add(m)
	}
	switch {
	case v.leader == nil || *v.leader == "":
		g.leader = ""
	case g.members[*v.leader] != nil:
		g.leader = *v.leader
	}
}

// resume starts the timers of a replayed group.
func (g *group) resume(t *turn) {
	if g.newer != nil {
		g.resumeNewer(t)
		return
	}
	for _, m := range g.order {
		g.keepAlive(t, m)
	}
	if len(g.order) > g.s.opts.MaxSize {
		g.maybeRebalance(t, "group is larger than the limit that holds now")
	}
	if len(g.order) > 0 && g.leader == "" {
		g.maybeRebalance(t, "the group became one of the classic protocol, and has not shared its partitions yet")
	}
}
