package group

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TxnOffsetCommit 0-5. v2: leader epoch. v3: members. v4: TRANSACTION_ABORTABLE. v5: the commit adds the group to the transaction. The offsets are records of the producer's transaction in __consumer_offsets: they count when the
// marker says commit (EndTxn), and until then they make OffsetFetch with RequireStable wait.

// txnID names the transaction that records are part of.
type txnID struct {
	producer int64
	epoch    int16
	verified int64 // see Log.AppendTxn
	added    bool
}

// OpenRecord is a record of a transaction that has not ended. The bytes are the receiver's.
type OpenRecord struct {
	ProducerID int64
	Key, Value []byte
}

// TxnOffsetCommit answers a TxnOffsetCommit request when the offsets are durable. verified is where the group's partition of __consumer_offsets ended
// before the transaction's coordinator confirmed that it is part of the transaction, negative: it was not asked, the transaction is open there. Strings in
// req are kept.
func (c *Coordinator) TxnOffsetCommit(_ Client, req *kmsg.TxnOffsetCommitRequest, verified int64, reply func(kmsg.Response)) {
	plain, answered := plainCommit(req), kmsg.NewPtrOffsetCommitResponse()
	commits := c.commitsOf(plain, answered)
	send := func() { reply(txnAnswer(req, answered)) }
	waits := false
	result := codeNone
	code := codeInvalidGroupID
	if req.Group != "" {
		code = c.serve(req.Group, func(t *turn) {
			var g *group
			if g, result = t.committer(plain, commits, true); result != codeNone || len(commits) == 0 {
				return
			}
			if g == nil {
				g = t.newGroup(req.Group)
				defer g.forgetIfUnused(t)
			}
			waits = g.commitTxn(t, commits, &txnID{req.ProducerID, req.ProducerEpoch, verified, req.Version >= 5}, send)
		})
	}
	if code == codeNone {
		code = result
	}
	if code != codeNone {
		for _, cm := range commits {
			*cm.code = code
		}
	}
	if !waits {
		send()
	}
}

