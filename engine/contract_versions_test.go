package engine_test

import (
	"fmt"
	"maps"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
)

// TestEveryVersion sends each advertised version of each API at least once, decodes the answer with kmsg and wants no error in it, and no null where
// the Java client iterates.
func TestEveryVersion(t *testing.T) {
	x := contract(t)
	topic := x.topic(1, "retention.ms=5000")
	id := x.topicID(topic)
	group := x.name()
	x.coordinator(group)
	x.producerID()
	x.mustSend(topic, batchOf(numbered(10)...))
	apis := map[int16]func(version int16) (kmsg.Request, func(kmsg.Response) error){
		0: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := produceRequest(topic, -1, batchOf("x"))
			if req.Version = v; v >= 13 {
				req.Topics[0].Topic, req.Topics[0].TopicID = "", id
			}
			return req, func(r kmsg.Response) error {
				rt := r.(*kmsg.ProduceResponse).Topics[0]
				if v < 13 && rt.Topic != topic || v >= 13 && rt.TopicID != id {
					return fmt.Errorf("topic %q %x", rt.Topic, rt.TopicID)
				}
				return codes(rt.Partitions[0].ErrorCode)
			}
		},
		1: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := fetchRequest(v, 0, 1)
			if v < 13 {
				addFetch(req, topic, [16]byte{}, 0, 0, 1<<20)
			} else {
				addFetch(req, "", id, 0, 0, 1<<20)
			}
			return req, func(r kmsg.Response) error {
				p := r.(*kmsg.FetchResponse).Topics[0].Partitions[0]
				if len(p.RecordBatches) == 0 || p.HighWatermark < 10 {
					return fmt.Errorf("%d bytes, high watermark %d", len(p.RecordBatches), p.HighWatermark)
				}
				return codes(r.(*kmsg.FetchResponse).ErrorCode, p.ErrorCode)
			}
		},
		2: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			return listOffsetsRequest(v, topic, 0, -1), func(r kmsg.Response) error {
				p := r.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
				if p.Offset < 10 {
					return fmt.Errorf("offset %d", p.Offset)
				}
				return codes(p.ErrorCode)
			}
		},
		3: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			return metadataRequest(v, topic), func(r kmsg.Response) error {
				rt := r.(*kmsg.MetadataResponse).Topics[0]
				if len(rt.Partitions) != 1 || len(r.(*kmsg.MetadataResponse).Brokers) != 1 {
					return fmt.Errorf("%+v", rt)
				}
				return codes(rt.ErrorCode, rt.Partitions[0].ErrorCode)
			}
		},
		8: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := commit(group, topic, 0, int64(v), "")
			if req.Version = v; v >= 10 {
				req.Topics[0].Topic, req.Topics[0].TopicID = "", id
			}
			return req, func(r kmsg.Response) error {
				return codes(r.(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode)
			}
		},
		9: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := kmsg.NewPtrOffsetFetchRequest()
			req.Version, req.Group = v, group
			req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: topic, Partitions: []int32{0}}}
			g := kmsg.NewOffsetFetchRequestGroup()
			g.Group, g.Topics = group, []kmsg.OffsetFetchRequestGroupTopic{{Topic: topic, TopicID: id, Partitions: []int32{0}}}
			req.Groups = append(req.Groups, g)
			return req, func(r kmsg.Response) error {
				resp := r.(*kmsg.OffsetFetchResponse)
				if v >= 8 {
					return codes(resp.Groups[0].ErrorCode, resp.Groups[0].Topics[0].Partitions[0].ErrorCode)
				}
				return codes(resp.ErrorCode, resp.Topics[0].Partitions[0].ErrorCode)
			}
		},
		10: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := kmsg.NewPtrFindCoordinatorRequest()
			req.Version, req.CoordinatorKey, req.CoordinatorKeys = v, group, []string{group}
			return req, func(r kmsg.Response) error {
				resp := r.(*kmsg.FindCoordinatorResponse)
				for _, c := range resp.Coordinators {
					if c.ErrorCode != 0 {
						return codes(c.ErrorCode)
					}
				}
				return codes(resp.ErrorCode)
			}
		},
		15: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := kmsg.NewPtrDescribeGroupsRequest()
			req.Version, req.Groups = v, []string{group}
			return req, func(r kmsg.Response) error { return codes(r.(*kmsg.DescribeGroupsResponse).Groups[0].ErrorCode) }
		},
		16: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			return &kmsg.ListGroupsRequest{Version: v, StatesFilter: []string{}, TypesFilter: []string{}}, func(r kmsg.Response) error {
				return codes(r.(*kmsg.ListGroupsResponse).ErrorCode)
			}
		},
		18: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			return apiVersionsRequest(v), func(r kmsg.Response) error { return codes(r.(*kmsg.ApiVersionsResponse).ErrorCode) }
		},
		19: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			return createRequest(v, x.name(), 1, 1), func(r kmsg.Response) error {
				rt := r.(*kmsg.CreateTopicsResponse).Topics[0]
				if v >= 5 && len(rt.Configs) == 0 {
					return fmt.Errorf("no configs")
				}
				return codes(rt.ErrorCode)
			}
		},
		20: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			name := x.name()
			x.create(name, 1)
			req := kmsg.NewPtrDeleteTopicsRequest()
			req.Version, req.TopicNames, req.TimeoutMillis = v, []string{name}, 10000
			req.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: &name}}
			return req, func(r kmsg.Response) error { return codes(r.(*kmsg.DeleteTopicsResponse).Topics[0].ErrorCode) }
		},
		21: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := kmsg.NewPtrDeleteRecordsRequest()
			req.Version, req.TimeoutMillis = v, 10000
			req.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: topic, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: 0}}}}
			return req, func(r kmsg.Response) error {
				return codes(r.(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0].ErrorCode)
			}
		},
		22: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := kmsg.NewPtrInitProducerIDRequest()
			req.Version, req.TransactionTimeoutMillis = v, 1000
			return req, func(r kmsg.Response) error { return codes(r.(*kmsg.InitProducerIDResponse).ErrorCode) }
		},
		23: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := kmsg.NewPtrOffsetForLeaderEpochRequest()
			req.Version, req.ReplicaID = v, -1
			req.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{{CurrentLeaderEpoch: -1, LeaderEpoch: 0}}}}
			return req, func(r kmsg.Response) error {
				return codes(r.(*kmsg.OffsetForLeaderEpochResponse).Topics[0].Partitions[0].ErrorCode)
			}
		},
		32: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := kmsg.NewPtrDescribeConfigsRequest()
			req.Version, req.IncludeSynonyms, req.IncludeDocumentation = v, true, true
			req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: 2, ResourceName: topic}}
			return req, func(r kmsg.Response) error {
				rr := r.(*kmsg.DescribeConfigsResponse).Resources[0]
				if len(rr.Configs) < 25 {
					return fmt.Errorf("%d configs", len(rr.Configs))
				}
				return codes(rr.ErrorCode)
			}
		},
		33: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := kmsg.NewPtrAlterConfigsRequest()
			req.Version = v
			req.Resources = []kmsg.AlterConfigsRequestResource{{ResourceType: 2, ResourceName: topic}}
			return req, func(r kmsg.Response) error { return codes(r.(*kmsg.AlterConfigsResponse).Resources[0].ErrorCode) }
		},
		35: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			return &kmsg.DescribeLogDirsRequest{Version: v}, func(r kmsg.Response) error {
				d := r.(*kmsg.DescribeLogDirsResponse).Dirs[0]
				if len(d.Topics) == 0 {
					return fmt.Errorf("no topics")
				}
				return codes(d.ErrorCode)
			}
		},
		37: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			name := x.name()
			x.create(name, 1)
			req := kmsg.NewPtrCreatePartitionsRequest()
			req.Version, req.TimeoutMillis = v, 10000
			req.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: name, Count: 2}}
			return req, func(r kmsg.Response) error { return codes(r.(*kmsg.CreatePartitionsResponse).Topics[0].ErrorCode) }
		},
		42: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			name := x.name()
			ask[*kmsg.OffsetCommitResponse](x, commit(name, topic, 0, 1, ""))
			return &kmsg.DeleteGroupsRequest{Version: v, Groups: []string{name}}, func(r kmsg.Response) error {
				return codes(r.(*kmsg.DeleteGroupsResponse).Groups[0].ErrorCode)
			}
		},
		43: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := &kmsg.ElectLeadersRequest{Version: v, TimeoutMillis: 10_000}
			req.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: topic, Partitions: []int32{0}}}
			return req, func(r kmsg.Response) error {
				if p := r.(*kmsg.ElectLeadersResponse).Topics[0].Partitions[0]; p.ErrorCode != 84 {
					return codes(p.ErrorCode)
				}
				return nil
			}
		},
		44: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := alterRequest(2, topic, 0, "retention.ms=6000000")
			req.Version = v
			return req, func(r kmsg.Response) error {
				return codes(r.(*kmsg.IncrementalAlterConfigsResponse).Resources[0].ErrorCode)
			}
		},
		45: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := &kmsg.AlterPartitionAssignmentsRequest{Version: v, TimeoutMillis: 10_000}
			req.Topics = []kmsg.AlterPartitionAssignmentsRequestTopic{{Topic: topic, Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{Replicas: []int32{1}}}}}
			return req, func(r kmsg.Response) error {
				resp := r.(*kmsg.AlterPartitionAssignmentsResponse)
				return codes(resp.ErrorCode, resp.Topics[0].Partitions[0].ErrorCode)
			}
		},
		46: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			return &kmsg.ListPartitionReassignmentsRequest{Version: v}, func(r kmsg.Response) error {
				return codes(r.(*kmsg.ListPartitionReassignmentsResponse).ErrorCode)
			}
		},
		47: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			ask[*kmsg.OffsetCommitResponse](x, commit(group, topic, 0, 1, ""))
			req := &kmsg.OffsetDeleteRequest{Version: v, Group: group}
			req.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{}}}}
			return req, func(r kmsg.Response) error { return codes(r.(*kmsg.OffsetDeleteResponse).ErrorCode) }
		},
		60: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			return &kmsg.DescribeClusterRequest{Version: v, EndpointType: 1}, func(r kmsg.Response) error {
				return codes(r.(*kmsg.DescribeClusterResponse).ErrorCode)
			}
		},
		55: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := kmsg.NewPtrDescribeQuorumRequest()
			req.Version = v
			req.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: "__cluster_metadata", Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{}}}}
			return req, func(r kmsg.Response) error {
				resp := r.(*kmsg.DescribeQuorumResponse)
				p := resp.Topics[0].Partitions[0]
				if p.LeaderID != 1 || len(p.CurrentVoters) != 1 || p.CurrentVoters[0].LogEndOffset < 1 || v >= 2 && len(resp.Nodes) != 1 {
					return fmt.Errorf("quorum %+v", resp)
				}
				return codes(resp.ErrorCode, p.ErrorCode)
			}
		},
		64: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := kmsg.NewPtrUnregisterBrokerRequest()
			req.Version, req.BrokerID = v, 99
			return req, func(r kmsg.Response) error {
				if code := kproto.ErrorCode(r.(*kmsg.UnregisterBrokerResponse).ErrorCode); code != kproto.BrokerIDNotRegistered {
					return fmt.Errorf("a broker that is not there: %v", code)
				}
				return nil
			}
		},
		80: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := kmsg.NewPtrAddRaftVoterRequest()
			req.Version, req.VoterID, req.VoterDirectoryID, req.AckWhenCommitted = v, 1, [16]byte{1}, true
			req.Listeners = []kmsg.AddRaftVoterRequestListener{{Name: "CONTROLLER", Host: "localhost", Port: 1}}
			return req, func(r kmsg.Response) error {
				if code := kproto.ErrorCode(r.(*kmsg.AddRaftVoterResponse).ErrorCode); code != kproto.DuplicateVoter {
					return fmt.Errorf("the voter that there is: %v", code)
				}
				return nil
			}
		},
		81: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := kmsg.NewPtrRemoveRaftVoterRequest()
			req.Version, req.VoterID = v, 99
			return req, func(r kmsg.Response) error {
				if code := kproto.ErrorCode(r.(*kmsg.RemoveRaftVoterResponse).ErrorCode); code != kproto.VoterNotFound {
					return fmt.Errorf("a voter that is not there: %v", code)
				}
				return nil
			}
		},
		17: func(v int16) (kmsg.Request, func(kmsg.Response) error) { // no listener with SASL: see TestSASLOrder
			return &kmsg.SASLHandshakeRequest{Version: v, Mechanism: "PLAIN"}, func(r kmsg.Response) error {
				return wants(r.(*kmsg.SASLHandshakeResponse).ErrorCode, kproto.IllegalSaslState)
			}
		},
		36: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			return &kmsg.SASLAuthenticateRequest{Version: v}, func(r kmsg.Response) error {
				return wants(r.(*kmsg.SASLAuthenticateResponse).ErrorCode, kproto.IllegalSaslState)
			}
		},
		29: func(v int16) (kmsg.Request, func(kmsg.Response) error) { // no authorizer: see TestGuards and TestACLsJava
			req := &kmsg.DescribeACLsRequest{Version: v, ResourceType: 1, ResourcePatternType: 1, Operation: 1, PermissionType: 1}
			return req, func(r kmsg.Response) error {
				return wants(r.(*kmsg.DescribeACLsResponse).ErrorCode, kproto.SecurityDisabled)
			}
		},
		30: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			return &kmsg.CreateACLsRequest{Version: v, Creations: []kmsg.CreateACLsRequestCreation{{}}}, func(r kmsg.Response) error {
				return wants(r.(*kmsg.CreateACLsResponse).Results[0].ErrorCode, kproto.SecurityDisabled)
			}
		},
		31: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			return &kmsg.DeleteACLsRequest{Version: v, Filters: []kmsg.DeleteACLsRequestFilter{{}}}, func(r kmsg.Response) error {
				return wants(r.(*kmsg.DeleteACLsResponse).Results[0].ErrorCode, kproto.SecurityDisabled)
			}
		},
		48: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			return &kmsg.DescribeClientQuotasRequest{Version: v}, func(r kmsg.Response) error { return codes(r.(*kmsg.DescribeClientQuotasResponse).ErrorCode) }
		},
		49: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := alterQuota(quotaParts("user=absent"), setQuota("producer_byte_rate", 1))
			req.Version, req.ValidateOnly = v, true
			return req, func(r kmsg.Response) error { return codes(r.(*kmsg.AlterClientQuotasResponse).Entries[0].ErrorCode) }
		},
		34: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := &kmsg.AlterReplicaLogDirsRequest{Version: v}
			req.Dirs = []kmsg.AlterReplicaLogDirsRequestDir{{Dir: "/absent", Topics: []kmsg.AlterReplicaLogDirsRequestDirTopic{{Topic: topic, Partitions: []int32{0}}}}}
			return req, func(r kmsg.Response) error {
				return wants(r.(*kmsg.AlterReplicaLogDirsResponse).Topics[0].Partitions[0].ErrorCode, kproto.LogDirNotFound)
			}
		},
		74: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			return &kmsg.ListConfigResourcesRequest{Version: v}, func(r kmsg.Response) error { return codes(r.(*kmsg.ListConfigResourcesResponse).ErrorCode) }
		},
		50: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := &kmsg.DescribeUserSCRAMCredentialsRequest{Version: v, Users: []kmsg.DescribeUserSCRAMCredentialsRequestUser{{Name: "absent"}}}
			return req, func(r kmsg.Response) error {
				return wants(r.(*kmsg.DescribeUserSCRAMCredentialsResponse).Results[0].ErrorCode, kproto.ResourceNotFound)
			}
		},
		51: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := &kmsg.AlterUserSCRAMCredentialsRequest{Version: v, Deletions: []kmsg.AlterUserSCRAMCredentialsRequestDeletion{{Name: "absent", Mechanism: 1}}}
			return req, func(r kmsg.Response) error {
				return wants(r.(*kmsg.AlterUserSCRAMCredentialsResponse).Results[0].ErrorCode, kproto.ResourceNotFound)
			}
		},
		// Of nobody, as who is at the other end of this connection is; TestTokenRules has those who may.
		38: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			return createTokenRequest(v, ""), func(r kmsg.Response) error {
				return wants(r.(*kmsg.CreateDelegationTokenResponse).ErrorCode, kproto.DelegationTokenRequestNotAllowed)
			}
		},
		39: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			return &kmsg.RenewDelegationTokenRequest{Version: v, HMAC: []byte("x")}, func(r kmsg.Response) error {
				return wants(r.(*kmsg.RenewDelegationTokenResponse).ErrorCode, kproto.DelegationTokenRequestNotAllowed)
			}
		},
		40: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			return &kmsg.ExpireDelegationTokenRequest{Version: v, HMAC: []byte("x")}, func(r kmsg.Response) error {
				return wants(r.(*kmsg.ExpireDelegationTokenResponse).ErrorCode, kproto.DelegationTokenRequestNotAllowed)
			}
		},
		41: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			return &kmsg.DescribeDelegationTokenRequest{Version: v}, func(r kmsg.Response) error {
				return wants(r.(*kmsg.DescribeDelegationTokenResponse).ErrorCode, kproto.DelegationTokenRequestNotAllowed)
			}
		},
		57: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			return updateFeaturesRequest(v, featureUpdate{transactionFeature, 2, upgrade}), func(r kmsg.Response) error {
				return codes(r.(*kmsg.UpdateFeaturesResponse).ErrorCode)
			}
		},
		68: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
			req.Version, req.Group, req.MemberID = v, fmt.Sprintf("%s-modern-%d", group, v), fmt.Sprintf("member-%d", v)
			req.RebalanceTimeoutMillis, req.SubscribedTopicNames, req.Topics = 10_000, []string{topic}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
			return req, func(r kmsg.Response) error {
				resp := r.(*kmsg.ConsumerGroupHeartbeatResponse)
				if resp.ErrorCode == 0 && (resp.MemberEpoch < 1 || resp.HeartbeatIntervalMillis < 1) {
					return fmt.Errorf("epoch %d, a heartbeat each %d ms", resp.MemberEpoch, resp.HeartbeatIntervalMillis)
				}
				return codes(resp.ErrorCode)
			}
		},
		69: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			return &kmsg.ConsumerGroupDescribeRequest{Version: v, Groups: []string{"absent"}}, func(r kmsg.Response) error {
				return wants(r.(*kmsg.ConsumerGroupDescribeResponse).Groups[0].ErrorCode, kproto.GroupIDNotFound)
			}
		},
		88: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := kmsg.NewPtrStreamsGroupHeartbeatRequest()
			req.Version, req.Group, req.MemberID, req.RebalanceTimeoutMillis = v, fmt.Sprintf("%s-flow-%d", group, v), fmt.Sprintf("member-%d", v), 10_000
			req.Topology = &kmsg.StreamsGroupHeartbeatRequestTopology{Subtopologies: []kmsg.StreamsGroupHeartbeatRequestTopologySubtopology{{SubtopologyID: "0", SourceTopics: []string{topic}}}}
			return req, func(r kmsg.Response) error {
				resp := r.(*kmsg.StreamsGroupHeartbeatResponse)
				if resp.ErrorCode == 0 && (resp.MemberEpoch < 1 || resp.HeartbeatIntervalMillis < 1) {
					return fmt.Errorf("epoch %d, a heartbeat each %d ms", resp.MemberEpoch, resp.HeartbeatIntervalMillis)
				}
				return codes(resp.ErrorCode)
			}
		},
		89: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			return &kmsg.StreamsGroupDescribeRequest{Version: v, Groups: []string{"absent"}}, func(r kmsg.Response) error {
				return wants(r.(*kmsg.StreamsGroupDescribeResponse).Groups[0].ErrorCode, kproto.GroupIDNotFound)
			}
		},
		75: func(v int16) (kmsg.Request, func(kmsg.Response) error) {
			req := kmsg.NewPtrDescribeTopicPartitionsRequest()
			req.Version, req.Topics = v, []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: topic}}
			return req, func(r kmsg.Response) error {
				rt := r.(*kmsg.DescribeTopicPartitionsResponse).Topics[0]
				return codes(rt.ErrorCode, rt.Partitions[0].ErrorCode)
			}
		},
	}
	maps.Copy(apis, x.txnVersions(topic, group))
	maps.Copy(apis, x.shareVersions(topic, id, group+"-share"))
	inMembership := map[int16]bool{11: true, 12: true, 13: true, 14: true} // see TestGroupVersions
	w := x.dial()
	for _, k := range askOn[*kmsg.ApiVersionsResponse](w, apiVersionsRequest(3)).ApiKeys {
		build, ok := apis[k.ApiKey]
		if !ok {
			if x.node != nil && !inMembership[k.ApiKey] {
				t.Errorf("%s is advertised and not tried", kmsg.NameForKey(k.ApiKey))
			}
			continue
		}
		from := k.MinVersion
		if k.ApiKey == 0 {
			from = 3 // advertised from 0 for old librdkafka (KAFKA-18659)
		}
		for version := from; version <= k.MaxVersion; version++ {
			req, check := build(version)
			if err := check(w.request(req, int32(version))); err != nil {
				t.Errorf("%s version %d: %v", kmsg.NameForKey(k.ApiKey), version, err)
			}
		}
	}
}

