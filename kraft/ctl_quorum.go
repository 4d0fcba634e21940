package kraft

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/ringmq/ringmq/kraft/record"
)

// Changes of the quorum's members, by the active controller: AddRaftVoter (key 80), RemoveRaftVoter (81), UpdateRaftVoter (82). A new member first
// becomes a learner, which gets the log and has no vote, and a voter when it has caught up, so that it never holds up a commit. A leader that is to be
// removed hands the leadership over, and the next one removes it. It never removes itself: it would stop before the others know that they go on without it, and
// with entries behind its removal that nobody else has, it would be the only one to whom they could not prove that theirs is the newer log. Of two
// voters, the one that stays could then never win.

// changeVoters commits the change of one member. decide looks at the present members and returns those that shall be, with the difference for raft. A refusal
// is returned as a *kafkaError.
func (c *controller) changeVoters(ctx context.Context, decide func([]Voter) ([]Voter, *pb.ConfChangeSingle, error)) error {
	p, err := c.startChange(decide)
	if err != nil {
		return err
	}
	return c.wait(ctx, p)
}

func (c *controller) startChange(decide func([]Voter) ([]Voter, *pb.ConfChangeSingle, error)) (*pending, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.term == 0 {
		return nil, ErrNotController
	}
	// Majorities overlap only between a set and the next one: a change has to be applied here before the next is proposed. Those of earlier terms are,
	// because the first entry of this term is.
	if p := c.mu.change; p != nil {
		select {
		case <-p.done:
		default:
			return nil, &kafkaError{kafkaRequestTimedOut, "Another change of the voters is under way."}
		}
	}
	voters, single, err := decide(c.mu.tail.Voters())
	if err != nil {
		return nil, err
	}
	if single.GetType() == pb.ConfChangeRemoveNode && single.GetNodeId() == raftID(c.opts.NodeID) {
		return nil, &kafkaError{kafkaRequestTimedOut, fmt.Sprintf("Voter %d leads, and no other voter has taken the leadership over.", c.opts.NodeID)}
	}
	t := c.begin()
	t.add(&record.VoterSet{Voters: voters})
	t.conf = &pb.ConfChangeV2{Changes: []*pb.ConfChangeSingle{single}}
	p, err := c.propose(t)
	if err == nil {
		c.mu.change = p
	}
	return p, err
}

// changed is a change of one member.
func changed(t pb.ConfChangeType, id int32) *pb.ConfChangeSingle {
	return &pb.ConfChangeSingle{Type: t.Enum(), NodeId: new(raftID(id))}
}

func byVoterID(v Voter, id int32) int { return int(v.ID) - int(id) }

// withVoter returns the set with v in it, in the place of the member with its id if there is one.
func withVoter(voters []Voter, v Voter) []Voter {
	out := slices.Clone(voters)
	i, found := slices.BinarySearchFunc(out, v.ID, byVoterID)
	if found {
		out[i] = v
		return out
	}
	return slices.Insert(out, i, v)
}

// voterKey names a voter in messages as Kafka does.
func voterKey(id int32, directory [16]byte) string {
	return fmt.Sprintf("ReplicaKey(id=%d, directoryId=%s)", id, uuidText(directory))
}

func voterKeys(voters []Voter) string {
	var keys []string
	for _, v := range voters {
		if !v.Learner {
			keys = append(keys, voterKey(v.ID, v.Directory))
		}
	}
	return "[" + strings.Join(keys, ", ") + "]"
}

// learn makes a node a learner, or finds that it is one already.
func learn(v Voter) func([]Voter) ([]Voter, *pb.ConfChangeSingle, error) {
	return func(voters []Voter) ([]Voter, *pb.ConfChangeSingle, error) {
		i, found := slices.BinarySearchFunc(voters, v.ID, byVoterID)
		// Raft knows members by their ids: what it believes of a directory that is gone must not pass to another one.
		if found && (!voters[i].Learner || voters[i].Directory != v.Directory) {
			return nil, nil, &kafkaError{kafkaDuplicateVoter, fmt.Sprintf(
				"The voter id for %s is already part of the set of voters %s.", voterKey(v.ID, v.Directory), voterKeys(voters))}
		}
		v.Learner = true
		return withVoter(voters, v), changed(pb.ConfChangeAddLearnerNode, v.ID), nil
	}
}

// promote gives a learner its vote.
func promote(v Voter) func([]Voter) ([]Voter, *pb.ConfChangeSingle, error) {
	return func(voters []Voter) ([]Voter, *pb.ConfChangeSingle, error) {
		i, found := slices.BinarySearchFunc(voters, v.ID, byVoterID)
		if !found || voters[i].Directory != v.Directory {
			return nil, nil, &kafkaError{kafkaVoterNotFound, fmt.Sprintf("%s was removed while it was being added.", voterKey(v.ID, v.Directory))}
		}
		v.Learner = false
		return withVoter(voters, v), changed(pb.ConfChangeAddNode, v.ID), nil
	}
}

// expel removes a member, a learner too. The last voter stays.
func expel(id int32, directory [16]byte) func([]Voter) ([]Voter, *pb.ConfChangeSingle, error) {
	return func(voters []Voter) ([]Voter, *pb.ConfChangeSingle, error) {
		i, found := slices.BinarySearchFunc(voters, id, byVoterID)
		last := !slices.ContainsFunc(voters, func(v Voter) bool { return !v.Learner && v.ID != id })
		if !found || last || voters[i].Directory != directory && voters[i].Directory != [16]byte{} {
			return nil, nil, &kafkaError{kafkaVoterNotFound, fmt.Sprintf(
				"Cannot remove voter %s from the set of voters %s", voterKey(id, directory), voterKeys(voters))}
		}
		return slices.Delete(slices.Clone(voters), i, i+1), changed(pb.ConfChangeRemoveNode, id), nil
	}
}

// updateVoter notes the directory and the addresses of a member, which it tells when it starts.
func (t *tx) updateVoter(r *kmsg.UpdateRaftVoterRequest) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.UpdateRaftVoterResponse)
	resp.CurrentLeader.LeaderID, resp.CurrentLeader.LeaderEpoch = t.c.opts.NodeID, int32(t.c.mu.term)
	voters := t.img().Voters()
	i, found := slices.BinarySearchFunc(voters, r.VoterID, byVoterID)
	switch {
	case r.ClusterID == nil || *r.ClusterID != t.c.opts.ClusterID:
		resp.ErrorCode = kafkaInconsistentClusterID
	case len(r.Listeners) == 0 || len(r.Listeners) > maxEndpoints:
		resp.ErrorCode = kafkaInvalidRequest
	case !found || voters[i].Directory != r.VoterDirectoryID && voters[i].Directory != [16]byte{}:
		resp.ErrorCode = kafkaVoterNotFound
	default:
		v := Voter{ID: r.VoterID, Directory: r.VoterDirectoryID, Learner: voters[i].Learner}
		for _, l := range r.Listeners {
			v.Endpoints = append(v.Endpoints, BrokerEndpoint{Name: l.Name, Host: l.Host, Port: l.Port})
		}
		if v.Directory != voters[i].Directory || !slices.Equal(v.Endpoints, voters[i].Endpoints) {
			t.add(&record.VoterSet{Voters: withVoter(voters, v)})
			t.c.logger.Info("kraft: voter tells where it is", "voter", v.ID, "address", endpointAddr(v.Endpoints[0]))
		}
	}
	return resp
}
