package group

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/group/consumer"
)

// OffsetCommit 2-10. v2-4: retention time. v6: leader epoch. v7: static members. v9: members of the consumer protocol. v10: topic ids
// instead of names.

// commit is an offset on its way into the log.
type commit struct {
	tp     topicPartition
	offset offset
	code   *int16 // where the answer goes
}

// OffsetCommit answers an OffsetCommit request when the offsets are durable. Strings in req are kept (decode with ReadFrom).
func (c *Coordinator) OffsetCommit(_ Client, req *kmsg.OffsetCommitRequest, reply func(kmsg.Response)) {
	resp := kmsg.NewPtrOffsetCommitResponse()
	resp.Version = req.Version
	commits := c.commitsOf(req, resp)
	failAll := func(code int16) {
		for _, cm := range commits {
			*cm.code = code
		}
		reply(resp)
	}
	waits := false
	result := codeNone
	code := c.serve(req.Group, func(t *turn) {
		var g *group
		if g, result = t.committer(req, commits, false); result != codeNone || len(commits) == 0 {
			return
		}
		if g == nil {
			g = t.newGroup(req.Group)
			defer g.forgetIfUnused(t) // when nothing is left to commit
		}
		waits = g.commit(t, commits, millisOrNone(req), func() { reply(resp) })
	})
	switch {
	case code != codeNone:
		failAll(code)
	case result != codeNone:
		failAll(result)
	case !waits:
		reply(resp)
	}
}

// commitsOf prepares the response, with the answer to what cannot be committed, and returns the rest.
func (c *Coordinator) commitsOf(req *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse) []commit {
	n := 0
	resp.Topics = make([]kmsg.OffsetCommitResponseTopic, len(req.Topics))
	for i, rt := range req.Topics {
		resp.Topics[i] = kmsg.OffsetCommitResponseTopic{
			Topic: rt.Topic, TopicID: rt.TopicID, Partitions: make([]kmsg.OffsetCommitResponseTopicPartition, len(rt.Partitions)),
		}
		n += len(rt.Partitions)
	}
	commits := make([]commit, 0, n)
	maxMetadata := min(c.opts.OffsetMetadataMaxBytes, maxString)
	for i, rt := range req.Topics {
		topic, known := rt.Topic, true
		if req.Version >= 10 {
			topic, known = c.opts.TopicName(rt.TopicID)
		}
		for k := range rt.Partitions {
			rp, answer := &rt.Partitions[k], &resp.Topics[i].Partitions[k]
			answer.Partition = rp.Partition
			metadata := ""
			if rp.Metadata != nil {
				metadata = *rp.Metadata
			}
			switch {
			case !known:
				answer.ErrorCode = codeUnknownTopicID
			case !c.opts.TopicExists(topic, rp.Partition):
				answer.ErrorCode = codeUnknownTopicOrPartition
			case len(metadata) > maxMetadata:
				answer.ErrorCode = codeOffsetMetadataTooLarge
			default:
				o := offset{offset: rp.Offset, leaderEpoch: -1, metadata: metadata, expireMillis: -1}
				if req.Version >= 6 {
					o.leaderEpoch = rp.LeaderEpoch
				}
				commits = append(commits, commit{topicPartition{topic, rp.Partition}, o, &answer.ErrorCode})
			}
		}
	}
	return commits
}

// millisOrNone is how long the client wants its offsets kept; -1: as long as the broker does.
func millisOrNone(req *kmsg.OffsetCommitRequest) int64 {
	if req.Version >= 2 && req.Version <= 4 && req.RetentionTimeMillis >= 0 {
		return req.RetentionTimeMillis
	}
	return -1
}

