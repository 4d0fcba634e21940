package kraft

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// QuorumInfo is the state of the quorum as a node sees it.
type QuorumInfo struct {
	LeaderID    int32 // -1 if unknown
	Term        int64
	CommitIndex int64
	Applied     int64 // offset of Image
	Active      bool  // this node is the active controller
	Voters      []ReplicaInfo
	Observers   []ReplicaInfo // known to the leader only; learners among them
}

// ReplicaInfo is one follower of the log.
type ReplicaInfo struct {
	ID           int32
	Directory    [16]byte // id of its metadata directory; zero if unknown
	Match        int64    // last offset known to be on its disk (observers: in its image); -1 if unknown
	LastFetch    int64    // ms since the epoch of the last sign of life; -1 if unknown
	LastCaughtUp int64    // ms since the epoch when it was last known to have the whole log; -1 if unknown
	Snapshot     bool     // it is being sent a snapshot
	Learner      bool     // a member without a vote, which is catching up
	Active       bool     // the leader has heard of it within an election timeout
}

// Quorum is the state of the quorum as this node sees it. What it says of others is known to the leader only.
func (n *Node) Quorum() QuorumInfo {
	img := n.Image()
	info := QuorumInfo{LeaderID: n.leader(), Term: img.Term(), CommitIndex: img.Offset(), Applied: img.Offset()}
	var followers []ReplicaInfo
	if n.core != nil {
		st := n.core.status.Load()
		info.Term, info.CommitIndex, followers = st.term, st.commit, slices.Clone(st.followers)
		info.Active = n.ctl.active()
		if st.isLeader {
			info.Observers = n.observers.list()
		}
	}
	if len(followers) == 0 {
		for id := range n.book.page.Load().addrs {
			followers = append(followers, ReplicaInfo{ID: id, Match: -1, LastFetch: -1, LastCaughtUp: -1})
		}
		slices.SortFunc(followers, func(a, b ReplicaInfo) int { return int(a.ID) - int(b.ID) })
	}
	for _, f := range followers {
		v, ok, _ := n.book.member(f.ID)
		if ok {
			f.Directory, f.Learner = v.Directory, v.Learner
		}
		// A member that followed the log before it was one is listed once.
		info.Observers = slices.DeleteFunc(info.Observers, func(o ReplicaInfo) bool { return o.ID == f.ID && o.Directory == f.Directory })
		if f.Learner {
			info.Observers = append(info.Observers, f)
		} else {
			info.Voters = append(info.Voters, f)
		}
	}
	return info
}

// describeQuorum answers DescribeQuorum as the leader of a majority.
func (n *Node) describeQuorum(ctx context.Context, r *kmsg.DescribeQuorumRequest) (kmsg.Response, error) {
	term := n.core.status.Load().term
	if !n.ctl.active() {
		return nil, ErrNotController
	}
	if err := n.core.confirm(ctx, term); err != nil {
		if errors.Is(err, errNotLeader) {
			err = ErrNotController
		}
		return nil, err
	}
	info := n.Quorum()
	resp := r.ResponseKind().(*kmsg.DescribeQuorumResponse)
	resp.Topics = quorumTopics(r, func(op *kmsg.DescribeQuorumResponseTopicPartition) {
		op.LeaderID, op.LeaderEpoch, op.HighWatermark = info.LeaderID, int32(info.Term), info.CommitIndex
		op.CurrentVoters, op.Observers = replicaStates(info.Voters), replicaStates(info.Observers)
	})
	resp.Nodes = []kmsg.DescribeQuorumResponseNode{}
	for _, v := range n.Image().Voters() {
		if v.Learner {
			continue
		}
		node := kmsg.DescribeQuorumResponseNode{NodeID: v.ID}
		for _, e := range v.Endpoints {
			node.Listeners = append(node.Listeners, kmsg.DescribeQuorumResponseNodeListener{Name: e.Name, Host: e.Host, Port: e.Port})
		}
		resp.Nodes = append(resp.Nodes, node)
	}
	return resp, nil
}

// failedQuorum answers DescribeQuorum with an error for everything that was asked for.
func failedQuorum(r *kmsg.DescribeQuorumRequest, code int16) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.DescribeQuorumResponse)
	resp.Topics = quorumTopics(r, func(op *kmsg.DescribeQuorumResponseTopicPartition) { op.ErrorCode = code })
	resp.Nodes = []kmsg.DescribeQuorumResponseNode{}
	return resp
}

// quorumTopics answers for each partition that was asked for; fill does it for the only one that there is.
func quorumTopics(r *kmsg.DescribeQuorumRequest, fill func(*kmsg.DescribeQuorumResponseTopicPartition)) []kmsg.DescribeQuorumResponseTopic {
	topics := make([]kmsg.DescribeQuorumResponseTopic, 0, len(r.Topics))
	for _, t := range r.Topics {
		out := kmsg.DescribeQuorumResponseTopic{Topic: t.Topic, Partitions: make([]kmsg.DescribeQuorumResponseTopicPartition, 0, len(t.Partitions))}
		for _, p := range t.Partitions {
			op := kmsg.NewDescribeQuorumResponseTopicPartition()
			op.Partition = p.Partition
			op.CurrentVoters, op.Observers = []kmsg.DescribeQuorumResponseTopicPartitionReplicaState{}, []kmsg.DescribeQuorumResponseTopicPartitionReplicaState{}
			if t.Topic != clusterMetadataTopic || p.Partition != 0 {
				op.ErrorCode = kafkaUnknownTopic
			} else {
				fill(&op)
			}
			out.Partitions = append(out.Partitions, op)
		}
		topics = append(topics, out)
	}
	return topics
}

func replicaStates(infos []ReplicaInfo) []kmsg.DescribeQuorumResponseTopicPartitionReplicaState {
	out := make([]kmsg.DescribeQuorumResponseTopicPartitionReplicaState, 0, len(infos))
	for _, i := range infos {
		s := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
		s.ReplicaID, s.ReplicaDirectoryID, s.LogEndOffset = i.ID, i.Directory, i.Match
		s.LastFetchTimestamp, s.LastCaughtUpTimestamp = i.LastFetch, i.LastCaughtUp
		out = append(out, s)
	}
	return out
}

// Endpoint types of DescribeCluster.
const (
	endpointBrokers     int8 = 1
	endpointControllers int8 = 2
)

// describeCluster tells a client of the CONTROLLER listener who the controllers are, and which one leads.
func (n *Node) describeCluster(r *kmsg.DescribeClusterRequest) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.DescribeClusterResponse)
	resp.ClusterID, resp.ControllerID, resp.EndpointType = n.opts.ClusterID, n.leader(), endpointControllers
	resp.Brokers = []kmsg.DescribeClusterResponseBroker{}
	if r.Version < 1 || r.EndpointType != endpointControllers {
		text := fmt.Sprintf("The given endpoint type, %d, does not match that of this listener, %d.", r.EndpointType, endpointControllers)
		resp.ErrorCode, resp.ErrorMessage = kafkaMismatchedEndpoint, &text
		if r.Version < 1 || r.EndpointType == endpointBrokers {
			return resp
		}
		resp.ErrorCode = kafkaUnsupportedEndpoint
		return resp
	}
	for _, v := range n.Image().Voters() {
		if len(v.Endpoints) == 0 {
			continue
		}
		b := kmsg.NewDescribeClusterResponseBroker()
		b.NodeID, b.Host, b.Port = v.ID, v.Endpoints[0].Host, int32(v.Endpoints[0].Port)
		resp.Brokers = append(resp.Brokers, b)
	}
	return resp
}
