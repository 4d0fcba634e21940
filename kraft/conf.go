package kraft

import (
	"fmt"
	"math"
	"slices"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"github.com/ringmq/ringmq/kraft/record"
)

// The members of the quorum are part of the image (VoterSet). Raft's own configuration follows the image: what it is after an entry depends on that
// entry's image alone, so a node may begin with any configuration, and a joining one with none at all.
//
// A change of the members is one raft entry of type EntryConfChangeV2, whose context is the batch with the new VoterSet; it adds, promotes or removes one
// member, so the majorities before and after it overlap. The controller proposes one only when everything proposed before is applied (see
// controller.changeVoters).

// A configuration is in force when its entry is applied, on each node for itself, and never goes back on any: otherwise two nodes could find majorities
// two changes apart, which need not overlap. So the commit index is on the disk before a configuration comes into force, and a node that restarts begins
// with the newest configuration that it can know to be committed, be its snapshot older: the newest in the log up to the commit index, or the
// last but one in the whole log, because nobody proposes a change before the one before is committed. (Both rules were found by the simulation.)

// firstConf finds the configuration that a node begins with in its log; index 0 if it is that of the snapshot.
func firstConf(log raft.Storage) (index int64, conf *pb.ConfState, err error) {
	hs, _, err := log.InitialState()
	if err != nil {
		return 0, nil, err
	}
	first, err := log.FirstIndex()
	if err != nil {
		return 0, nil, err
	}
	last, err := log.LastIndex()
	if err != nil || last < first {
		return 0, nil, err
	}
	ents, err := log.Entries(first, last+1, math.MaxUint64)
	if err != nil {
		return 0, nil, err
	}
	newest := true
	for _, e := range slices.Backward(ents) {
		if e.GetType() != pb.EntryConfChangeV2 {
			continue
		}
		if newest && e.GetIndex() > hs.GetCommit() {
			newest = false
			continue
		}
		conf, err := confOfEntry(e)
		return int64(e.GetIndex()), conf, err
	}
	return 0, nil, nil
}

// confOfEntry is the configuration that a change of members makes.
func confOfEntry(e *pb.Entry) (*pb.ConfState, error) {
	change, err := entriesOf([]*pb.Entry{e})
	if err != nil {
		return nil, err
	}
	batch, err := record.ReadBatch(change[0].data)
	if err != nil {
		return nil, fmt.Errorf("kraft: entry %d: %w", e.GetIndex(), err)
	}
	for _, r := range batch.Records {
		if set, ok := r.(*record.VoterSet); ok {
			return confOfVoters(set.Voters), nil
		}
	}
	return nil, fmt.Errorf("kraft: entry %d: a change of members without members: %w", e.GetIndex(), record.ErrCorrupt)
}

// confOf is the configuration of an image; founders is that of images that do not say.
func confOf(img *Image, founders []int32) *pb.ConfState {
	if len(img.Voters()) > 0 {
		return confOfVoters(img.Voters())
	}
	conf := &pb.ConfState{}
	for _, id := range founders {
		conf.Voters = append(conf.Voters, raftID(id))
	}
	return conf
}

func confOfVoters(voters []Voter) *pb.ConfState {
	conf := &pb.ConfState{}
	for _, v := range voters {
		if v.Learner {
			conf.Learners = append(conf.Learners, raftID(v.ID))
		} else {
			conf.Voters = append(conf.Voters, raftID(v.ID))
		}
	}
	return conf
}

// reconfigure makes raft's configuration the one that is in force from an entry on; the loop does it before anything that it is given later. The entry has
// to be committed by what is on the disk.
func (c *core) reconfigure(conf *pb.ConfState, index int64) {
	if index < c.confIndex {
		return // the log is replayed from an older snapshot
	}
	c.mail.Lock()
	c.mail.conf = conf
	c.mail.Unlock()
	c.ring()
}

// commitOnDisk returns when the disk says that an entry is committed, or the node stops.
func (c *core) commitOnDisk(index int64) {
	done := make(chan struct{})
	c.appends.push(appendItem{commit: &commitment{index, done}})
	select {
	case <-done:
	case <-c.stop:
	}
}

// applyConf carries out what reconfigure wants, one member at a time, as raft's rules want it: first who comes, then who goes.
func (c *core) applyConf() {
	c.mail.Lock()
	want := c.mail.conf
	c.mail.conf = nil
	c.mail.Unlock()
	if want == nil {
		return
	}
	c.applied = want
	now := c.config()
	change := func(t pb.ConfChangeType, id uint64) {
		now = c.rn.ApplyConfChange(&pb.ConfChange{Type: t.Enum(), NodeId: &id})
	}
	for _, id := range want.Voters {
		if !slices.Contains(now.Voters, id) {
			change(pb.ConfChangeAddNode, id)
		}
	}
	for _, id := range want.Learners {
		if !slices.Contains(now.Learners, id) {
			change(pb.ConfChangeAddLearnerNode, id)
		}
	}
	for _, id := range slices.Concat(now.Voters, now.Learners) {
		if !isMember(want, id) {
			change(pb.ConfChangeRemoveNode, id)
		}
	}
	c.setMembers()
	c.raiseAgain()
}

// config is raft's configuration, as changes and received snapshots have made it. It belongs to the loop.
func (c *core) config() *pb.ConfState {
	conf := &pb.ConfState{}
	c.rn.WithProgress(func(id uint64, t raft.ProgressType, _ tracker.Progress) {
		if t == raft.ProgressTypeLearner {
			conf.Learners = append(conf.Learners, id)
		} else {
			conf.Voters = append(conf.Voters, id)
		}
	})
	return conf
}

func sameConf(a, b *pb.ConfState) bool {
	return slices.Equal(a.GetVoters(), b.GetVoters()) && slices.Equal(a.GetLearners(), b.GetLearners())
}

func isMember(conf *pb.ConfState, id uint64) bool {
	return slices.Contains(conf.GetVoters(), id) || slices.Contains(conf.GetLearners(), id)
}

// setMembers tells those who ask from other goroutines.
func (c *core) setMembers() {
	conf := c.config()
	c.snapshots.Lock()
	defer c.snapshots.Unlock()
	c.snapshots.members = slices.Concat(conf.Voters, conf.Learners)
}

// raftStorage is the log as raft reads it.
type raftStorage struct {
	raft.Storage
	c    *core
	conf *pb.ConfState // to begin with; nil: that of the snapshot
}

// InitialState is what raft begins with.
func (s raftStorage) InitialState() (*pb.HardState, *pb.ConfState, error) {
	hs, conf, err := s.Storage.InitialState()
	if s.conf != nil {
		conf = s.conf
	}
	return hs, conf, err
}

// Snapshot is the snapshot for a follower that the log does not reach back to. A member that joined after it was taken could not use it, as
// raft refuses a snapshot that does not name the one that gets it: then a new one is taken, and raft asks again. A member whose addition is not
// applied here waits; the others must not wait with it, for their votes may be what the addition needs.
func (s raftStorage) Snapshot() (*pb.Snapshot, error) {
	snap, err := s.Storage.Snapshot()
	if err != nil {
		return nil, err
	}
	needed := raft.IsEmptySnap(snap)
	for _, id := range slices.Concat(s.c.applied.GetVoters(), s.c.applied.GetLearners()) {
		needed = needed || !isMember(snap.GetMetadata().GetConfState(), id)
	}
	if needed {
		s.c.applies.push(applyItem{snapshot: true})
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return snap, nil
}
