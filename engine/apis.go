package engine

import (
	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/engine/kproto"
)

// api is one served API: its name, the versions served and who serves it. ApiVersions answers from this table, so that what is
// advertised is what is implemented.
type api struct {
	key      int16
	name     string
	min, max int16
	// inline handlers run on the connection's event loop: they must be quick and must not wait. Others get a goroutine.
	inline bool
	handle func(*request) // nil for Produce and Fetch, which have their own path
}

// apiTable is the table of served APIs, by key. Ranges are those of Kafka 4.3; older minima stay closed as there (KIP-896).
type apiTable [kproto.MaxKey + 1]*api

func newAPITable() *apiTable {
	return tableOf(
		api{key: kproto.KeyProduce, name: "Produce", min: 3, max: 13},
		api{key: kproto.KeyFetch, name: "Fetch", min: 4, max: 18},
		api{key: kproto.KeyListOffsets, name: "ListOffsets", min: 1, max: 11, handle: listOffsets},
		api{key: kproto.KeyMetadata, name: "Metadata", min: 0, max: 13, handle: metadata},
		api{key: kproto.KeyOffsetCommit, name: "OffsetCommit", min: 2, max: 10, handle: offsetCommit},
		api{key: kproto.KeyOffsetFetch, name: "OffsetFetch", min: 1, max: 10, handle: offsetFetch},
		api{key: kproto.KeyFindCoordinator, name: "FindCoordinator", min: 0, max: 6, handle: findCoordinator},
		api{key: kproto.KeyJoinGroup, name: "JoinGroup", min: 0, max: 9, handle: joinGroup},
		api{key: kproto.KeyHeartbeat, name: "Heartbeat", min: 0, max: 4, handle: heartbeat},
		api{key: kproto.KeyLeaveGroup, name: "LeaveGroup", min: 0, max: 5, handle: leaveGroup},
		api{key: kproto.KeySyncGroup, name: "SyncGroup", min: 0, max: 5, handle: syncGroup},
		api{key: kproto.KeyDescribeGroups, name: "DescribeGroups", min: 0, max: 6, handle: describeGroups},
		api{key: kproto.KeyListGroups, name: "ListGroups", min: 0, max: 5, handle: listGroups},
		api{key: kproto.KeySaslHandshake, name: "SaslHandshake", min: 0, max: 1, inline: true, handle: saslHandshake},
		api{key: kproto.KeyApiVersions, name: "ApiVersions", min: 0, max: 4, inline: true, handle: apiVersions},
		api{key: kproto.KeyCreateTopics, name: "CreateTopics", min: 2, max: 7, handle: createTopics},
		api{key: kproto.KeyDeleteTopics, name: "DeleteTopics", min: 1, max: 6, handle: deleteTopics},
		api{key: kproto.KeyDeleteRecords, name: "DeleteRecords", min: 0, max: 2, handle: deleteRecords},
		api{key: kproto.KeyInitProducerId, name: "InitProducerId", min: 0, max: 5, handle: initProducerID},
		api{key: kproto.KeyAddPartitionsToTxn, name: "AddPartitionsToTxn", min: 0, max: 5, handle: addPartitionsToTxn},
		api{key: kproto.KeyAddOffsetsToTxn, name: "AddOffsetsToTxn", min: 0, max: 4, handle: addOffsetsToTxn},
		api{key: kproto.KeyEndTxn, name: "EndTxn", min: 0, max: 5, handle: endTxn},
		api{key: kproto.KeyWriteTxnMarkers, name: "WriteTxnMarkers", min: 1, max: 2, handle: writeTxnMarkers},
		api{key: kproto.KeyTxnOffsetCommit, name: "TxnOffsetCommit", min: 0, max: 5, handle: txnOffsetCommit},
		api{key: kproto.KeyOffsetForLeaderEpoch, name: "OffsetForLeaderEpoch", min: 2, max: 4, handle: offsetForLeaderEpoch},
		api{key: kproto.KeyDescribeConfigs, name: "DescribeConfigs", min: 1, max: 4, handle: describeConfigs},
		api{key: kproto.KeyAlterConfigs, name: "AlterConfigs", min: 0, max: 2, handle: alterConfigs},
		api{key: kproto.KeyAlterReplicaLogDirs, name: "AlterReplicaLogDirs", min: 1, max: 2, handle: alterReplicaLogDirs},
		api{key: kproto.KeyDescribeLogDirs, name: "DescribeLogDirs", min: 1, max: 5, handle: describeLogDirs},
		api{key: kproto.KeySaslAuthenticate, name: "SaslAuthenticate", min: 0, max: 2, inline: true, handle: saslAuthenticate},
		api{key: kproto.KeyCreatePartitions, name: "CreatePartitions", min: 0, max: 3, handle: createPartitions},
		api{key: kproto.KeyCreateDelegationToken, name: "CreateDelegationToken", min: 1, max: 3, handle: createToken},
		api{key: kproto.KeyRenewDelegationToken, name: "RenewDelegationToken", min: 1, max: 2, handle: renewToken},
		api{key: kproto.KeyExpireDelegationToken, name: "ExpireDelegationToken", min: 1, max: 2, handle: expireToken},
		api{key: kproto.KeyDescribeDelegationToken, name: "DescribeDelegationToken", min: 1, max: 3, handle: describeTokens},
		api{key: kproto.KeyDeleteGroups, name: "DeleteGroups", min: 0, max: 2, handle: deleteGroups},
		api{key: kproto.KeyDescribeAcls, name: "DescribeAcls", min: 1, max: 3, handle: describeACLs},
		api{key: kproto.KeyCreateAcls, name: "CreateAcls", min: 1, max: 3, handle: createACLs},
		api{key: kproto.KeyDeleteAcls, name: "DeleteAcls", min: 1, max: 3, handle: deleteACLs},
		api{key: kproto.KeyIncrementalAlterConfigs, name: "IncrementalAlterConfigs", min: 0, max: 1, handle: incrementalAlterConfigs},
		api{key: kproto.KeyElectLeaders, name: "ElectLeaders", min: 0, max: 2, handle: electLeaders},
		api{key: kproto.KeyAlterPartitionReassignments, name: "AlterPartitionReassignments", min: 0, max: 1, handle: alterReassignments},
		api{key: kproto.KeyListPartitionReassignments, name: "ListPartitionReassignments", min: 0, max: 0, handle: listReassignments},
		api{key: kproto.KeyOffsetDelete, name: "OffsetDelete", min: 0, max: 0, handle: offsetDelete},
		api{key: kproto.KeyDescribeClientQuotas, name: "DescribeClientQuotas", min: 0, max: 1, handle: describeQuotas},
		api{key: kproto.KeyAlterClientQuotas, name: "AlterClientQuotas", min: 0, max: 1, handle: alterQuotas},
		api{key: kproto.KeyDescribeUserScramCredentials, name: "DescribeUserScramCredentials", min: 0, max: 0, handle: describeScram},
		api{key: kproto.KeyAlterUserScramCredentials, name: "AlterUserScramCredentials", min: 0, max: 0, handle: alterScram},
		api{key: kproto.KeyDescribeQuorum, name: "DescribeQuorum", min: 0, max: 2, handle: describeQuorum},
		api{key: kproto.KeyUpdateFeatures, name: "UpdateFeatures", min: 0, max: 2, handle: updateFeatures},
		api{key: kproto.KeyDescribeCluster, name: "DescribeCluster", min: 0, max: 2, handle: describeCluster},
		api{key: kproto.KeyDescribeProducers, name: "DescribeProducers", min: 0, max: 0, handle: describeProducers},
		api{key: kproto.KeyUnregisterBroker, name: "UnregisterBroker", min: 0, max: 0, handle: unregisterBroker},
		api{key: kproto.KeyDescribeTransactions, name: "DescribeTransactions", min: 0, max: 0, handle: describeTransactions},
		api{key: kproto.KeyListTransactions, name: "ListTransactions", min: 0, max: 2, handle: listTransactions},
		api{key: kproto.KeyGetTelemetrySubscriptions, name: "GetTelemetrySubscriptions", min: 0, max: 0, handle: getTelemetrySubscriptions},
		api{key: kproto.KeyPushTelemetry, name: "PushTelemetry", min: 0, max: 0, handle: pushTelemetry},
		api{key: kproto.KeyListConfigResources, name: "ListConfigResources", min: 0, max: 1, handle: listConfigResources},
		api{key: kproto.KeyConsumerGroupHeartbeat, name: "ConsumerGroupHeartbeat", min: 0, max: 1, handle: consumerGroupHeartbeat},
		api{key: kproto.KeyConsumerGroupDescribe, name: "ConsumerGroupDescribe", min: 0, max: 1, handle: consumerGroupDescribe},
		api{key: kproto.KeyStreamsGroupHeartbeat, name: "StreamsGroupHeartbeat", min: 0, max: 0, handle: streamsGroupHeartbeat},
		api{key: kproto.KeyStreamsGroupDescribe, name: "StreamsGroupDescribe", min: 0, max: 0, handle: streamsGroupDescribe},
		api{key: kproto.KeyShareGroupHeartbeat, name: "ShareGroupHeartbeat", min: 1, max: 1, handle: shareGroupHeartbeat},
		api{key: kproto.KeyShareGroupDescribe, name: "ShareGroupDescribe", min: 1, max: 1, handle: shareGroupDescribe},
		api{key: kproto.KeyShareFetch, name: "ShareFetch", min: 1, max: 2, handle: shareFetch},
		api{key: kproto.KeyShareAcknowledge, name: "ShareAcknowledge", min: 1, max: 2, handle: shareAcknowledge},
		api{key: kproto.KeyInitializeShareGroupState, name: "InitializeShareGroupState", min: 0, max: 0, handle: initializeShareGroupState},
		api{key: kproto.KeyReadShareGroupState, name: "ReadShareGroupState", min: 0, max: 0, handle: readShareGroupState},
		api{key: kproto.KeyWriteShareGroupState, name: "WriteShareGroupState", min: 0, max: 1, handle: writeShareGroupState},
		api{key: kproto.KeyDeleteShareGroupState, name: "DeleteShareGroupState", min: 0, max: 0, handle: deleteShareGroupState},
		api{key: kproto.KeyReadShareGroupStateSummary, name: "ReadShareGroupStateSummary", min: 0, max: 1, handle: readShareGroupStateSummary},
		api{key: kproto.KeyDescribeShareGroupOffsets, name: "DescribeShareGroupOffsets", min: 0, max: 1, handle: describeShareGroupOffsets},
		api{key: kproto.KeyAlterShareGroupOffsets, name: "AlterShareGroupOffsets", min: 0, max: 0, handle: alterShareGroupOffsets},
		api{key: kproto.KeyDeleteShareGroupOffsets, name: "DeleteShareGroupOffsets", min: 0, max: 0, handle: deleteShareGroupOffsets},
		api{key: kproto.KeyDescribeTopicPartitions, name: "DescribeTopicPartitions", min: 0, max: 0, handle: describeTopicPartitions},
		api{key: kproto.KeyAddRaftVoter, name: "AddRaftVoter", min: 0, max: 1, handle: addRaftVoter},
		api{key: kproto.KeyRemoveRaftVoter, name: "RemoveRaftVoter", min: 0, max: 0, handle: removeRaftVoter},
	)
}

func tableOf(list ...api) *apiTable {
	var t apiTable
	for i := range list {
		t[list[i].key] = &list[i]
	}
	return &t
}

// servedAPIs is the table of a node: what it has no use for, it does not offer.
func servedAPIs(c *config.Config) *apiTable {
	t := newAPITable()
	if c.Telemetry.Prometheus == "" {
		t[kproto.KeyGetTelemetrySubscriptions], t[kproto.KeyPushTelemetry] = nil, nil
	}
	return t
}

// byKey returns nil for a key that is not served.
func (t *apiTable) byKey(key int16) *api {
	if key < 0 || int(key) >= len(t) {
		return nil
	}
	return t[key]
}