// wants turns another error code than the one into an error.
func wants(have int16, want kproto.ErrorCode) error {
	if kproto.ErrorCode(have) != want {
		return fmt.Errorf("%v, want %v", kproto.ErrorCode(have), want)
	}
	return nil
}

// codes turns the first error code into an error.
func codes(list ...int16) error {
	for _, c := range list {
		if c != 0 {
			return fmt.Errorf("%v", kproto.ErrorCode(c))
		}
	}
	return nil
}

// TestGroupVersions walks one member through join, sync, heartbeat and leave in every version.
func TestGroupVersions(t *testing.T) {
	x := contract(t)
	w := x.dial()
	top := map[int16]int16{}
	for _, k := range askOn[*kmsg.ApiVersionsResponse](w, apiVersionsRequest(3)).ApiKeys {
		top[k.ApiKey] = k.MaxVersion
	}
	for version := range top[11] + 1 {
		group := x.name()
		x.coordinator(group)
		join := kmsg.NewPtrJoinGroupRequest()
		join.Version, join.Group, join.ProtocolType = version, group, "test"
		join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = 10_000, 10_000
		join.Protocols = append(join.Protocols, kmsg.JoinGroupRequestProtocol{Name: "p", Metadata: []byte("m")})
		joined := askOn[*kmsg.JoinGroupResponse](w, join)
		if version >= 4 {
			wantCode(t, "the first join", joined.ErrorCode, kproto.MemberIDRequired)
			join.MemberID = joined.MemberID
			joined = askOn[*kmsg.JoinGroupResponse](w, join)
		}
		if joined.ErrorCode != 0 || joined.LeaderID != joined.MemberID || len(joined.Members) != 1 {
			t.Fatalf("JoinGroup version %d: %+v", version, joined)
		}
		sync := kmsg.NewPtrSyncGroupRequest()
		sync.Version, sync.Group, sync.MemberID, sync.Generation = min(version, top[14]), group, joined.MemberID, joined.Generation
		sync.ProtocolType, sync.Protocol = kmsg.StringPtr("test"), kmsg.StringPtr("p")
		sync.GroupAssignment = append(sync.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: joined.MemberID, MemberAssignment: []byte("a")})
		if synced := askOn[*kmsg.SyncGroupResponse](w, sync); synced.ErrorCode != 0 || string(synced.MemberAssignment) != "a" {
			t.Fatalf("SyncGroup version %d: %+v", sync.Version, synced)
		}
		beat := kmsg.NewPtrHeartbeatRequest()
		beat.Version, beat.Group, beat.MemberID, beat.Generation = min(version, top[12]), group, joined.MemberID, joined.Generation
		wantCode(t, fmt.Sprintf("Heartbeat version %d", beat.Version), askOn[*kmsg.HeartbeatResponse](w, beat).ErrorCode, kproto.None)
		leave := kmsg.NewPtrLeaveGroupRequest()
		leave.Version, leave.Group, leave.MemberID = min(version, top[13]), group, joined.MemberID
		leave.Members = append(leave.Members, kmsg.LeaveGroupRequestMember{MemberID: joined.MemberID})
		left := askOn[*kmsg.LeaveGroupResponse](w, leave)
		wantCode(t, fmt.Sprintf("LeaveGroup version %d", leave.Version), left.ErrorCode, kproto.None)
		for _, m := range left.Members {
			wantCode(t, fmt.Sprintf("LeaveGroup version %d, member", leave.Version), m.ErrorCode, kproto.None)
		}
	}
}
