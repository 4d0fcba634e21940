package kraft

import (
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// A voter that is alone asks others what is committed, and that may be what it needs to win an election. When of two voters one is removed and the leader
// that did it restarts, it may not know that the removal is committed, while the removed one does, and has a longer log: the leader cannot win with the other's
// vote, and the other is no voter any more. An entry that others know to be committed, and that is in this node's log with the same term, is committed
// there with everything before it.

// heard tells raft what others say is committed.
func (c *core) heard(piece *logPiece) {
	type at struct{ index, term int64 }
	var known []at // newest last
	if piece.image != nil {
		known = append(known, at{piece.image.Offset(), piece.image.Term()})
	}
	for _, e := range piece.entries {
		known = append(known, at{e.index, e.term})
	}
	c.call(func() {
		st := c.rn.BasicStatus()
		if st.RaftState == raft.StateLeader {
			return
		}
		for n := len(known) - 1; n >= 0 && uint64(known[n].index) > st.GetCommit(); n-- {
			index, term := uint64(known[n].index), uint64(known[n].term)
			if t, err := c.log.Storage().Term(index); err != nil || t != term {
				continue
			}
			// Of a snapshot that its log has already, raft takes this much: that it is committed. It comes from nobody, and makes nobody the leader.
			c.step(&pb.Message{Type: pb.MsgSnap.Enum(), To: &c.id, From: new(raft.None), Term: new(st.GetTerm()), Snapshot: &pb.Snapshot{
				Metadata: &pb.SnapshotMetadata{Index: &index, Term: &term, ConfState: &pb.ConfState{Voters: []uint64{c.id}}},
			}})
			return
		}
	})
}