// committer checks whether the sender may commit in the group, and keeps a member's session alive. The group is nil, with
// no error, when the first commit of a simple consumer is to make it. Commits within transactions need not name a member, and may come while
// the group rebalances: the producer's epoch fences them.
func (t *turn) committer(req *kmsg.OffsetCommitRequest, commits []commit, transactional bool) (*group, int16) {
	g := t.s.groups[req.Group]
	switch {
	case t.s.shares[req.Group] != nil:
		return nil, codeGroupIDNotFound // share groups have no offsets here
	case g != nil && g.modern != nil && !g.deleting:
		return g, g.committerModern(req, commits, transactional)
	case g != nil && g.streams != nil && !g.deleting:
		return g, g.committerStreams(req.MemberID, req.InstanceID, req.Generation, commits, transactional, req.Version)
	case g == nil && req.Generation < 0:
		return nil, codeNone
	case g == nil && req.Version >= 9:
		return nil, codeGroupIDNotFound
	case g == nil:
		return nil, codeIllegalGeneration
	case g.deleting:
		return nil, codeCoordinatorLoading
	case g.state == empty && req.Generation < 0:
		return g, codeNone // nobody is there to have its offsets overwritten
	case req.Generation < 0 && req.MemberID == "" && req.InstanceID == nil:
		if transactional {
			return g, codeNone
		}
		return nil, codeUnknownMemberID
	}
	m, code := g.lookup(req.MemberID, req.InstanceID)
	switch {
	case code != codeNone:
		return nil, code
	case req.Generation != g.generation:
		return nil, codeIllegalGeneration
	}
	if m.join == nil && m.sync == nil {
		g.keepAlive(t, m)
	}
	if g.state == completingRebalance && !transactional {
		return nil, codeRebalanceInProgress // the member may have lost the partitions by now
	}
	return g, codeNone
}

// committerModern is committer for a group of the consumer protocol. One partition that the sender may not commit fails the request.
func (g *group) committerModern(req *kmsg.OffsetCommitRequest, commits []commit, transactional bool) int16 {
	_, who, err := g.modern.CheckCommit(req.MemberID, req.InstanceID, req.Generation, transactional, req.Version)
	if err != nil {
		return txnMemberCode(err.Code, transactional)
	}
	for _, cm := range commits {
		id, _ := g.s.opts.TopicID(cm.tp.topic)
		if code := who.Refused(id, cm.tp.partition); code != codeNone {
			return txnMemberCode(code, transactional)
		}
	}
	return codeNone
}

// txnMemberCode is a code about a member's epoch as transactions know it: from the time when there were generations only.
func txnMemberCode(code int16, transactional bool) int16 {
	if transactional && code == consumer.CodeStaleMemberEpoch {
		return codeIllegalGeneration
	}
	return code
}

// begin takes the commits for which the group has room, the others get their code, and makes their records. The offsets do not expire until
// commitEnds is called for each. retentionMillis is negative for the group's own rules.
func (g *group) begin(t *turn, commits []commit, retentionMillis int64) (taken []commit, records []Record) {
	now := t.nowMillis()
	taken = make([]commit, 0, len(commits))
	records = make([]Record, 0, len(commits))
	room := g.s.opts.MaxOffsetsPerGroup - g.numOffsets - len(g.committing)
	for _, cm := range commits {
		if !g.hasOffset(cm.tp) {
			if room <= 0 {
				*cm.code = codeInvalidCommitOffsetSize
				continue
			}
			room--
		}
		cm.offset.commitMillis = now
		if retentionMillis >= 0 {
			cm.offset.expireMillis = now + retentionMillis
		}
		g.commitBegins(cm.tp)
		taken = append(taken, cm)
		records = append(records, Record{
			Key:       appendOffsetKey(nil, g.id, cm.tp.topic, cm.tp.partition),
			Value:     appendOffsetValue(nil, cm.offset),
			Timestamp: now,
		})
	}
	return taken, records
}

// commit appends the records of commits. It reports whether done will be called, with the codes of all commits set.
func (g *group) commit(t *turn, commits []commit, retentionMillis int64, done func()) bool {
	taken, records := g.begin(t, commits, retentionMillis)
	if len(records) == 0 {
		return false
	}
	t.append(records, func(t *turn, err error) {
		for _, cm := range taken {
			*cm.code = appendCode(err, codeInvalidCommitOffsetSize)
			if t.s.state == shardActive {
				g.commitEnds(cm.tp)
				if err == nil {
					g.setOffset(cm.tp, cm.offset)
				}
			}
		}
		if t.s.state == shardActive {
			g.forgetIfUnused(t)
		}
		t.reply(done)
	})
	return true
}
