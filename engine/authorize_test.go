package engine_test

import (
	"context"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine"
	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/kraft"
	"github.com/ringmq/ringmq/netpoll/tlstest"
	"github.com/ringmq/ringmq/tools/javakit"
	"github.com/ringmq/ringmq/tools/waittest"
)

// startGuarded is startTLS with the standard authorizer. Who comes by the third listener is User:<common name of the certificate>.
func startGuarded(t *testing.T) *tlsNode {
	t.Helper()
	return startTLS(t, "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users=User:admin;User:other",
		"s3.telemetry.metrics.exporter.uri=prometheus://127.0.0.1:0", // for client metrics
		"listener.name.mutual.ssl.principal.mapping.rules=RULE:^CN=(.+)$/$1/")
}

func createAs(t *testing.T, admin *kgo.Client, topic string) {
	t.Helper()
	if _, err := kadm.NewClient(admin).CreateTopic(testContext(t), 1, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
}

// right is what one entry allows.
type right struct {
	kind kmsg.ACLResourceType
	name string
	op   kmsg.ACLOperation
}

const (
	onTopic   = kmsg.ACLResourceTypeTopic
	onGroup   = kmsg.ACLResourceTypeGroup
	onTxn     = kmsg.ACLResourceTypeTransactionalId
	onCluster = kmsg.ACLResourceTypeCluster
)

func topicRight(op kmsg.ACLOperation) right   { return right{onTopic, "secret", op} }
func sharedRight(op kmsg.ACLOperation) right  { return right{onGroup, "shared", op} }
func groupRight(op kmsg.ACLOperation) right   { return right{onGroup, "g", op} }
func clusterRight(op kmsg.ACLOperation) right { return right{onCluster, kraft.ClusterResource, op} }

// allow gives rights to a user and waits until they count.
func (n *tlsNode) allow(t *testing.T, admin *kgo.Client, user string, rights ...right) {
	t.Helper()
	req := kmsg.NewPtrCreateACLsRequest()
	for _, r := range rights {
		c := kmsg.NewCreateACLsRequestCreation()
		c.ResourceType, c.ResourceName, c.ResourcePatternType, c.Principal, c.Host = r.kind, r.name, kmsg.ACLResourcePatternTypeLiteral, "User:"+user, "*"
		c.Operation, c.PermissionType = r.op, kmsg.ACLPermissionTypeAllow
		req.Creations = append(req.Creations, c)
	}
	resp, err := req.RequestWith(testContext(t), admin)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range resp.Results {
		if r.ErrorCode != 0 {
			t.Fatalf("%+v: %s", req.Creations[i], *r.ErrorMessage)
		}
	}
	waittest.Until(t, 30*time.Second, "the authorizer has the entries", func() bool {
		for _, r := range rights {
			if !n.Broker().Allows("User:"+user, r.op, r.kind, r.name) {
				return false
			}
		}
		return true
	})
}

// refusals are the codes in a response, at any depth, that say that the client may not.
func refusals(resp kmsg.Response) []int16 {
	var found []int16
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				walk(v.Elem())
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				if f := v.Field(i); v.Type().Field(i).Name == "ErrorCode" {
					switch code := kproto.ErrorCode(f.Int()); code {
					case kproto.TopicAuthorizationFailed, kproto.GroupAuthorizationFailed, kproto.ClusterAuthorizationFailed, kproto.TransactionalIDAuthorizationFailed:
						found = append(found, int16(code))
					}
				} else if v.Type().Field(i).IsExported() {
					walk(f)
				}
			}
		}
	}
	walk(reflect.ValueOf(resp))
	return found
}

// guarded is a request of an API, the rights that it takes, and what it is answered without any of them.
type guarded struct {
	request kmsg.Request
	rights  []right
	code    kproto.ErrorCode
	// check looks at the answers of an API that is never refused but shows less: without rights, and with them.
	check func(t *testing.T, without, with kmsg.Response)
}

// build makes a request and fills it in.
func build[R kmsg.Request](req R, fill func(R)) R {
	fill(req)
	return req
}

const (
	topicNo   = kproto.TopicAuthorizationFailed
	groupNo   = kproto.GroupAuthorizationFailed
	txnNo     = kproto.TransactionalIDAuthorizationFailed
	clusterNo = kproto.ClusterAuthorizationFailed
)

// everybody is the check of an API that is served to all alike.
func everybody(*testing.T, kmsg.Response, kmsg.Response) {}