// FailTxnOffsetCommit is the answer to a request that fails as a whole.
func FailTxnOffsetCommit(req *kmsg.TxnOffsetCommitRequest, code int16) kmsg.Response {
	resp := kmsg.NewPtrTxnOffsetCommitResponse()
	resp.Version = req.Version
	for _, rt := range req.Topics {
		t := kmsg.TxnOffsetCommitResponseTopic{Topic: rt.Topic}
		for _, rp := range rt.Partitions {
			t.Partitions = append(t.Partitions, kmsg.TxnOffsetCommitResponseTopicPartition{Partition: rp.Partition, ErrorCode: txnCode(req, code)})
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

// txnCode is a code as the request's version knows it: old clients retry COORDINATOR_NOT_AVAILABLE, and do not know that a coordinator loads.
func txnCode(req *kmsg.TxnOffsetCommitRequest, code int16) int16 {
	if req.Version < 2 && code == codeCoordinatorLoading {
		return codeCoordinatorNotAvailable
	}
	return code
}

// plainCommit is the same as an OffsetCommit of a version that has names, leader epochs, members, and the codes of TxnOffsetCommit.
func plainCommit(req *kmsg.TxnOffsetCommitRequest) *kmsg.OffsetCommitRequest {
	out := kmsg.NewPtrOffsetCommitRequest()
	out.Version, out.Group, out.Generation, out.MemberID, out.InstanceID = 8, req.Group, -1, "", nil
	if req.Version >= 3 {
		out.Generation, out.MemberID, out.InstanceID = req.Generation, req.MemberID, req.InstanceID
	}
	for i := range req.Topics {
		rt := &req.Topics[i]
		t := kmsg.NewOffsetCommitRequestTopic()
		t.Topic = rt.Topic
		for k := range rt.Partitions {
			rp := &rt.Partitions[k]
			p := kmsg.NewOffsetCommitRequestTopicPartition()
			p.Partition, p.Offset, p.Metadata, p.LeaderEpoch = rp.Partition, rp.Offset, rp.Metadata, -1
			if req.Version >= 2 {
				p.LeaderEpoch = rp.LeaderEpoch
			}
			t.Partitions = append(t.Partitions, p)
		}
		out.Topics = append(out.Topics, t)
	}
	return out
}

func txnAnswer(req *kmsg.TxnOffsetCommitRequest, from *kmsg.OffsetCommitResponse) kmsg.Response {
	resp := kmsg.NewPtrTxnOffsetCommitResponse()
	resp.Version = req.Version
	for i := range from.Topics {
		t := kmsg.TxnOffsetCommitResponseTopic{Topic: from.Topics[i].Topic}
		for _, p := range from.Topics[i].Partitions {
			t.Partitions = append(t.Partitions, kmsg.TxnOffsetCommitResponseTopicPartition{Partition: p.Partition, ErrorCode: txnCode(req, p.ErrorCode)})
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

// commitTxn appends the records of commits as part of a transaction. It reports whether done will be called, with the codes of all commits set. The
// offsets are unstable from now on: whoever takes a partition over must not read the old offset while the new one is on its way.
func (g *group) commitTxn(t *turn, commits []commit, txn *txnID, done func()) bool {
	taken, records := g.begin(t, commits, -1)
	if len(records) == 0 {
		return false
	}
	for _, cm := range taken {
		g.setTxnOffset(txn.producer, cm.tp, cm.offset)
	}
	t.appendTxn(records, txn, func(t *turn, err error) {
		for _, cm := range taken {
			*cm.code = appendCode(err, codeInvalidCommitOffsetSize)
			if t.s.state == shardActive {
				g.commitEnds(cm.tp)
				if err != nil && g.txns[txn.producer][cm.tp] == cm.offset {
					delete(g.txns[txn.producer], cm.tp)
					if len(g.txns[txn.producer]) == 0 {
						g.forgetTxn(txn.producer)
					}
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

// setTxnOffset notes an offset of an open transaction.
func (g *group) setTxnOffset(producer int64, tp topicPartition, o offset) {
	if g.txns == nil {
		g.txns = make(map[int64]map[topicPartition]offset)
	}
	if g.txns[producer] == nil {
		g.txns[producer] = make(map[topicPartition]offset)
	}
	g.txns[producer][tp] = o
	s := g.s
	if s.txns == nil {
		s.txns = make(map[int64]map[*group]bool)
	}
	if s.txns[producer] == nil {
		s.txns[producer] = make(map[*group]bool)
	}
	s.txns[producer][g] = true
}

// forgetTxn forgets the offsets of a transaction.
func (g *group) forgetTxn(producer int64) {
	delete(g.txns, producer)
	delete(g.s.txns[producer], g)
	if len(g.s.txns[producer]) == 0 {
		delete(g.s.txns, producer)
	}
}

// unstable reports whether an open transaction may change the partition's offset.
func (g *group) unstable(tp topicPartition) bool {
	for _, offsets := range g.txns {
		if _, ok := offsets[tp]; ok {
			return true
		}
	}
	return false
}

// EndTxn ends a producer's transaction in a partition of __consumer_offsets, when its marker there is durable: its offsets count now, or never.
func (c *Coordinator) EndTxn(partition int32, producer int64, commit bool) {
	s := c.shards.At(partition)
	if s == nil {
		return
	}
	s.serve(func(t *turn) {
		for g := range s.txns[producer] {
			offsets := g.txns[producer]
			g.forgetTxn(producer)
			if commit {
				for tp, o := range offsets {
					g.setOffset(tp, o)
				}
			}
			g.forgetIfUnused(t)
		}
	})
}

// applyOpen takes a record of an open transaction.
func (r *replayer) applyOpen(o OpenRecord) {
	k, err := decodeKey(o.Key)
	if err != nil || k.version != keyOffset && k.version != keyOffset0 || o.Value == nil {
		r.note(err)
		return
	}
	value, err := decodeOffsetValue(o.Value)
	if err != nil {
		r.note(err)
		return
	}
	g := r.groups[string(k.group)]
	if g == nil {
		g = r.makeGroup(string(k.group))
	}
	g.setTxnOffset(o.ProducerID, topicPartition{string(k.topic), k.partition}, value)
}
