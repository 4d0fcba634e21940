package kproto

// Keys of the Kafka protocol, by Kafka's names.
const (
	KeyProduce                               int16 = 0
	KeyFetch                                 int16 = 1
	KeyListOffsets                           int16 = 2
	KeyMetadata                              int16 = 3
	KeyLeaderAndIsr                          int16 = 4
	KeyStopReplica                           int16 = 5
	KeyUpdateMetadata                        int16 = 6
	KeyControlledShutdown                    int16 = 7
	KeyOffsetCommit                          int16 = 8
	KeyOffsetFetch                           int16 = 9
	KeyFindCoordinator                       int16 = 10
	KeyJoinGroup                             int16 = 11
	KeyHeartbeat                             int16 = 12
	KeyLeaveGroup                            int16 = 13
	KeySyncGroup                             int16 = 14
	KeyDescribeGroups                        int16 = 15
	KeyListGroups                            int16 = 16
	KeySaslHandshake                         int16 = 17
	KeyApiVersions                           int16 = 18
	KeyCreateTopics                          int16 = 19
	KeyDeleteTopics                          int16 = 20
	KeyDeleteRecords                         int16 = 21
	KeyInitProducerId                        int16 = 22
	KeyOffsetForLeaderEpoch                  int16 = 23
	KeyAddPartitionsToTxn                    int16 = 24
	KeyAddOffsetsToTxn                       int16 = 25
	KeyEndTxn                                int16 = 26
	KeyWriteTxnMarkers                       int16 = 27
	KeyTxnOffsetCommit                       int16 = 28
	KeyDescribeAcls                          int16 = 29
	KeyCreateAcls                            int16 = 30
	KeyDeleteAcls                            int16 = 31
	KeyDescribeConfigs                       int16 = 32
	KeyAlterConfigs                          int16 = 33
	KeyAlterReplicaLogDirs                   int16 = 34
	KeyDescribeLogDirs                       int16 = 35
	KeySaslAuthenticate                      int16 = 36
	KeyCreatePartitions                      int16 = 37
	KeyCreateDelegationToken                 int16 = 38
	KeyRenewDelegationToken                  int16 = 39
	KeyExpireDelegationToken                 int16 = 40
	KeyDescribeDelegationToken               int16 = 41
	KeyDeleteGroups                          int16 = 42
	KeyElectLeaders                          int16 = 43
	KeyIncrementalAlterConfigs               int16 = 44
	KeyAlterPartitionReassignments           int16 = 45
	KeyListPartitionReassignments            int16 = 46
	KeyOffsetDelete                          int16 = 47
	KeyDescribeClientQuotas                  int16 = 48
	KeyAlterClientQuotas                     int16 = 49
	KeyDescribeUserScramCredentials          int16 = 50
	KeyAlterUserScramCredentials             int16 = 51
	KeyVote                                  int16 = 52
	KeyBeginQuorumEpoch                      int16 = 53
	KeyEndQuorumEpoch                        int16 = 54
	KeyDescribeQuorum                        int16 = 55
	KeyAlterPartition                        int16 = 56
	KeyUpdateFeatures                        int16 = 57
	KeyEnvelope                              int16 = 58
	KeyFetchSnapshot                         int16 = 59
	KeyDescribeCluster                       int16 = 60
	KeyDescribeProducers                     int16 = 61
	KeyBrokerRegistration                    int16 = 62
	KeyBrokerHeartbeat                       int16 = 63
	KeyUnregisterBroker                      int16 = 64
	KeyDescribeTransactions                  int16 = 65
	KeyListTransactions                      int16 = 66
	KeyAllocateProducerIds                   int16 = 67
	KeyConsumerGroupHeartbeat                int16 = 68
	KeyConsumerGroupDescribe                 int16 = 69
	KeyControllerRegistration                int16 = 70
	KeyGetTelemetrySubscriptions             int16 = 71
	KeyPushTelemetry                         int16 = 72
	KeyAssignReplicasToDirs                  int16 = 73
	KeyListConfigResources                   int16 = 74
	KeyDescribeTopicPartitions               int16 = 75
	KeyShareGroupHeartbeat                   int16 = 76
	KeyShareGroupDescribe                    int16 = 77
	KeyShareFetch                            int16 = 78
	KeyShareAcknowledge                      int16 = 79
	KeyAddRaftVoter                          int16 = 80
	KeyRemoveRaftVoter                       int16 = 81
	KeyUpdateRaftVoter                       int16 = 82
	KeyInitializeShareGroupState             int16 = 83
	KeyReadShareGroupState                   int16 = 84
	KeyWriteShareGroupState                  int16 = 85
	KeyDeleteShareGroupState                 int16 = 86
	KeyReadShareGroupStateSummary            int16 = 87
	KeyStreamsGroupHeartbeat                 int16 = 88
	KeyStreamsGroupDescribe                  int16 = 89
	KeyDescribeShareGroupOffsets             int16 = 90
	KeyAlterShareGroupOffsets                int16 = 91
	KeyDeleteShareGroupOffsets               int16 = 92
	KeyStreamsGroupTopologyDescriptionUpdate int16 = 93
	KeyUnregisterController                  int16 = 94
)

