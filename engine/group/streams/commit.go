package streams

import "github.com/ringmq/ringmq/engine/group/consumer"

// Committer is the check of the sender of a commit: the code for a partition that it may not commit, or 0. Nil: it may commit all.
type Committer func(topic string, partition int32) int16

// CheckCommit judges a commit's sender. version is that of OffsetCommit.
func (g *Group) CheckCommit(memberID string, instance *string, epoch int32, transactional bool, version int16) (Committer, *Error) {
	if epoch < 0 && len(g.members) == 0 || transactional && epoch == -1 && memberID == "" && instance == nil {
		return nil, nil
	}
	m := g.members[memberID]
	switch {
	case m == nil:
		return nil, g.unknownMember(memberID)
	case !transactional && version < 9:
		return nil, refuse(consumer.CodeUnsupportedVersion, "OffsetCommit version 9 or above must be used by members using the streams group protocol")
	case epoch == m.Epoch:
		return nil, nil
	case epoch > m.Epoch:
		return nil, refuse(consumer.CodeStaleMemberEpoch, "Received member epoch %d is newer than current member epoch %d.", epoch, m.Epoch)
	}
	// Older epochs may commit what the active tasks read that the member has had since then.
	return func(topic string, partition int32) int16 {
		id := TaskID{Partition: partition}
		reads := false
		if g.topology != nil {
			id.Subtopology, reads = g.topology.source[topic]
		}
		since, has := m.Assigned[Active][id]
		if !has {
			since, has = m.Revoking[Active][id]
		}
		if !reads || !has || epoch < since {
			return consumer.CodeStaleMemberEpoch
		}
		return 0
	}, nil
}

// CheckFetch judges the sender of an OffsetFetch.
func (g *Group) CheckFetch(memberID *string, epoch int32) *Error {
	if memberID == nil && epoch < 0 {
		return nil
	}
	id := ""
	if memberID != nil {
		id = *memberID
	}
	m := g.members[id]
	switch {
	case m == nil:
		return g.unknownMember(id)
	case epoch != m.Epoch:
		return refuse(consumer.CodeStaleMemberEpoch, "The received member epoch %d does not match the expected member epoch %d.", epoch, m.Epoch)
	}
	return nil
}
