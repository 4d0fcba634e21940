package group

// offset is a committed offset.
type offset struct {
	offset       int64
	leaderEpoch  int32 // -1 unknown
	metadata     string
	commitMillis int64
	expireMillis int64 // set by the client; -1: the retention of the broker
}

// setOffset, removeOffset and the replay of records are all that changes the offsets of a group. They are called when the
// record is durable, in the order of the records: what a fetch returns is what a new coordinator would find.
func (g *group) setOffset(tp topicPartition, o offset) {
	partitions := g.offsets[tp.topic]
	if partitions == nil {
		if g.offsets == nil {
			g.offsets = make(map[string]map[int32]offset)
		}
		partitions = make(map[int32]offset)
		g.offsets[tp.topic] = partitions
	}
	before := len(partitions)
	partitions[tp.partition] = o
	g.countOffsets(len(partitions) - before)
}

func (g *group) removeOffset(tp topicPartition) {
	partitions := g.offsets[tp.topic]
	before := len(partitions)
	delete(partitions, tp.partition)
	g.countOffsets(len(partitions) - before)
	if before > 0 && len(partitions) == 0 {
		delete(g.offsets, tp.topic)
	}
}

func (g *group) countOffsets(n int) {
	g.numOffsets += n
	g.s.offsetsCount += n
}

// hasOffset reports whether an offset is committed, or about to be.
func (g *group) hasOffset(tp topicPartition) bool {
	_, ok := g.offsets[tp.topic][tp.partition]
	return ok || g.committing[tp] > 0
}

// allOffsets returns the partitions with an offset that is committed, or about to be.
func (g *group) allOffsets() []topicPartition {
	all := make([]topicPartition, 0, g.numOffsets+len(g.committing))
	for topic, partitions := range g.offsets {
		for p := range partitions {
			all = append(all, topicPartition{topic, p})
		}
	}
	for tp := range g.committing {
		if _, ok := g.offsets[tp.topic][tp.partition]; !ok {
			all = append(all, tp)
		}
	}
	return all
}

// commitBegins and commitEnds track the partitions whose commit is being appended: they do not expire.
func (g *group) commitBegins(tp topicPartition) {
	if g.committing == nil {
		g.committing = make(map[topicPartition]int)
	}
	g.committing[tp]++
}

func (g *group) commitEnds(tp topicPartition) {
	if g.committing[tp]--; g.committing[tp] == 0 {
		delete(g.committing, tp)
	}
	if len(g.committing) == 0 {
		g.committing = nil
	}
}

// tombstones appends a record for each partition that removes its offset.
func (g *group) tombstones(t *turn, records []Record, tps []topicPartition) []Record {
	for _, tp := range tps {
		records = append(records, Record{Key: appendOffsetKey(nil, g.id, tp.topic, tp.partition), Timestamp: t.nowMillis()})
	}
	return records
}

// removeOffsets removes offsets, from the log first. done runs as one of a turn.append does. REQUIRES: tps is not empty.
func (g *group) removeOffsets(t *turn, tps []topicPartition, done func(t *turn, err error)) {
	t.append(g.tombstones(t, nil, tps), func(t *turn, err error) {
		if err == nil && t.s.state == shardActive {
			for _, tp := range tps {
				g.removeOffset(tp)
			}
		}
		done(t, err)
	})
}

// removeAll removes a group with everything in it, from the log first. No member may join and no offset be committed until
// that is done. REQUIRES: the group has no members, and is not being deleted.
func (g *group) removeAll(t *turn, done func(t *turn, err error)) {
	for id := range g.pending {
		g.forgetPending(t, id)
	}
	records := append(g.tombstones(t, nil, g.allOffsets()), g.owed...)
	if g.newer != nil {
		records = append(records, timed(t, g.newer.members.Tombstones())...)
	}
	if g.recorded || g.newer != nil && g.newer.classic {
		records = append(records, Record{Key: appendGroupKey(nil, g.id), Timestamp: t.nowMillis()})
	}
	if len(records) == 0 {
		g.drop(t)
		done(t, nil)
		return
	}
	g.deleting = true
	t.append(records, func(t *turn, err error) {
		g.deleting = false
		if err == nil && t.s.state == shardActive {
			g.drop(t)
		}
		done(t, err)
	})
}