// MaxKey is the highest key that this package knows.
const MaxKey int16 = 94

// Listeners says on which kinds of listener Kafka serves an API.
type Listeners uint8

const (
	BrokerListener Listeners = 1 << iota
	ControllerListener
)

// NeverFlexible is the FirstFlexible of an API that has no flexible version.
const NeverFlexible int16 = 32767

// API describes one key as Kafka 4.3 serves it.
type API struct {
	Key  int16
	Name string
	// Min and Max are the versions that a 4.3 broker or controller puts into its ApiVersions answer. Max is -1 when it does not
	// serve the key at all: the APIs of ZooKeeper times and those that came later.
	Min, Max int16
	// FirstFlexible is the first version with compact lengths, tagged fields and the longer headers.
	FirstFlexible int16
	// Listeners is empty when Max is -1.
	Listeners Listeners
}

// Served says whether Kafka 4.3 serves the API at all.
func (a *API) Served() bool { return a.Max >= 0 }

// Has says whether Kafka 4.3 serves the version. Produce is shown from version 0 on (see ProduceMinServed) but served from 3.
func (a *API) Has(version int16) bool {
	if a.Key == KeyProduce && version < ProduceMinServed {
		return false
	}
	return version >= a.Min && version <= a.Max
}

// ProduceMinServed is the lowest version of Produce that is served. ApiVersions shows 0 instead, as Kafka does, because librdkafka
// does not compress unless version 0 is listed (KAFKA-18659).
const ProduceMinServed int16 = 3

// APIByKey returns the description of a key, nil when there is no such key.
func APIByKey(key int16) *API {
	if key < 0 || key > MaxKey {
		return nil
	}
	return &apis[key]
}

// APIs calls fn for every key in ascending order until it returns false.
func APIs(fn func(*API) bool) {
	for i := range apis {
		if !fn(&apis[i]) {
			return
		}
	}
}

// APIName is the name of a key, for messages.
func APIName(key int16) string {
	if a := APIByKey(key); a != nil {
		return a.Name
	}
	return "unknown"
}

// IsFlexible says whether requests and responses of that version are flexible. False for a key that does not exist.
func IsFlexible(key, version int16) bool {
	return key >= 0 && key <= MaxKey && version >= apis[key].FirstFlexible
}

