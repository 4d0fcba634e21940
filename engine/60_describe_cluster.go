package engine

import (
	"cmp"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/kraft"
)

// DescribeCluster (key 60), versions 0 to 2, and what else tells a client about the cluster: DescribeTopicPartitions (key 75),
// DescribeLogDirs (key 35) 1 to 5.

func describeCluster(r *request) {
	req, b := r.body.(*kmsg.DescribeClusterRequest), r.broker
	resp := kmsg.NewPtrDescribeClusterResponse()
	resp.EndpointType, resp.ClusterAuthorizedOperations = 1, operationsUnknown
	resp.Brokers = []kmsg.DescribeClusterResponseBroker{}
	resp.ControllerID = -1
	if req.Version >= 1 && req.EndpointType != 1 {
		message := "this is a broker listener: endpoint type 1"
		resp.ErrorCode, resp.ErrorMessage = int16(kproto.UnsupportedEndpointType), &message
		if req.EndpointType == 2 {
			resp.ErrorCode = int16(kproto.MismatchedEndpointType)
		}
		r.reply(resp)
		return
	}
	var known kmsg.MetadataResponse
	img := b.node.Image()
	b.describeBrokers(img, r.conn.listener, &known)
	resp.ClusterID, resp.ControllerID = *known.ClusterID, known.ControllerID
	if req.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = clusterOperations
	}
	img.Brokers(func(kb *kraft.Broker) bool {
		e, ok := kb.Endpoint(r.conn.listener)
		if !ok || kb.Fenced && !req.IncludeFencedBrokers {
			return true
		}
		out := kmsg.NewDescribeClusterResponseBroker()
		out.NodeID, out.Host, out.Port, out.IsFenced = kb.ID, e.Host, int32(e.Port), kb.Fenced
		if kb.Rack != "" {
			rack := kb.Rack
			out.Rack = &rack
		}
		resp.Brokers = append(resp.Brokers, out)
		return true
	})
	r.reply(resp)
}

