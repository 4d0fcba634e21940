package kraft

import (
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
	Observers   []ReplicaInfo // known to the leader only
}

// ReplicaInfo is one follower of the log.
type ReplicaInfo struct {
	ID        int32
	Match     int64 // last offset known to be on its disk (observers: in its image); -1 if unknown
	LastFetch int64 // ms since the epoch of the last sign of life; -1 if unknown
	Snapshot  bool  // it is being sent a snapshot
}

// Quorum is the state of the quorum as this node sees it. Match and LastFetch of others are known to the leader only.
func (n *Node) Quorum() QuorumInfo {
	img := n.Image()
	info := QuorumInfo{LeaderID: n.leader(), Term: img.Term(), CommitIndex: img.Offset(), Applied: img.Offset()}
	if n.core != nil {
		st := n.core.status.Load()
		info.Term, info.CommitIndex, info.Voters = st.term, st.commit, slices.Clone(st.followers)
		info.Active = n.ctl.active()
		info.Observers = n.observers.list()
		if !st.isLeader {
			info.Observers = nil
		}
	}
	if len(info.Voters) == 0 {
		for id := range n.opts.Voters {
			info.Voters = append(info.Voters, ReplicaInfo{ID: id, Match: -1, LastFetch: -1})
		}
		slices.SortFunc(info.Voters, func(a, b ReplicaInfo) int { return int(a.ID) - int(b.ID) })
	}
	return info
}

// describeQuorum answers DescribeQuorum from what this node knows.
func (n *Node) describeQuorum(r *kmsg.DescribeQuorumRequest) kmsg.Response {
	info := n.Quorum()
	resp := r.ResponseKind().(*kmsg.DescribeQuorumResponse)
	resp.Topics = make([]kmsg.DescribeQuorumResponseTopic, 0, len(r.Topics))
	for _, t := range r.Topics {
		out := kmsg.DescribeQuorumResponseTopic{Topic: t.Topic, Partitions: make([]kmsg.DescribeQuorumResponseTopicPartition, 0, len(t.Partitions))}
		for _, p := range t.Partitions {
			op := kmsg.NewDescribeQuorumResponseTopicPartition()
			op.Partition = p.Partition
			op.CurrentVoters, op.Observers = []kmsg.DescribeQuorumResponseTopicPartitionReplicaState{}, []kmsg.DescribeQuorumResponseTopicPartitionReplicaState{}
			switch {
			case t.Topic != clusterMetadataTopic || p.Partition != 0:
				op.ErrorCode = kafkaUnknownTopic
			case !info.Active:
				op.ErrorCode = kafkaNotLeader
			default:
				op.LeaderID, op.LeaderEpoch, op.HighWatermark = info.LeaderID, int32(info.Term), info.CommitIndex
				op.CurrentVoters, op.Observers = replicaStates(info.Voters), replicaStates(info.Observers)
			}
			out.Partitions = append(out.Partitions, op)
		}
		resp.Topics = append(resp.Topics, out)
	}
	resp.Nodes = []kmsg.DescribeQuorumResponseNode{}
	if len(n.opts.ControllerEndpoints) > 0 {
		node := kmsg.DescribeQuorumResponseNode{NodeID: n.opts.NodeID}
		for _, e := range n.opts.ControllerEndpoints {
			node.Listeners = append(node.Listeners, kmsg.DescribeQuorumResponseNodeListener{Name: e.Name, Host: e.Host, Port: e.Port})
		}
		resp.Nodes = append(resp.Nodes, node)
	}
	return resp
}

func replicaStates(infos []ReplicaInfo) []kmsg.DescribeQuorumResponseTopicPartitionReplicaState {
	out := make([]kmsg.DescribeQuorumResponseTopicPartitionReplicaState, 0, len(infos))
	for _, i := range infos {
		s := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
		s.ReplicaID, s.LogEndOffset, s.LastFetchTimestamp, s.LastCaughtUpTimestamp = i.ID, i.Match, i.LastFetch, i.LastFetch
		out = append(out, s)
	}
	return out
}
