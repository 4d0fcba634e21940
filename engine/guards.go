package engine

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
)

// Codes of refusals, as responses have them.
const (
	topicRefused   = int16(kproto.TopicAuthorizationFailed)
	groupRefused   = int16(kproto.GroupAuthorizationFailed)
	clusterRefused = int16(kproto.ClusterAuthorizationFailed)
	txnRefused     = int16(kproto.TransactionalIDAuthorizationFailed)
)

// guards are those of all APIs that are served through the generic path. A test fails for an API that has none.
var guards = [kproto.MaxKey + 1]guard{
	// Who a client is comes before what it may do.
	kproto.KeyApiVersions:      open,
	kproto.KeySaslHandshake:    open,
	kproto.KeySaslAuthenticate: open,

	// Their handlers ask, see 38_delegation_tokens.go.
	kproto.KeyCreateDelegationToken:   open,
	kproto.KeyRenewDelegationToken:    open,
	kproto.KeyExpireDelegationToken:   open,
	kproto.KeyDescribeDelegationToken: open,

	// guards_topics.go
	kproto.KeyListOffsets:             guardListOffsets,
	kproto.KeyMetadata:                guardMetadata,
	kproto.KeyDescribeTopicPartitions: guardDescribeTopicPartitions,
	kproto.KeyOffsetForLeaderEpoch:    guardOffsetForLeaderEpoch,
	kproto.KeyCreateTopics:            guardCreateTopics,
	kproto.KeyDeleteTopics:            guardDeleteTopics,
	kproto.KeyCreatePartitions:        guardCreatePartitions,
	kproto.KeyDeleteRecords:           guardDeleteRecords,
	kproto.KeyInitProducerId:          guardInitProducerID,

	// guards_groups.go
	kproto.KeyFindCoordinator:        guardFindCoordinator,
	kproto.KeyOffsetCommit:           guardOffsetCommit,
	kproto.KeyOffsetFetch:            guardOffsetFetch,
	kproto.KeyOffsetDelete:           guardOffsetDelete,
	kproto.KeyDescribeGroups:         guardDescribeGroups,
	kproto.KeyListGroups:             guardListGroups,
	kproto.KeyDeleteGroups:           guardDeleteGroups,
	kproto.KeyConsumerGroupHeartbeat: guardConsumerGroupHeartbeat,
	kproto.KeyConsumerGroupDescribe:  guardConsumerGroupDescribe,
	kproto.KeyStreamsGroupHeartbeat:  guardStreamsGroupHeartbeat,
	kproto.KeyStreamsGroupDescribe:   guardStreamsGroupDescribe,
	kproto.KeyJoinGroup: readsGroup(func(q *kmsg.JoinGroupRequest) string { return q.Group }, func(p *kmsg.JoinGroupResponse) {
		p.ErrorCode, p.Generation = groupRefused, -1
	}),
	kproto.KeySyncGroup:  readsGroup(func(q *kmsg.SyncGroupRequest) string { return q.Group }, func(p *kmsg.SyncGroupResponse) { p.ErrorCode = groupRefused }),
	kproto.KeyHeartbeat:  readsGroup(func(q *kmsg.HeartbeatRequest) string { return q.Group }, func(p *kmsg.HeartbeatResponse) { p.ErrorCode = groupRefused }),
	kproto.KeyLeaveGroup: readsGroup(func(q *kmsg.LeaveGroupRequest) string { return q.Group }, func(p *kmsg.LeaveGroupResponse) { p.ErrorCode = groupRefused }),

	// guards_share.go
	kproto.KeyShareGroupHeartbeat: guardShareGroupHeartbeat,
	kproto.KeyShareGroupDescribe:  guardShareGroupDescribe,
	kproto.KeyShareFetch: readsShare(func(q *kmsg.ShareFetchRequest) *string { return q.GroupID }, func(p *kmsg.ShareFetchResponse) {
		p.ErrorCode = groupRefused
	}),
	kproto.KeyShareAcknowledge: readsShare(func(q *kmsg.ShareAcknowledgeRequest) *string { return q.GroupID }, func(p *kmsg.ShareAcknowledgeResponse) {
		p.ErrorCode = groupRefused
	}),
	kproto.KeyInitializeShareGroupState:  forCluster(opClusterAction, refuseShareStates),
	kproto.KeyReadShareGroupState:        forCluster(opClusterAction, refuseShareStates),
	kproto.KeyWriteShareGroupState:       forCluster(opClusterAction, refuseShareStates),
	kproto.KeyDeleteShareGroupState:      forCluster(opClusterAction, refuseShareStates),
	kproto.KeyReadShareGroupStateSummary: forCluster(opClusterAction, refuseShareStates),
	kproto.KeyDescribeShareGroupOffsets:  guardDescribeShareGroupOffsets,
	kproto.KeyAlterShareGroupOffsets:     guardAlterShareGroupOffsets,
	kproto.KeyDeleteShareGroupOffsets:    guardDeleteShareGroupOffsets,

	// guards_txn.go
	kproto.KeyAddPartitionsToTxn:   guardAddPartitionsToTxn,
	kproto.KeyAddOffsetsToTxn:      guardAddOffsetsToTxn,
	kproto.KeyEndTxn:               guardEndTxn,
	kproto.KeyTxnOffsetCommit:      guardTxnOffsetCommit,
	kproto.KeyWriteTxnMarkers:      forCluster(opClusterAction, refuseMarkers),
	kproto.KeyDescribeProducers:    guardDescribeProducers,
	kproto.KeyDescribeTransactions: guardDescribeTransactions,
	kproto.KeyListTransactions:     guardListTransactions,

	// guards_cluster.go
	kproto.KeyDescribeConfigs:         guardDescribeConfigs,
	kproto.KeyAlterConfigs:            guardAlterConfigs,
	kproto.KeyIncrementalAlterConfigs: guardIncrementalAlterConfigs,
	kproto.KeyDescribeCluster:         guardDescribeCluster,
	kproto.KeyElectLeaders:            forCluster(opAlter, refuseElection),
	kproto.KeyDescribeClientQuotas: forCluster(opDescribeConfigs, func(_ *request, p *kmsg.DescribeClientQuotasResponse) {
		p.ErrorCode = clusterRefused
	}),
	kproto.KeyAlterClientQuotas: forCluster(opAlterConfigs, func(r *request, p *kmsg.AlterClientQuotasResponse) {
		failQuotas(r.body.(*kmsg.AlterClientQuotasRequest), p, kproto.ClusterAuthorizationFailed, "Cluster authorization failed.")
	}),
	kproto.KeyCreateAcls:   forCluster(opAlter, refuseACLCreations),
	kproto.KeyDeleteAcls:   forCluster(opAlter, refuseACLDeletions),
	kproto.KeyDescribeAcls: forCluster(opDescribe, func(_ *request, p *kmsg.DescribeACLsResponse) { p.ErrorCode = clusterRefused }),
	kproto.KeyDescribeUserScramCredentials: forCluster(opDescribe, func(_ *request, p *kmsg.DescribeUserSCRAMCredentialsResponse) {
		p.ErrorCode = clusterRefused
	}),
	kproto.KeyAlterUserScramCredentials: forCluster(opAlter, func(r *request, p *kmsg.AlterUserSCRAMCredentialsResponse) {
		failScram(r.body.(*kmsg.AlterUserSCRAMCredentialsRequest), p, kproto.ClusterAuthorizationFailed, "Cluster authorization failed.")
	}),
	kproto.KeyListConfigResources: forCluster(opDescribeConfigs, func(_ *request, p *kmsg.ListConfigResourcesResponse) { p.ErrorCode = clusterRefused }),
	kproto.KeyAlterReplicaLogDirs: forCluster(opAlter, refuseLogDirs),
	// Clients tell of themselves; who asks for it needs rights, not they.
	kproto.KeyGetTelemetrySubscriptions: open,
	kproto.KeyPushTelemetry:             open,
	kproto.KeyDescribeLogDirs:           forCluster(opDescribe, func(_ *request, p *kmsg.DescribeLogDirsResponse) { p.ErrorCode = clusterRefused }),
	kproto.KeyDescribeQuorum:            forCluster(opDescribe, func(_ *request, p *kmsg.DescribeQuorumResponse) { p.ErrorCode = clusterRefused }),
	kproto.KeyUnregisterBroker:          forCluster(opAlter, func(_ *request, p *kmsg.UnregisterBrokerResponse) { p.ErrorCode = clusterRefused }),
	kproto.KeyUpdateFeatures: forCluster(opAlter, func(_ *request, p *kmsg.UpdateFeaturesResponse) {
		text := "Cluster authorization failed."
		p.ErrorCode, p.ErrorMessage, p.Results = clusterRefused, &text, []kmsg.UpdateFeaturesResponseResult{}
	}),
	kproto.KeyAddRaftVoter:    forCluster(opAlter, func(_ *request, p *kmsg.AddRaftVoterResponse) { p.ErrorCode = clusterRefused }),
	kproto.KeyRemoveRaftVoter: forCluster(opAlter, func(_ *request, p *kmsg.RemoveRaftVoterResponse) { p.ErrorCode = clusterRefused }),
	kproto.KeyAlterPartitionReassignments: forCluster(opAlter, func(_ *request, p *kmsg.AlterPartitionAssignmentsResponse) {
		p.ErrorCode = clusterRefused
	}),
	kproto.KeyListPartitionReassignments: forCluster(opDescribe, func(_ *request, p *kmsg.ListPartitionReassignmentsResponse) {
		p.ErrorCode = clusterRefused
	}),
}