func guardedRequests(id kraft.TopicID) map[int16]guarded {
	topic := "secret"
	partitions := []int32{0}
	return map[int16]guarded{
		kproto.KeyProduce: {build(kmsg.NewPtrProduceRequest(), func(q *kmsg.ProduceRequest) {
			q.Acks, q.TimeoutMillis = -1, 5000
			q.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, TopicID: id, Partitions: []kmsg.ProduceRequestTopicPartition{{Records: []byte("x")}}}}
		}), []right{topicRight(kmsg.ACLOperationWrite)}, topicNo, nil},
		kproto.KeyFetch: {build(kmsg.NewPtrFetchRequest(), func(q *kmsg.FetchRequest) {
			q.MaxBytes, q.SessionEpoch = 1000, -1
			p := kmsg.NewFetchRequestTopicPartition()
			p.PartitionMaxBytes = 1000
			q.Topics = []kmsg.FetchRequestTopic{{Topic: topic, TopicID: id, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
		}), []right{topicRight(kmsg.ACLOperationRead)}, topicNo, nil},
		kproto.KeyListOffsets: {build(kmsg.NewPtrListOffsetsRequest(), func(q *kmsg.ListOffsetsRequest) {
			p := kmsg.NewListOffsetsRequestTopicPartition()
			q.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
		}), []right{topicRight(kmsg.ACLOperationDescribe)}, topicNo, nil},
		kproto.KeyMetadata: {build(kmsg.NewPtrMetadataRequest(), func(q *kmsg.MetadataRequest) {
			q.Topics = []kmsg.MetadataRequestTopic{{Topic: &topic}}
		}), []right{topicRight(kmsg.ACLOperationDescribe)}, topicNo, nil},
		kproto.KeyOffsetForLeaderEpoch: {build(kmsg.NewPtrOffsetForLeaderEpochRequest(), func(q *kmsg.OffsetForLeaderEpochRequest) {
			p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
			q.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{p}}}
		}), []right{topicRight(kmsg.ACLOperationDescribe)}, topicNo, nil},
		kproto.KeyDescribeTopicPartitions: {build(kmsg.NewPtrDescribeTopicPartitionsRequest(), func(q *kmsg.DescribeTopicPartitionsRequest) {
			q.Topics = []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: topic}}
		}), []right{topicRight(kmsg.ACLOperationDescribe)}, topicNo, nil},
		kproto.KeyOffsetCommit: {build(kmsg.NewPtrOffsetCommitRequest(), func(q *kmsg.OffsetCommitRequest) {
			q.Group, q.Generation = "g", -1
			q.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic, TopicID: id, Partitions: []kmsg.OffsetCommitRequestTopicPartition{{}}}}
		}), []right{groupRight(kmsg.ACLOperationRead), topicRight(kmsg.ACLOperationRead)}, groupNo, nil},
		kproto.KeyOffsetFetch: {build(kmsg.NewPtrOffsetFetchRequest(), func(q *kmsg.OffsetFetchRequest) {
			q.Groups = []kmsg.OffsetFetchRequestGroup{{Group: "g", MemberEpoch: -1, Topics: []kmsg.OffsetFetchRequestGroupTopic{{Topic: topic, TopicID: id, Partitions: partitions}}}}
		}), []right{groupRight(kmsg.ACLOperationDescribe), topicRight(kmsg.ACLOperationDescribe)}, groupNo, nil},
		kproto.KeyOffsetDelete: {build(kmsg.NewPtrOffsetDeleteRequest(), func(q *kmsg.OffsetDeleteRequest) {
			q.Group = "g"
			q.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{}}}}
		}), []right{groupRight(kmsg.ACLOperationDelete), topicRight(kmsg.ACLOperationRead)}, groupNo, nil},
		kproto.KeyFindCoordinator: {build(kmsg.NewPtrFindCoordinatorRequest(), func(q *kmsg.FindCoordinatorRequest) { q.CoordinatorKeys = []string{"g"} }),
			[]right{groupRight(kmsg.ACLOperationDescribe)}, groupNo, nil},
		kproto.KeyJoinGroup: {build(kmsg.NewPtrJoinGroupRequest(), func(q *kmsg.JoinGroupRequest) {
			q.Group, q.MemberID, q.SessionTimeoutMillis, q.RebalanceTimeoutMillis, q.ProtocolType = "g", "nobody", 10000, 10000, "consumer"
			q.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range"}}
		}), []right{groupRight(kmsg.ACLOperationRead)}, groupNo, nil},
		kproto.KeySyncGroup: {build(kmsg.NewPtrSyncGroupRequest(), func(q *kmsg.SyncGroupRequest) { q.Group, q.MemberID = "g", "nobody" }),
			[]right{groupRight(kmsg.ACLOperationRead)}, groupNo, nil},
		kproto.KeyHeartbeat: {build(kmsg.NewPtrHeartbeatRequest(), func(q *kmsg.HeartbeatRequest) { q.Group, q.MemberID = "g", "nobody" }),
			[]right{groupRight(kmsg.ACLOperationRead)}, groupNo, nil},
		kproto.KeyLeaveGroup: {build(kmsg.NewPtrLeaveGroupRequest(), func(q *kmsg.LeaveGroupRequest) {
			q.Group, q.Members = "g", []kmsg.LeaveGroupRequestMember{{MemberID: "nobody"}}
		}), []right{groupRight(kmsg.ACLOperationRead)}, groupNo, nil},
		kproto.KeyConsumerGroupHeartbeat: {build(kmsg.NewPtrConsumerGroupHeartbeatRequest(), func(q *kmsg.ConsumerGroupHeartbeatRequest) {
			q.Group, q.MemberID, q.RebalanceTimeoutMillis, q.SubscribedTopicNames, q.Topics = "modern", "m", 60_000, []string{topic}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		}), []right{{kmsg.ACLResourceTypeGroup, "modern", kmsg.ACLOperationRead}, topicRight(kmsg.ACLOperationDescribe)}, groupNo, nil},
		// The group "g" is a classic one.
		kproto.KeyConsumerGroupDescribe: {build(kmsg.NewPtrConsumerGroupDescribeRequest(), func(q *kmsg.ConsumerGroupDescribeRequest) { q.Groups = []string{"g"} }),
			[]right{groupRight(kmsg.ACLOperationDescribe)}, groupNo, nil},
		kproto.KeyStreamsGroupHeartbeat: {build(kmsg.NewPtrStreamsGroupHeartbeatRequest(), func(q *kmsg.StreamsGroupHeartbeatRequest) {
			q.Group, q.MemberID, q.RebalanceTimeoutMillis = "flow", "m", 60_000
			q.Topology = &kmsg.StreamsGroupHeartbeatRequestTopology{Subtopologies: []kmsg.StreamsGroupHeartbeatRequestTopologySubtopology{{SubtopologyID: "0", SourceTopics: []string{topic}}}}
		}), []right{{kmsg.ACLResourceTypeGroup, "flow", kmsg.ACLOperationRead}, topicRight(kmsg.ACLOperationDescribe)}, groupNo, nil},
		kproto.KeyStreamsGroupDescribe: {build(kmsg.NewPtrStreamsGroupDescribeRequest(), func(q *kmsg.StreamsGroupDescribeRequest) { q.Groups = []string{"g"} }),
			[]right{groupRight(kmsg.ACLOperationDescribe)}, groupNo, nil},
		kproto.KeyShareGroupHeartbeat: {build(kmsg.NewPtrShareGroupHeartbeatRequest(), func(q *kmsg.ShareGroupHeartbeatRequest) {
			q.GroupID, q.MemberID, q.SubscribedTopicNames = "shared", "m", []string{topic}
		}), []right{sharedRight(kmsg.ACLOperationRead), topicRight(kmsg.ACLOperationDescribe)}, groupNo, nil},
		kproto.KeyShareGroupDescribe: {build(kmsg.NewPtrShareGroupDescribeRequest(), func(q *kmsg.ShareGroupDescribeRequest) { q.GroupIDs = []string{"shared"} }),
			[]right{sharedRight(kmsg.ACLOperationDescribe), topicRight(kmsg.ACLOperationDescribe)}, groupNo, nil},
		kproto.KeyShareFetch: {build(kmsg.NewPtrShareFetchRequest(), func(q *kmsg.ShareFetchRequest) {
			q.GroupID, q.MemberID = kmsg.StringPtr("shared"), kmsg.StringPtr("m")
		}), []right{sharedRight(kmsg.ACLOperationRead)}, groupNo, nil},
		kproto.KeyShareAcknowledge: {build(kmsg.NewPtrShareAcknowledgeRequest(), func(q *kmsg.ShareAcknowledgeRequest) {
			q.GroupID, q.MemberID, q.ShareSessionEpoch = kmsg.StringPtr("shared"), kmsg.StringPtr("absent"), 1
		}), []right{sharedRight(kmsg.ACLOperationRead)}, groupNo, nil},
		kproto.KeyInitializeShareGroupState: {build(kmsg.NewPtrInitializeShareGroupStateRequest(), func(q *kmsg.InitializeShareGroupStateRequest) {
			q.GroupID, q.Topics = "shared", []kmsg.InitializeShareGroupStateRequestTopic{{TopicID: id, Partitions: []kmsg.InitializeShareGroupStateRequestTopicPartition{{}}}}
		}), []right{clusterRight(kmsg.ACLOperationClusterAction)}, clusterNo, nil},
		kproto.KeyReadShareGroupState: {build(kmsg.NewPtrReadShareGroupStateRequest(), func(q *kmsg.ReadShareGroupStateRequest) {
			q.GroupID, q.Topics = "shared", []kmsg.ReadShareGroupStateRequestTopic{{TopicID: id, Partitions: []kmsg.ReadShareGroupStateRequestTopicPartition{{}}}}
		}), []right{clusterRight(kmsg.ACLOperationClusterAction)}, clusterNo, nil},
		kproto.KeyWriteShareGroupState: {build(kmsg.NewPtrWriteShareGroupStateRequest(), func(q *kmsg.WriteShareGroupStateRequest) {
			q.GroupID, q.Topics = "shared", []kmsg.WriteShareGroupStateRequestTopic{{TopicID: id, Partitions: []kmsg.WriteShareGroupStateRequestTopicPartition{{}}}}
		}), []right{clusterRight(kmsg.ACLOperationClusterAction)}, clusterNo, nil},
		kproto.KeyDeleteShareGroupState: {build(kmsg.NewPtrDeleteShareGroupStateRequest(), func(q *kmsg.DeleteShareGroupStateRequest) {
			q.GroupID, q.Topics = "shared", []kmsg.DeleteShareGroupStateRequestTopic{{TopicID: id, Partitions: []kmsg.DeleteShareGroupStateRequestTopicPartition{{}}}}
		}), []right{clusterRight(kmsg.ACLOperationClusterAction)}, clusterNo, nil},
		kproto.KeyReadShareGroupStateSummary: {build(kmsg.NewPtrReadShareGroupStateSummaryRequest(), func(q *kmsg.ReadShareGroupStateSummaryRequest) {
			q.GroupID, q.Topics = "shared", []kmsg.ReadShareGroupStateSummaryRequestTopic{{TopicID: id, Partitions: []kmsg.ReadShareGroupStateSummaryRequestTopicPartition{{}}}}
		}), []right{clusterRight(kmsg.ACLOperationClusterAction)}, clusterNo, nil},
		kproto.KeyDescribeShareGroupOffsets: {build(kmsg.NewPtrDescribeShareGroupOffsetsRequest(), func(q *kmsg.DescribeShareGroupOffsetsRequest) {
			q.Groups = []kmsg.DescribeShareGroupOffsetsRequestGroup{{GroupID: "shared", Topics: []kmsg.DescribeShareGroupOffsetsRequestGroupTopic{{Topic: topic, Partitions: partitions}}}}
		}), []right{sharedRight(kmsg.ACLOperationDescribe), topicRight(kmsg.ACLOperationDescribe)}, groupNo, nil},
		kproto.KeyAlterShareGroupOffsets: {build(kmsg.NewPtrAlterShareGroupOffsetsRequest(), func(q *kmsg.AlterShareGroupOffsetsRequest) {
			q.GroupID, q.Topics = "reset", []kmsg.AlterShareGroupOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.AlterShareGroupOffsetsRequestTopicPartition{{}}}}
		}), []right{{onGroup, "reset", kmsg.ACLOperationRead}, topicRight(kmsg.ACLOperationRead)}, groupNo, nil},
		kproto.KeyDeleteShareGroupOffsets: {build(kmsg.NewPtrDeleteShareGroupOffsetsRequest(), func(q *kmsg.DeleteShareGroupOffsetsRequest) {
			q.GroupID, q.Topics = "reset", []kmsg.DeleteShareGroupOffsetsRequestTopic{{Topic: topic}}
		}), []right{{onGroup, "reset", kmsg.ACLOperationDelete}, topicRight(kmsg.ACLOperationRead)}, groupNo, nil},
		kproto.KeyDescribeGroups: {build(kmsg.NewPtrDescribeGroupsRequest(), func(q *kmsg.DescribeGroupsRequest) { q.Groups = []string{"g"} }),
			[]right{groupRight(kmsg.ACLOperationDescribe)}, groupNo, nil},
		kproto.KeyDeleteGroups: {build(kmsg.NewPtrDeleteGroupsRequest(), func(q *kmsg.DeleteGroupsRequest) { q.Groups = []string{"g"} }),
			[]right{groupRight(kmsg.ACLOperationDelete)}, groupNo, nil},
		kproto.KeyListGroups: {kmsg.NewPtrListGroupsRequest(), []right{groupRight(kmsg.ACLOperationDescribe)}, kproto.None, func(t *testing.T, without, with kmsg.Response) {
			if n := len(without.(*kmsg.ListGroupsResponse).Groups); n != 0 {
				t.Errorf("ListGroups shows %d groups to somebody without rights", n)
			}
			if g := with.(*kmsg.ListGroupsResponse).Groups; len(g) != 1 || g[0].Group != "g" {
				t.Errorf("ListGroups shows %v", g)
			}
		}},
		kproto.KeyApiVersions: {kmsg.NewPtrApiVersionsRequest(), nil, kproto.None, everybody},
		kproto.KeyDescribeCluster: {build(kmsg.NewPtrDescribeClusterRequest(), func(q *kmsg.DescribeClusterRequest) { q.IncludeClusterAuthorizedOperations = true }),
			[]right{clusterRight(kmsg.ACLOperationDescribe)}, kproto.None, func(t *testing.T, without, with kmsg.Response) {
				if have := without.(*kmsg.DescribeClusterResponse).ClusterAuthorizedOperations; have != 0 {
					t.Errorf("operations without rights: %b", have)
				}
				if have := with.(*kmsg.DescribeClusterResponse).ClusterAuthorizedOperations; have != 1<<kmsg.ACLOperationDescribe {
					t.Errorf("operations with DESCRIBE: %b", have)
				}
			}},
		kproto.KeyCreateTopics: {build(kmsg.NewPtrCreateTopicsRequest(), func(q *kmsg.CreateTopicsRequest) {
			q.ValidateOnly, q.TimeoutMillis = true, 5000
			q.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "made", NumPartitions: 1, ReplicationFactor: 1}}
		}), []right{{onTopic, "made", kmsg.ACLOperationCreate}}, topicNo, nil},
		kproto.KeyDeleteTopics: {build(kmsg.NewPtrDeleteTopicsRequest(), func(q *kmsg.DeleteTopicsRequest) {
			absent := "absent"
			q.TopicNames, q.Topics, q.TimeoutMillis = []string{absent}, []kmsg.DeleteTopicsRequestTopic{{Topic: &absent}}, 5000
		}), []right{{onTopic, "absent", kmsg.ACLOperationDelete}}, topicNo, nil},
		kproto.KeyCreatePartitions: {build(kmsg.NewPtrCreatePartitionsRequest(), func(q *kmsg.CreatePartitionsRequest) {
			q.ValidateOnly, q.TimeoutMillis, q.Topics = true, 5000, []kmsg.CreatePartitionsRequestTopic{{Topic: topic, Count: 2}}
		}), []right{topicRight(kmsg.ACLOperationAlter)}, topicNo, nil},
		kproto.KeyDeleteRecords: {build(kmsg.NewPtrDeleteRecordsRequest(), func(q *kmsg.DeleteRecordsRequest) {
			q.TimeoutMillis = 5000
			q.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: topic, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{}}}}
		}), []right{topicRight(kmsg.ACLOperationDelete)}, topicNo, nil},
		kproto.KeyInitProducerId: {kmsg.NewPtrInitProducerIDRequest(), []right{topicRight(kmsg.ACLOperationWrite)}, clusterNo, nil},
		kproto.KeyDescribeConfigs: {build(kmsg.NewPtrDescribeConfigsRequest(), func(q *kmsg.DescribeConfigsRequest) {
			q.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: topic}, {ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: "1"}}
		}), []right{topicRight(kmsg.ACLOperationDescribeConfigs), clusterRight(kmsg.ACLOperationDescribeConfigs)}, topicNo, nil},
		kproto.KeyAlterConfigs: {build(kmsg.NewPtrAlterConfigsRequest(), func(q *kmsg.AlterConfigsRequest) {
			q.ValidateOnly = true
			q.Resources = []kmsg.AlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: topic}, {ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: "1"}}
		}), []right{topicRight(kmsg.ACLOperationAlterConfigs), clusterRight(kmsg.ACLOperationAlterConfigs)}, topicNo, nil},
		kproto.KeyIncrementalAlterConfigs: {build(kmsg.NewPtrIncrementalAlterConfigsRequest(), func(q *kmsg.IncrementalAlterConfigsRequest) {
			q.ValidateOnly = true
			q.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: topic}, {ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: "1"}}
		}), []right{topicRight(kmsg.ACLOperationAlterConfigs), clusterRight(kmsg.ACLOperationAlterConfigs)}, topicNo, nil},
		kproto.KeyElectLeaders: {build(kmsg.NewPtrElectLeadersRequest(), func(q *kmsg.ElectLeadersRequest) {
			q.TimeoutMillis, q.Topics = 5000, []kmsg.ElectLeadersRequestTopic{{Topic: topic, Partitions: partitions}}
		}), []right{clusterRight(kmsg.ACLOperationAlter)}, clusterNo, nil},
		kproto.KeyAlterPartitionReassignments: {build(kmsg.NewPtrAlterPartitionAssignmentsRequest(), func(q *kmsg.AlterPartitionAssignmentsRequest) {
			q.TimeoutMillis = 5000
			q.Topics = []kmsg.AlterPartitionAssignmentsRequestTopic{{Topic: "absent", Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{Replicas: []int32{1}}}}}
		}), []right{clusterRight(kmsg.ACLOperationAlter)}, clusterNo, nil},
		kproto.KeyListPartitionReassignments: {build(kmsg.NewPtrListPartitionReassignmentsRequest(), func(q *kmsg.ListPartitionReassignmentsRequest) { q.TimeoutMillis = 5000 }),
			[]right{clusterRight(kmsg.ACLOperationDescribe)}, clusterNo, nil},
		kproto.KeyDescribeAcls: {build(kmsg.NewPtrDescribeACLsRequest(), func(q *kmsg.DescribeACLsRequest) {
			q.ResourceType, q.ResourcePatternType, q.Operation, q.PermissionType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny, kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
		}), []right{clusterRight(kmsg.ACLOperationDescribe)}, clusterNo, nil},
		kproto.KeyCreateAcls: {build(kmsg.NewPtrCreateACLsRequest(), func(q *kmsg.CreateACLsRequest) { q.Creations = []kmsg.CreateACLsRequestCreation{{}} }),
			[]right{clusterRight(kmsg.ACLOperationAlter)}, clusterNo, nil},
		kproto.KeyDeleteAcls: {build(kmsg.NewPtrDeleteACLsRequest(), func(q *kmsg.DeleteACLsRequest) { q.Filters = []kmsg.DeleteACLsRequestFilter{{}} }),
			[]right{clusterRight(kmsg.ACLOperationAlter)}, clusterNo, nil},
		kproto.KeyCreateDelegationToken:        {kmsg.NewPtrCreateDelegationTokenRequest(), nil, kproto.DelegationTokenAuthDisabled, everybody}, // their rights: TestTokenRights
		kproto.KeyRenewDelegationToken:         {kmsg.NewPtrRenewDelegationTokenRequest(), nil, kproto.DelegationTokenAuthDisabled, everybody},
		kproto.KeyExpireDelegationToken:        {kmsg.NewPtrExpireDelegationTokenRequest(), nil, kproto.DelegationTokenAuthDisabled, everybody},
		kproto.KeyDescribeDelegationToken:      {kmsg.NewPtrDescribeDelegationTokenRequest(), nil, kproto.DelegationTokenAuthDisabled, everybody},
		kproto.KeySaslHandshake:                {build(kmsg.NewPtrSASLHandshakeRequest(), func(q *kmsg.SASLHandshakeRequest) { q.Mechanism = "PLAIN" }), nil, kproto.None, everybody},
		kproto.KeySaslAuthenticate:             {kmsg.NewPtrSASLAuthenticateRequest(), nil, kproto.None, everybody},
		kproto.KeyDescribeUserScramCredentials: {kmsg.NewPtrDescribeUserSCRAMCredentialsRequest(), []right{clusterRight(kmsg.ACLOperationDescribe)}, clusterNo, nil},
		kproto.KeyAlterUserScramCredentials: {build(kmsg.NewPtrAlterUserSCRAMCredentialsRequest(), func(q *kmsg.AlterUserSCRAMCredentialsRequest) {
			q.Deletions = []kmsg.AlterUserSCRAMCredentialsRequestDeletion{{Name: "absent", Mechanism: 1}}
		}), []right{clusterRight(kmsg.ACLOperationAlter)}, clusterNo, nil},
		kproto.KeyListConfigResources: {kmsg.NewPtrListConfigResourcesRequest(), []right{clusterRight(kmsg.ACLOperationDescribeConfigs)}, clusterNo, nil},
		kproto.KeyAlterReplicaLogDirs: {build(kmsg.NewPtrAlterReplicaLogDirsRequest(), func(q *kmsg.AlterReplicaLogDirsRequest) {
			q.Dirs = []kmsg.AlterReplicaLogDirsRequestDir{{Dir: "/absent", Topics: []kmsg.AlterReplicaLogDirsRequestDirTopic{{Topic: topic, Partitions: partitions}}}}
		}), []right{clusterRight(kmsg.ACLOperationAlter)}, clusterNo, nil},
		kproto.KeyGetTelemetrySubscriptions: {kmsg.NewPtrGetTelemetrySubscriptionsRequest(), nil, kproto.None, everybody},
		kproto.KeyPushTelemetry:             {kmsg.NewPtrPushTelemetryRequest(), nil, kproto.None, everybody},
		kproto.KeyDescribeClientQuotas:      {kmsg.NewPtrDescribeClientQuotasRequest(), []right{clusterRight(kmsg.ACLOperationDescribeConfigs)}, clusterNo, nil},
		kproto.KeyAlterClientQuotas: {alterQuota(quotaParts("user=absent"), kmsg.AlterClientQuotasRequestEntryOp{Key: "producer_byte_rate", Remove: true}),
			[]right{clusterRight(kmsg.ACLOperationAlterConfigs)}, clusterNo, nil},
		kproto.KeyAddPartitionsToTxn: {build(kmsg.NewPtrAddPartitionsToTxnRequest(), func(q *kmsg.AddPartitionsToTxnRequest) {
			q.Transactions = []kmsg.AddPartitionsToTxnRequestTransaction{{TransactionalID: "x", VerifyOnly: true, Topics: []kmsg.AddPartitionsToTxnRequestTransactionTopic{{Topic: topic, Partitions: partitions}}}}
		}), []right{clusterRight(kmsg.ACLOperationClusterAction)}, clusterNo, nil},
		kproto.KeyAddOffsetsToTxn: {build(kmsg.NewPtrAddOffsetsToTxnRequest(), func(q *kmsg.AddOffsetsToTxnRequest) { q.TransactionalID, q.Group = "x", "g" }),
			[]right{{onTxn, "x", kmsg.ACLOperationWrite}, groupRight(kmsg.ACLOperationRead)}, txnNo, nil},
		kproto.KeyEndTxn: {build(kmsg.NewPtrEndTxnRequest(), func(q *kmsg.EndTxnRequest) { q.TransactionalID = "x" }),
			[]right{{onTxn, "x", kmsg.ACLOperationWrite}}, txnNo, nil},
		kproto.KeyTxnOffsetCommit: {build(kmsg.NewPtrTxnOffsetCommitRequest(), func(q *kmsg.TxnOffsetCommitRequest) {
			q.TransactionalID, q.Group, q.Generation = "x", "g", -1
			q.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: topic, Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{{}}}}
		}), []right{{onTxn, "x", kmsg.ACLOperationWrite}, groupRight(kmsg.ACLOperationRead), topicRight(kmsg.ACLOperationRead)}, txnNo, nil},
		kproto.KeyWriteTxnMarkers: {build(kmsg.NewPtrWriteTxnMarkersRequest(), func(q *kmsg.WriteTxnMarkersRequest) {
			q.Markers = []kmsg.WriteTxnMarkersRequestMarker{{ProducerID: 99, Topics: []kmsg.WriteTxnMarkersRequestMarkerTopic{{Topic: "absent", Partitions: partitions}}}}
		}), []right{clusterRight(kmsg.ACLOperationClusterAction)}, clusterNo, nil},
		kproto.KeyDescribeProducers: {build(kmsg.NewPtrDescribeProducersRequest(), func(q *kmsg.DescribeProducersRequest) {
			q.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: topic, Partitions: partitions}}
		}), []right{topicRight(kmsg.ACLOperationRead)}, topicNo, nil},
		kproto.KeyDescribeTransactions: {build(kmsg.NewPtrDescribeTransactionsRequest(), func(q *kmsg.DescribeTransactionsRequest) { q.TransactionalIDs = []string{"x"} }),
			[]right{{onTxn, "x", kmsg.ACLOperationDescribe}}, txnNo, nil},
		kproto.KeyListTransactions: {kmsg.NewPtrListTransactionsRequest(), nil, kproto.None, everybody}, // none is open
		kproto.KeyDescribeLogDirs:  {kmsg.NewPtrDescribeLogDirsRequest(), []right{clusterRight(kmsg.ACLOperationDescribe)}, clusterNo, nil},
		kproto.KeyDescribeQuorum: {build(kmsg.NewPtrDescribeQuorumRequest(), func(q *kmsg.DescribeQuorumRequest) {
			q.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: "__cluster_metadata", Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{}}}}
		}), []right{clusterRight(kmsg.ACLOperationDescribe)}, clusterNo, nil},
		kproto.KeyUnregisterBroker: {build(kmsg.NewPtrUnregisterBrokerRequest(), func(q *kmsg.UnregisterBrokerRequest) { q.BrokerID = 77 }),
			[]right{clusterRight(kmsg.ACLOperationAlter)}, clusterNo, nil},
		kproto.KeyUpdateFeatures: {build(kmsg.NewPtrUpdateFeaturesRequest(), func(q *kmsg.UpdateFeaturesRequest) { q.TimeoutMillis = 5000 }),
			[]right{clusterRight(kmsg.ACLOperationAlter)}, clusterNo, nil},
		kproto.KeyAddRaftVoter: {build(kmsg.NewPtrAddRaftVoterRequest(), func(q *kmsg.AddRaftVoterRequest) {
			another := "another"
			q.ClusterID, q.VoterID, q.TimeoutMillis = &another, 77, 5000
		}), []right{clusterRight(kmsg.ACLOperationAlter)}, clusterNo, nil},
		kproto.KeyRemoveRaftVoter: {build(kmsg.NewPtrRemoveRaftVoterRequest(), func(q *kmsg.RemoveRaftVoterRequest) {
			another := "another"
			q.ClusterID, q.VoterID = &another, 77
		}), []right{clusterRight(kmsg.ACLOperationAlter)}, clusterNo, nil},
	}
}