// describeTopicPartitions pages through topics in name order (KIP-966).
func describeTopicPartitions(r *request) {
	req, b := r.body.(*kmsg.DescribeTopicPartitionsRequest), r.broker
	img := b.node.Image()
	resp := kmsg.NewPtrDescribeTopicPartitionsResponse()
	resp.Topics = []kmsg.DescribeTopicPartitionsResponseTopic{}
	var names []string
	for i := range req.Topics {
		names = append(names, req.Topics[i].Topic)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	from, fromPartition := "", int32(0)
	if c := req.Cursor; c != nil {
		from, fromPartition = c.Topic, c.Partition
		if fromPartition < 0 || len(names) > 0 && !slices.Contains(names, from) {
			for _, name := range names { // there is no error field at the top
				t := kmsg.NewDescribeTopicPartitionsResponseTopic()
				t.Topic, t.ErrorCode, t.Partitions = &name, int16(kproto.InvalidRequest), []kmsg.DescribeTopicPartitionsResponseTopicPartition{}
				resp.Topics = append(resp.Topics, t)
			}
			r.reply(resp)
			return
		}
	}
	if len(names) == 0 {
		img.TopicsFrom(from, func(t *kraft.Topic) bool {
			if r.visible == nil || r.visible(t.Name) {
				names = append(names, t.Name)
			}
			return len(names) <= b.cfg.Topics.MaxRequestPartitionsPerPage
		})
	}
	left := min(max(int(req.ResponsePartitionLimit), 1), b.cfg.Topics.MaxRequestPartitionsPerPage)
	for _, name := range names {
		if cmp.Less(name, from) {
			continue
		}
		start := int32(0)
		if name == from {
			start = fromPartition
		}
		if left == 0 {
			resp.NextCursor = nextCursor(name, start)
			break
		}
		t, took, rest := b.describeTopicPage(img, name, start, left, r.conn.listener)
		resp.Topics = append(resp.Topics, t)
		left -= took
		if rest {
			resp.NextCursor = nextCursor(name, start+int32(took))
			break
		}
	}
	r.reply(resp)
}

func nextCursor(topic string, index int32) *kmsg.DescribeTopicPartitionsResponseNextCursor {
	c := kmsg.NewDescribeTopicPartitionsResponseNextCursor()
	c.Topic, c.Partition = topic, index
	return &c
}

func (b *Broker) describeTopicPage(img *kraft.Image, name string, start int32, limit int, listener string) (out kmsg.DescribeTopicPartitionsResponseTopic, took int, rest bool) {
	out = kmsg.NewDescribeTopicPartitionsResponseTopic()
	out.Topic, out.IsInternal, out.AuthorizedOperations = &name, isInternalTopic(name), topicOperations
	out.Partitions = []kmsg.DescribeTopicPartitionsResponseTopicPartition{}
	t := img.Topic(name)
	if t == nil {
		out.ErrorCode = int16(kproto.UnknownTopicOrPartition)
		if !kraft.ValidTopicName(name) {
			out.ErrorCode = int16(kproto.InvalidTopicException)
		}
		return out, 0, false
	}
	out.TopicID = t.ID
	for i := int(start); i < len(t.Partitions); i++ {
		if took == limit {
			return out, took, true
		}
		p := &t.Partitions[i]
		dp := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
		dp.Partition, dp.LeaderID, dp.LeaderEpoch = int32(i), p.Leader, p.LeaderEpoch
		dp.Replicas, dp.ISR, dp.OfflineReplicas = p.Replicas, p.ISR, []int32{}
		dp.EligibleLeaderReplicas, dp.LastKnownELR = []int32{}, []int32{} // empty, not null: the Java Admin iterates
		if code := leaderState(img, p, listener); code != kproto.None {
			dp.LeaderID, dp.ErrorCode, dp.OfflineReplicas = -1, int16(code), p.Replicas
			if code == kproto.LeaderNotAvailable { // see Metadata
				dp.ISR, dp.EligibleLeaderReplicas, dp.LastKnownELR = []int32{}, p.Replicas, p.Replicas
			}
		}
		out.Partitions = append(out.Partitions, dp)
		took++
	}
	return out, took, false
}

// describeLogDirs reports one directory, the first of log.dirs, that holds every partition of this broker.
func describeLogDirs(r *request) {
	req, b := r.body.(*kmsg.DescribeLogDirsRequest), r.broker
	wanted := map[string]map[int32]bool{}
	for i := range req.Topics {
		t := &req.Topics[i]
		if wanted[t.Topic] == nil { // it may be named more than once
			wanted[t.Topic] = map[int32]bool{}
		}
		for _, p := range t.Partitions {
			wanted[t.Topic][p] = true
		}
	}
	dir := kmsg.NewDescribeLogDirsResponseDir()
	dir.Dir, dir.TotalBytes, dir.UsableBytes = b.cfg.LogDirs[0], -1, -1
	dir.Topics = []kmsg.DescribeLogDirsResponseDirTopic{}
	byTopic := map[string]int{}
	for _, s := range b.topics.all() {
		p := s.open.Load()
		if p == nil || req.Topics != nil && !wanted[p.Topic][p.Index] {
			continue
		}
		at, ok := byTopic[p.Topic]
		if !ok {
			at = len(dir.Topics)
			byTopic[p.Topic] = at
			t := kmsg.NewDescribeLogDirsResponseDirTopic()
			t.Topic = p.Topic
			dir.Topics = append(dir.Topics, t)
		}
		dp := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
		dp.Partition, dp.Size = p.Index, p.SizeBytes()
		dir.Topics[at].Partitions = append(dir.Topics[at].Partitions, dp)
	}
	resp := kmsg.NewPtrDescribeLogDirsResponse()
	resp.Dirs = []kmsg.DescribeLogDirsResponseDir{dir}
	r.reply(resp)
}
