package engine

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/kraft"
)

// The guards of APIs about topics and producers.

func guardListOffsets(r *request, a asker) kmsg.Response {
	req := r.body.(*kmsg.ListOffsetsRequest)
	var denied []kmsg.ListOffsetsResponseTopic
	req.Topics, denied = part(req.Topics, func(t *kmsg.ListOffsetsRequestTopic) bool { return a.topic(opDescribe, t.Topic) },
		func(t *kmsg.ListOffsetsRequestTopic) kmsg.ListOffsetsResponseTopic {
			out := kmsg.NewListOffsetsResponseTopic()
			out.Topic = t.Topic
			for i := range t.Partitions {
				p := kmsg.NewListOffsetsResponseTopicPartition()
				p.Partition, p.ErrorCode = t.Partitions[i].Partition, topicRefused
				out.Partitions = append(out.Partitions, p)
			}
			return out
		})
	return complete(r, len(req.Topics), len(denied), func(p *kmsg.ListOffsetsResponse) { p.Topics = append(p.Topics, denied...) })
}

func guardOffsetForLeaderEpoch(r *request, a asker) kmsg.Response {
	req := r.body.(*kmsg.OffsetForLeaderEpochRequest)
	var denied []kmsg.OffsetForLeaderEpochResponseTopic
	req.Topics, denied = part(req.Topics, func(t *kmsg.OffsetForLeaderEpochRequestTopic) bool { return a.topic(opDescribe, t.Topic) },
		func(t *kmsg.OffsetForLeaderEpochRequestTopic) kmsg.OffsetForLeaderEpochResponseTopic {
			out := kmsg.NewOffsetForLeaderEpochResponseTopic()
			out.Topic = t.Topic
			for i := range t.Partitions {
				p := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
				p.Partition, p.ErrorCode, p.LeaderEpoch, p.EndOffset = t.Partitions[i].Partition, topicRefused, -1, -1
				out.Partitions = append(out.Partitions, p)
			}
			return out
		})
	return complete(r, len(req.Topics), len(denied), func(p *kmsg.OffsetForLeaderEpochResponse) { p.Topics = append(p.Topics, denied...) })
}

// guardMetadata shows only what may be described, and creates only what may be created. A topic that was asked for by its id is no secret; its name is.
func guardMetadata(r *request, a asker) kmsg.Response {
	req, b := r.body.(*kmsg.MetadataRequest), r.broker
	preferIDs(req)
	all := req.Topics == nil || req.Version == 0 && len(req.Topics) == 0
	img := b.node.Image()
	creates := b.cfg.Topics.AutoCreate && (req.Version < 4 || req.AllowAutoTopicCreation)
	var denied []kmsg.MetadataResponseTopic
	req.Topics, denied = part(req.Topics, func(t *kmsg.MetadataRequestTopic) bool {
		if t.Topic == nil {
			known := img.TopicByID(t.TopicID)
			return known == nil || a.topic(opDescribe, known.Name)
		}
		return a.topic(opDescribe, *t.Topic) && (!creates || img.Topic(*t.Topic) != nil || a.cluster(opCreate) || a.topic(opCreate, *t.Topic))
	}, func(t *kmsg.MetadataRequestTopic) kmsg.MetadataResponseTopic {
		out := kmsg.NewMetadataResponseTopic()
		out.ErrorCode, out.Topic, out.TopicID, out.AuthorizedOperations = topicRefused, t.Topic, t.TopicID, operationsUnknown
		return out
	})
	if !all && len(req.Topics) == 0 && req.Version == 0 && len(denied) > 0 {
		// Without topics, version 0 asks for all of them: answer as if none existed.
		req.Topics = []kmsg.MetadataRequestTopic{}
		resp := kmsg.NewPtrMetadataResponse()
		b.describeBrokers(img, r.conn.listener, resp)
		resp.Topics = denied
		return resp
	}
	r.amend = func(resp kmsg.Response) {
		p := resp.(*kmsg.MetadataResponse)
		if all {
			p.Topics = slices.DeleteFunc(p.Topics, func(t kmsg.MetadataResponseTopic) bool { return !a.topic(opDescribe, *t.Topic) })
		}
		for i := range p.Topics {
			if t := &p.Topics[i]; t.Topic != nil {
				t.AuthorizedOperations = a.narrow(t.AuthorizedOperations, kmsg.ACLResourceTypeTopic, *t.Topic)
			}
		}
		p.Topics = append(p.Topics, denied...)
		p.AuthorizedOperations = a.clusterOperations(p.AuthorizedOperations)
	}
	return nil
}