// TestGuards: every API is refused to somebody without rights, and served to somebody who has those that it takes and no others. An API that is not in the
// table fails.
func TestGuards(t *testing.T) {
	n := startGuarded(t)
	ctx := testContext(t)
	admin := n.client(t, n.third, "admin")
	createAs(t, admin, "secret")
	id := n.Node.Node().Image().Topic("secret").ID
	commit := guardedRequests(id)[kproto.KeyOffsetCommit].request // makes the group
	waittest.Until(t, 30*time.Second, "a group", func() bool {
		find := build(kmsg.NewPtrFindCoordinatorRequest(), func(q *kmsg.FindCoordinatorRequest) { q.CoordinatorKeys = []string{"g"} })
		if _, err := admin.SeedBrokers()[0].Request(ctx, find); err != nil {
			t.Fatal(err)
		}
		resp, err := admin.SeedBrokers()[0].Request(ctx, commit)
		return err == nil && resp.(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode == 0
	})
	nobody := n.client(t, n.third, "nobody")
	table := guardedRequests(id)
	for _, key := range engine.ServedAPIs() {
		c, ok := table[key]
		if !ok {
			t.Errorf("%s has no case: which rights does it take?", kmsg.NameForKey(key))
			continue
		}
		user := "k" + strconv.Itoa(int(key))
		if len(c.rights) > 0 {
			n.allow(t, admin, user, c.rights...)
		}
		ask := func(cl *kgo.Client) kmsg.Response {
			t.Helper()
			resp, err := cl.SeedBrokers()[0].Request(ctx, c.request)
			if err != nil {
				t.Fatalf("%s: %v", kmsg.NameForKey(key), err)
			}
			return resp
		}
		without, with := ask(nobody), ask(n.client(t, n.third, user))
		if c.check != nil {
			c.check(t, without, with)
		} else if have := refusals(without); len(have) == 0 || have[0] != int16(c.code) {
			t.Errorf("%s without rights: codes %v, want %v; %+v", kmsg.NameForKey(key), have, c.code, without)
		}
		if have := refusals(with); len(have) > 0 && key != kproto.KeyDeleteGroups {
			t.Errorf("%s with %v: refused with %v", kmsg.NameForKey(key), c.rights, have)
		}
	}
	all, err := nobody.SeedBrokers()[0].Request(ctx, build(kmsg.NewPtrMetadataRequest(), func(q *kmsg.MetadataRequest) { q.Topics = nil }))
	if err != nil || len(all.(*kmsg.MetadataResponse).Topics) != 0 {
		t.Errorf("somebody without rights sees topics: %v, %+v", err, all)
	}
	none := build(kmsg.NewPtrMetadataRequest(), func(q *kmsg.MetadataRequest) {
		absent := "absent"
		q.Topics = []kmsg.MetadataRequestTopic{{Topic: &absent}}
	})
	if resp, err := nobody.SeedBrokers()[0].Request(ctx, none); err != nil || resp.(*kmsg.MetadataResponse).Topics[0].ErrorCode != int16(topicNo) {
		t.Errorf("what does not exist is answered differently from what does: %v, %+v", err, resp)
	}
}

// TestACLsOff: without an authorizer everything is allowed, and there is nothing to list.
func TestACLsOff(t *testing.T) {
	n := startTLS(t)
	req := kmsg.NewPtrDescribeACLsRequest()
	req.ResourceType, req.ResourcePatternType, req.Operation, req.PermissionType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny, kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	resp, err := req.RequestWith(context.Background(), newClient(t, n.Node))
	if err != nil || resp.ErrorCode != int16(kproto.SecurityDisabled) {
		t.Errorf("%v, %+v", err, resp)
	}
}

// TestACLsJava: kafka-acls.sh gives a right, lists it and takes it away, and producers and consumers of Kafka feel it.
func TestACLsJava(t *testing.T) {
	kit := javakit.ForTest(t)
	n := startGuarded(t)
	createAs(t, n.client(t, n.third, "admin"), "secret")
	properties := func(user string) string {
		return tlstest.WriteFile(t, n.dir, user+".properties", []byte(strings.Join([]string{"security.protocol=SSL",
			"ssl.truststore.type=PEM", "ssl.truststore.location=" + tlstest.WriteFile(t, n.dir, "ca.pem", n.ca.PEM()),
			"ssl.keystore.type=PEM", "ssl.keystore.location=" + tlstest.WriteFile(t, n.dir, user+".pem", n.ca.Issue(user, nil).PEM())}, "\n")))
	}
	admin, ann := properties("admin"), properties("ann")
	run := func(tool, stdin string, args ...string) javakit.Result {
		t.Helper()
		r, err := kit.Run(testContext(t), javakit.Command{Tool: tool, Args: append([]string{"--bootstrap-server", n.third, "--command-config"}, args...), Stdin: strings.NewReader(stdin)})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := run("kafka-console-producer", "x\n", ann, "--topic", "secret"); !strings.Contains(r.String(), "TopicAuthorizationException") {
		t.Fatal(r)
	}
	for _, role := range [][]string{{"--producer"}, {"--consumer", "--group", "g"}} {
		if r := run("kafka-acls", "", append([]string{admin, "--add", "--allow-principal", "User:ann", "--topic", "secret"}, role...)...); r.ExitCode != 0 {
			t.Fatal(r)
		}
	}
	if r := run("kafka-acls", "", admin, "--list", "--topic", "secret"); !strings.Contains(r.Stdout, "principal=User:ann, host=*, operation=WRITE, permissionType=ALLOW") {
		t.Fatal(r)
	}
	if r := run("kafka-console-producer", "x\n", ann, "--topic", "secret"); r.ExitCode != 0 || strings.Contains(r.String(), "Exception") {
		t.Fatal(r)
	}
	if r := run("kafka-console-consumer", "", ann, "--topic", "secret", "--group", "g", "--from-beginning", "--max-messages", "1"); r.Stdout != "x\n" {
		t.Fatal(r)
	}
	if r := run("kafka-acls", "", admin, "--remove", "--force", "--allow-principal", "User:ann", "--operation", "Write", "--topic", "secret"); r.ExitCode != 0 {
		t.Fatal(r)
	}
	waittest.Until(t, 30*time.Second, "what could be written can be no more", func() bool { // the tool does not show what a produce is answered
		err := n.client(t, n.third, "ann", kgo.DisableIdempotentWrite()).ProduceSync(testContext(t), &kgo.Record{Topic: "secret", Value: []byte("x")}).FirstErr()
		return errors.Is(err, kerr.TopicAuthorizationFailed)
	})
	if r := run("kafka-acls", "", ann, "--list"); !strings.Contains(r.String(), "ClusterAuthorizationException") {
		t.Fatal(r)
	}
}
