package sharegroup

import (
	"slices"

	"github.com/ringmq/ringmq/engine/group/consumer"
)

// pending is partitions of a topic, ascending, whose state is (being) initialized.
type pending struct {
	name       string
	partitions []int32
	millis     int64 // when that began
}

func (p *pending) add(partitions []int32) {
	p.partitions = slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(p.partitions), partitions...))))
}

func (p *pending) remove(partitions []int32) {
	p.partitions = slices.DeleteFunc(slices.Clone(p.partitions), func(x int32) bool { return slices.Contains(partitions, x) })
}

func (p *pending) all() []int32 {
	if p == nil {
		return nil
	}
	return p.partitions
}

// Partition wants something done about its state.
type Partition struct {
	Topic     TopicID
	Partition int32
	Start     int64 // where the group is to begin; NoStart: as its configuration says
}

// NoStart is the start offset of a partition that nobody has read yet.
const NoStart int64 = -1

func (g *Group) touched() {
	g.recorded = true
	g.mark(KindStates, "")
}

// begin notes that states of partitions are being initialized.
func (g *Group) begin(topic TopicID, name string, partitions []int32, millis int64) {
	at := g.initializing[topic]
	if at == nil {
		at = &pending{}
		g.initializing[topic] = at
	}
	at.name, at.millis = name, millis
	at.add(partitions)
	delete(g.deleting, topic)
	g.touched()
}

// wanted are the partitions of subscribed topics that have no state, and for which none is on its way. It is from now on.
func (g *Group) wanted(env *Env) (list []Partition) {
	for name := range g.names {
		id, n, ok := env.Topics.ByName(name)
		if !ok {
			continue
		}
		have := g.initialized[id].all()
		var coming []int32
		if at := g.initializing[id]; at != nil && env.Now-at.millis < env.InitializeRetry {
			coming = at.partitions
		}
		var missing []int32
		for p := int32(0); p < n; p++ {
			if !slices.Contains(have, p) && !slices.Contains(coming, p) {
				missing = append(missing, p)
				list = append(list, Partition{id, p, NoStart})
			}
		}
		if len(missing) > 0 {
			g.begin(id, name, missing, env.Now)
		}
	}
	return list
}

// unassigned reports whether partitions of subscribed topics are ready that nobody has.
func (g *Group) unassigned() bool {
	for id, ready := range g.initialized {
		if g.names[ready.name] == 0 {
			continue
		}
		var has []int32
		for _, target := range g.target {
			has = append(has, target[id]...)
		}
		if !slices.Equal(slices.Compact(slices.Sorted(slices.Values(has))), ready.partitions) {
			return true
		}
	}
	return false
}

// Initialized notes that partitions have their states, or, if not ok, that they could not get them.
func (g *Group) Initialized(list []Partition, ok bool, millis int64) {
	for _, tp := range list {
		from := g.initializing[tp.Topic]
		name := ""
		if from != nil {
			name = from.name
			if from.remove([]int32{tp.Partition}); len(from.partitions) == 0 {
				delete(g.initializing, tp.Topic)
			}
		}
		if !ok {
			continue
		}
		at := g.initialized[tp.Topic]
		if at == nil {
			if name == "" {
				continue // the topic was deleted meanwhile
			}
			at = &pending{name: name}
			g.initialized[tp.Topic] = at
		}
		at.millis = millis
		at.add([]int32{tp.Partition})
	}
	g.touched()
}

// Ready are the partitions that have a state.
func (g *Group) Ready() map[TopicID][]int32 {
	out := make(map[TopicID][]int32, len(g.initialized))
	for id, at := range g.initialized {
		out[id] = slices.Clone(at.partitions)
	}
	return out
}

// Reset notes that partitions of a topic are to begin somewhere else.
func (g *Group) Reset(topic TopicID, name string, partitions []int32, millis int64) {
	g.begin(topic, name, partitions, millis)
}

// Delete notes that the states of a topic are to be deleted, and returns its partitions; none if there is nothing to delete.
func (g *Group) Delete(topic TopicID, name string, count int32) []Partition {
	partitions := g.initialized[topic].all()
	if len(partitions) == 0 {
		if _, again := g.deleting[topic]; !again {
			return nil
		}
		for p := int32(0); p < count; p++ {
			partitions = append(partitions, p)
		}
	}
	delete(g.initialized, topic)
	g.deleting[topic] = name
	g.touched()
	var list []Partition
	for _, p := range partitions {
		list = append(list, Partition{topic, p, NoStart})
	}
	return list
}

// DeleteAll is Delete of everything.
func (g *Group) DeleteAll(topics consumer.Topics) (list []Partition) {
	ids := make(map[TopicID][]int32)
	for _, from := range []map[TopicID]*pending{g.initialized, g.initializing} {
		for id, at := range from {
			ids[id] = append(ids[id], at.partitions...)
			g.deleting[id] = at.name
		}
	}
	for id := range g.deleting {
		if _, n, ok := topics.ByID(id); ok {
			for p := int32(0); p < n; p++ {
				ids[id] = append(ids[id], p)
			}
		}
	}
	clear(g.initialized)
	clear(g.initializing)
	if len(ids) > 0 {
		g.touched()
	}
	for _, id := range sortedTopics(ids) {
		for _, p := range slices.Compact(slices.Sorted(slices.Values(ids[id]))) {
			list = append(list, Partition{id, p, NoStart})
		}
	}
	return list
}

// Deleted notes that the states of a topic are gone.
func (g *Group) Deleted(topic TopicID) {
	delete(g.deleting, topic)
	g.touched()
}

// Forget takes deleted topics out of the group. It reports whether there were any.
func (g *Group) Forget(gone func(TopicID) bool) (changed bool) {
	for _, from := range []map[TopicID]*pending{g.initialized, g.initializing} {
		for id := range from {
			if gone(id) {
				delete(from, id)
				changed = true
			}
		}
	}
	for id := range g.deleting {
		if gone(id) {
			delete(g.deleting, id)
			changed = true
		}
	}
	if changed {
		g.touched()
	}
	return changed
}