// clusterOperations is narrow for the cluster: nothing is said of it to those who may not describe it.
func (a asker) clusterOperations(field int32) int32 {
	if field != operationsUnknown && !a.cluster(opDescribe) {
		return 0
	}
	return a.narrow(field, kmsg.ACLResourceTypeCluster, kraft.ClusterResource)
}

func guardDescribeTopicPartitions(r *request, a asker) kmsg.Response {
	req := r.body.(*kmsg.DescribeTopicPartitionsRequest)
	if len(req.Topics) == 0 {
		r.visible = func(topic string) bool { return a.topic(opDescribe, topic) }
	}
	var denied []kmsg.DescribeTopicPartitionsResponseTopic
	req.Topics, denied = part(req.Topics, func(t *kmsg.DescribeTopicPartitionsRequestTopic) bool { return a.topic(opDescribe, t.Topic) },
		func(t *kmsg.DescribeTopicPartitionsRequestTopic) kmsg.DescribeTopicPartitionsResponseTopic {
			out := kmsg.NewDescribeTopicPartitionsResponseTopic()
			out.Topic, out.ErrorCode, out.AuthorizedOperations = &t.Topic, topicRefused, operationsUnknown
			return out
		})
	if len(req.Topics) == 0 && len(denied) > 0 {
		return complete(r, 0, len(denied), func(p *kmsg.DescribeTopicPartitionsResponse) { p.Topics = denied })
	}
	r.amend = func(resp kmsg.Response) {
		p := resp.(*kmsg.DescribeTopicPartitionsResponse)
		for i := range p.Topics {
			t := &p.Topics[i]
			t.AuthorizedOperations = a.narrow(t.AuthorizedOperations, kmsg.ACLResourceTypeTopic, *t.Topic)
		}
		p.Topics = append(p.Topics, denied...)
	}
	return nil
}

// guardCreateTopics also keeps the configuration of a new topic from those who may not see it.
func guardCreateTopics(r *request, a asker) kmsg.Response {
	req := r.body.(*kmsg.CreateTopicsRequest)
	all := a.cluster(opCreate)
	var denied []kmsg.CreateTopicsResponseTopic
	req.Topics, denied = part(req.Topics, func(t *kmsg.CreateTopicsRequestTopic) bool { return all || a.topic(opCreate, t.Topic) },
		func(t *kmsg.CreateTopicsRequestTopic) kmsg.CreateTopicsResponseTopic {
			out := kmsg.NewCreateTopicsResponseTopic()
			out.Topic, out.ErrorCode, out.NumPartitions, out.ReplicationFactor = t.Topic, topicRefused, -1, -1
			out.ErrorMessage = kmsg.StringPtr("Authorization failed.") // as Kafka words it
			return out
		})
	if len(req.Topics) == 0 && len(denied) > 0 {
		return complete(r, 0, len(denied), func(p *kmsg.CreateTopicsResponse) { p.Topics = denied })
	}
	r.amend = func(resp kmsg.Response) {
		p := resp.(*kmsg.CreateTopicsResponse)
		for i := range p.Topics {
			if t := &p.Topics[i]; t.ErrorCode == 0 && !a.topic(opDescribeConfigs, t.Topic) {
				t.ConfigErrorCode, t.NumPartitions, t.ReplicationFactor, t.Configs = topicRefused, -1, -1, nil
			}
		}
		p.Topics = append(p.Topics, denied...)
	}
	return nil
}

