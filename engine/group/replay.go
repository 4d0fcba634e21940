package group

import (
	"log/slog"
	"time"
)

// replayer builds the groups of a shard from its records. Nobody else sees them yet.
type replayer struct {
	s       *shard
	groups  map[string]*group
	topics  map[string]string // one copy of each topic name
	records int
	other   int   // records of other types of groups
	broken  int   // records that cannot be read
	first   error // why the first of them cannot
}

// load replays the log and makes the shard active.
func (s *shard) load(replay Replay) error {
	started := s.opts.Clock.Now()
	r := &replayer{s: s, groups: make(map[string]*group), topics: make(map[string]string)}
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
	if r.broken > 0 {
		s.opts.Logger.Error("group: unreadable records left out", "partition", s.partition, "records", r.broken, "first", r.first)
	}
	err = nil
	s.run(func(t *turn) {
		if s.state != shardLoading {
			err = ErrNotCoordinator
			return
		}
		s.state, s.groups = shardActive, r.groups
		for _, g := range s.groups {
			g.resume(t)
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
			r.other++
		}
	}
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
	return nil
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
	if v.leader != nil && g.members[*v.leader] != nil {
		g.leader = *v.leader
	}
}

// resume starts the timers of a replayed group.
func (g *group) resume(t *turn) {
	for _, m := range g.order {
		g.keepAlive(t, m)
	}
	if len(g.order) > g.s.opts.MaxSize {
		g.maybeRebalance(t, "group is larger than the limit that holds now")
	}
}
