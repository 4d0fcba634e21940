package engine

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
)

// AlterReplicaLogDirs (key 34), versions 1 to 2. Partitions lie in the object store, and log.dirs holds no part of them: one is in every directory of log.dirs that is
// asked for, and nothing moves. What does not exist is refused as by Kafka.
func alterReplicaLogDirs(r *request) {
	req, b := r.body.(*kmsg.AlterReplicaLogDirsRequest), r.broker
	resp := kmsg.NewPtrAlterReplicaLogDirsResponse()
	resp.Topics = []kmsg.AlterReplicaLogDirsResponseTopic{}
	at := map[string]int{}
	for i := range req.Dirs {
		known := slices.Contains(b.cfg.LogDirs, req.Dirs[i].Dir)
		for _, t := range req.Dirs[i].Topics {
			n, ok := at[t.Topic]
			if !ok {
				n = len(resp.Topics)
				at[t.Topic] = n
				out := kmsg.NewAlterReplicaLogDirsResponseTopic()
				out.Topic = t.Topic
				resp.Topics = append(resp.Topics, out)
			}
			for _, index := range t.Partitions {
				p := kmsg.NewAlterReplicaLogDirsResponseTopicPartition()
				p.Partition = index
				if !known {
					p.ErrorCode = int16(kproto.LogDirNotFound)
				} else if _, code := b.partitionByName(t.Topic, [16]byte{}, false, index); code == kproto.NotLeaderOrFollower {
					p.ErrorCode = int16(kproto.ReplicaNotAvailable)
				} else {
					p.ErrorCode = int16(code)
				}
				resp.Topics[n].Partitions = append(resp.Topics[n].Partitions, p)
			}
		}
	}
	r.reply(resp)
}