// guardDeleteTopics answers by id without the name when the topic may not be described.
func guardDeleteTopics(r *request, a asker) kmsg.Response {
	req, img := r.body.(*kmsg.DeleteTopicsRequest), r.broker.node.Image()
	refuse := func(name *string, id [16]byte) kmsg.DeleteTopicsResponseTopic {
		out := kmsg.NewDeleteTopicsResponseTopic()
		out.Topic, out.TopicID, out.ErrorCode = name, id, topicRefused
		return out
	}
	var byName, byRef []kmsg.DeleteTopicsResponseTopic
	req.TopicNames, byName = part(req.TopicNames, func(name *string) bool { return a.topic(opDelete, *name) },
		func(name *string) kmsg.DeleteTopicsResponseTopic { n := *name; return refuse(&n, [16]byte{}) })
	req.Topics, byRef = part(req.Topics, func(t *kmsg.DeleteTopicsRequestTopic) bool {
		if t.Topic != nil {
			return a.topic(opDelete, *t.Topic)
		}
		known := img.TopicByID(t.TopicID)
		return known == nil || a.topic(opDelete, known.Name)
	}, func(t *kmsg.DeleteTopicsRequestTopic) kmsg.DeleteTopicsResponseTopic {
		if known := img.TopicByID(t.TopicID); t.Topic == nil && known != nil && a.topic(opDescribe, known.Name) {
			return refuse(&known.Name, t.TopicID)
		}
		return refuse(t.Topic, t.TopicID)
	})
	denied := append(byName, byRef...)
	return complete(r, len(req.TopicNames)+len(req.Topics), len(denied), func(p *kmsg.DeleteTopicsResponse) { p.Topics = append(p.Topics, denied...) })
}

func guardCreatePartitions(r *request, a asker) kmsg.Response {
	req := r.body.(*kmsg.CreatePartitionsRequest)
	var denied []kmsg.CreatePartitionsResponseTopic
	req.Topics, denied = part(req.Topics, func(t *kmsg.CreatePartitionsRequestTopic) bool { return a.topic(opAlter, t.Topic) },
		func(t *kmsg.CreatePartitionsRequestTopic) kmsg.CreatePartitionsResponseTopic {
			out := kmsg.NewCreatePartitionsResponseTopic()
			out.Topic, out.ErrorCode = t.Topic, topicRefused
			return out
		})
	return complete(r, len(req.Topics), len(denied), func(p *kmsg.CreatePartitionsResponse) { p.Topics = append(p.Topics, denied...) })
}

func guardDeleteRecords(r *request, a asker) kmsg.Response {
	req := r.body.(*kmsg.DeleteRecordsRequest)
	var denied []kmsg.DeleteRecordsResponseTopic
	req.Topics, denied = part(req.Topics, func(t *kmsg.DeleteRecordsRequestTopic) bool { return a.topic(opDelete, t.Topic) },
		func(t *kmsg.DeleteRecordsRequestTopic) kmsg.DeleteRecordsResponseTopic {
			out := kmsg.NewDeleteRecordsResponseTopic()
			out.Topic = t.Topic
			for i := range t.Partitions {
				p := kmsg.NewDeleteRecordsResponseTopicPartition()
				p.Partition, p.LowWatermark, p.ErrorCode = t.Partitions[i].Partition, -1, topicRefused
				out.Partitions = append(out.Partitions, p)
			}
			return out
		})
	return complete(r, len(req.Topics), len(denied), func(p *kmsg.DeleteRecordsResponse) { p.Topics = append(p.Topics, denied...) })
}

func guardInitProducerID(r *request, a asker) kmsg.Response {
	req := r.body.(*kmsg.InitProducerIDRequest)
	code := int16(0)
	switch id := req.TransactionalID; {
	case id != nil && !a.txn(opWrite, *id):
		code = txnRefused
	case id == nil && !a.cluster(opIdempotentWrite) && !a.by.AllowedSomewhere(a.who, opWrite, kmsg.ACLResourceTypeTopic):
		code = clusterRefused
	default:
		return nil
	}
	resp := kmsg.NewPtrInitProducerIDResponse()
	resp.ErrorCode, resp.ProducerID, resp.ProducerEpoch = code, -1, -1
	return resp
}