var apis = [MaxKey + 1]API{
	{KeyProduce, "Produce", 0, 13, 9, BrokerListener},
	{KeyFetch, "Fetch", 4, 18, 12, BrokerListener | ControllerListener},
	{KeyListOffsets, "ListOffsets", 1, 11, 6, BrokerListener},
	{KeyMetadata, "Metadata", 0, 13, 9, BrokerListener},
	{KeyLeaderAndIsr, "LeaderAndIsr", 0, -1, 4, 0},
	{KeyStopReplica, "StopReplica", 0, -1, 2, 0},
	{KeyUpdateMetadata, "UpdateMetadata", 0, -1, 6, 0},
	{KeyControlledShutdown, "ControlledShutdown", 0, -1, 3, 0},
	{KeyOffsetCommit, "OffsetCommit", 2, 10, 8, BrokerListener},
	{KeyOffsetFetch, "OffsetFetch", 1, 10, 6, BrokerListener},
	{KeyFindCoordinator, "FindCoordinator", 0, 6, 3, BrokerListener},
	{KeyJoinGroup, "JoinGroup", 0, 9, 6, BrokerListener},
	{KeyHeartbeat, "Heartbeat", 0, 4, 4, BrokerListener},
	{KeyLeaveGroup, "LeaveGroup", 0, 5, 4, BrokerListener},
	{KeySyncGroup, "SyncGroup", 0, 5, 4, BrokerListener},
	{KeyDescribeGroups, "DescribeGroups", 0, 6, 5, BrokerListener},
	{KeyListGroups, "ListGroups", 0, 5, 3, BrokerListener},
	{KeySaslHandshake, "SaslHandshake", 0, 1, NeverFlexible, BrokerListener | ControllerListener},
	{KeyApiVersions, "ApiVersions", 0, 4, 3, BrokerListener | ControllerListener},
	{KeyCreateTopics, "CreateTopics", 2, 7, 5, BrokerListener | ControllerListener},
	{KeyDeleteTopics, "DeleteTopics", 1, 6, 4, BrokerListener | ControllerListener},
	{KeyDeleteRecords, "DeleteRecords", 0, 2, 2, BrokerListener},
	{KeyInitProducerId, "InitProducerId", 0, 5, 2, BrokerListener},
	{KeyOffsetForLeaderEpoch, "OffsetForLeaderEpoch", 2, 4, 4, BrokerListener},
	{KeyAddPartitionsToTxn, "AddPartitionsToTxn", 0, 5, 3, BrokerListener},
	{KeyAddOffsetsToTxn, "AddOffsetsToTxn", 0, 4, 3, BrokerListener},
	{KeyEndTxn, "EndTxn", 0, 5, 3, BrokerListener},
	{KeyWriteTxnMarkers, "WriteTxnMarkers", 1, 2, 1, BrokerListener},
	{KeyTxnOffsetCommit, "TxnOffsetCommit", 0, 5, 3, BrokerListener},
	{KeyDescribeAcls, "DescribeAcls", 1, 3, 2, BrokerListener | ControllerListener},
	{KeyCreateAcls, "CreateAcls", 1, 3, 2, BrokerListener | ControllerListener},
	{KeyDeleteAcls, "DeleteAcls", 1, 3, 2, BrokerListener | ControllerListener},
	{KeyDescribeConfigs, "DescribeConfigs", 1, 4, 4, BrokerListener | ControllerListener},
	{KeyAlterConfigs, "AlterConfigs", 0, 2, 2, BrokerListener | ControllerListener},
	{KeyAlterReplicaLogDirs, "AlterReplicaLogDirs", 1, 2, 2, BrokerListener},
	{KeyDescribeLogDirs, "DescribeLogDirs", 1, 5, 2, BrokerListener},
	{KeySaslAuthenticate, "SaslAuthenticate", 0, 2, 2, BrokerListener | ControllerListener},
	{KeyCreatePartitions, "CreatePartitions", 0, 3, 2, BrokerListener | ControllerListener},
	{KeyCreateDelegationToken, "CreateDelegationToken", 1, 3, 2, BrokerListener | ControllerListener},
	{KeyRenewDelegationToken, "RenewDelegationToken", 1, 2, 2, BrokerListener | ControllerListener},
	{KeyExpireDelegationToken, "ExpireDelegationToken", 1, 2, 2, BrokerListener | ControllerListener},
	{KeyDescribeDelegationToken, "DescribeDelegationToken", 1, 3, 2, BrokerListener | ControllerListener},
	{KeyDeleteGroups, "DeleteGroups", 0, 2, 2, BrokerListener},
	{KeyElectLeaders, "ElectLeaders", 0, 2, 2, BrokerListener | ControllerListener},
	{KeyIncrementalAlterConfigs, "IncrementalAlterConfigs", 0, 1, 1, BrokerListener | ControllerListener},
	{KeyAlterPartitionReassignments, "AlterPartitionReassignments", 0, 1, 0, BrokerListener | ControllerListener},
	{KeyListPartitionReassignments, "ListPartitionReassignments", 0, 0, 0, BrokerListener | ControllerListener},
	{KeyOffsetDelete, "OffsetDelete", 0, 0, NeverFlexible, BrokerListener},
	{KeyDescribeClientQuotas, "DescribeClientQuotas", 0, 1, 1, BrokerListener},
	{KeyAlterClientQuotas, "AlterClientQuotas", 0, 1, 1, BrokerListener | ControllerListener},
	{KeyDescribeUserScramCredentials, "DescribeUserScramCredentials", 0, 0, 0, BrokerListener | ControllerListener},
	{KeyAlterUserScramCredentials, "AlterUserScramCredentials", 0, 0, 0, BrokerListener | ControllerListener},
	{KeyVote, "Vote", 0, 2, 0, ControllerListener},
	{KeyBeginQuorumEpoch, "BeginQuorumEpoch", 0, 1, 1, ControllerListener},
	{KeyEndQuorumEpoch, "EndQuorumEpoch", 0, 1, 1, ControllerListener},
	{KeyDescribeQuorum, "DescribeQuorum", 0, 2, 0, BrokerListener | ControllerListener},
	{KeyAlterPartition, "AlterPartition", 2, 3, 0, ControllerListener},
	{KeyUpdateFeatures, "UpdateFeatures", 0, 2, 0, BrokerListener | ControllerListener},
	{KeyEnvelope, "Envelope", 0, 0, 0, ControllerListener},
	{KeyFetchSnapshot, "FetchSnapshot", 0, 1, 0, ControllerListener},
	{KeyDescribeCluster, "DescribeCluster", 0, 2, 0, BrokerListener | ControllerListener},
	{KeyDescribeProducers, "DescribeProducers", 0, 0, 0, BrokerListener},
	{KeyBrokerRegistration, "BrokerRegistration", 0, 4, 0, ControllerListener},
	{KeyBrokerHeartbeat, "BrokerHeartbeat", 0, 2, 0, ControllerListener},
	{KeyUnregisterBroker, "UnregisterBroker", 0, 0, 0, BrokerListener | ControllerListener},
	{KeyDescribeTransactions, "DescribeTransactions", 0, 0, 0, BrokerListener},
	{KeyListTransactions, "ListTransactions", 0, 2, 0, BrokerListener},
	{KeyAllocateProducerIds, "AllocateProducerIds", 0, 0, 0, ControllerListener},
	{KeyConsumerGroupHeartbeat, "ConsumerGroupHeartbeat", 0, 1, 0, BrokerListener},
	{KeyConsumerGroupDescribe, "ConsumerGroupDescribe", 0, 1, 0, BrokerListener},
	{KeyControllerRegistration, "ControllerRegistration", 0, 0, 0, ControllerListener},
	{KeyGetTelemetrySubscriptions, "GetTelemetrySubscriptions", 0, 0, 0, BrokerListener},
	{KeyPushTelemetry, "PushTelemetry", 0, 0, 0, BrokerListener},
	{KeyAssignReplicasToDirs, "AssignReplicasToDirs", 0, 0, 0, ControllerListener},
	{KeyListConfigResources, "ListConfigResources", 0, 1, 0, BrokerListener},
	{KeyDescribeTopicPartitions, "DescribeTopicPartitions", 0, 0, 0, BrokerListener},
	{KeyShareGroupHeartbeat, "ShareGroupHeartbeat", 1, 1, 0, BrokerListener},
	{KeyShareGroupDescribe, "ShareGroupDescribe", 1, 1, 0, BrokerListener},
	{KeyShareFetch, "ShareFetch", 1, 2, 0, BrokerListener},
	{KeyShareAcknowledge, "ShareAcknowledge", 1, 2, 0, BrokerListener},
	{KeyAddRaftVoter, "AddRaftVoter", 0, 1, 0, BrokerListener | ControllerListener},
	{KeyRemoveRaftVoter, "RemoveRaftVoter", 0, 0, 0, BrokerListener | ControllerListener},
	{KeyUpdateRaftVoter, "UpdateRaftVoter", 0, 0, 0, ControllerListener},
	{KeyInitializeShareGroupState, "InitializeShareGroupState", 0, 0, 0, BrokerListener},
	{KeyReadShareGroupState, "ReadShareGroupState", 0, 0, 0, BrokerListener},
	{KeyWriteShareGroupState, "WriteShareGroupState", 0, 1, 0, BrokerListener},
	{KeyDeleteShareGroupState, "DeleteShareGroupState", 0, 0, 0, BrokerListener},
	{KeyReadShareGroupStateSummary, "ReadShareGroupStateSummary", 0, 1, 0, BrokerListener},
	{KeyStreamsGroupHeartbeat, "StreamsGroupHeartbeat", 0, 0, 0, BrokerListener},
	{KeyStreamsGroupDescribe, "StreamsGroupDescribe", 0, 0, 0, BrokerListener},
	{KeyDescribeShareGroupOffsets, "DescribeShareGroupOffsets", 0, 1, 0, BrokerListener},
	{KeyAlterShareGroupOffsets, "AlterShareGroupOffsets", 0, 0, 0, BrokerListener},
	{KeyDeleteShareGroupOffsets, "DeleteShareGroupOffsets", 0, 0, 0, BrokerListener},
	{KeyStreamsGroupTopologyDescriptionUpdate, "StreamsGroupTopologyDescriptionUpdate", 0, -1, 0, 0},
	{KeyUnregisterController, "UnregisterController", 0, -1, 0, 0},
}
