package kproto

import "strconv"

// ErrorCode is an error of the protocol as clients see it. The constants have Kafka's names, in Go's spelling.
type ErrorCode int16

const (
	UnknownServerError                     ErrorCode = -1
	None                                   ErrorCode = 0
	OffsetOutOfRange                       ErrorCode = 1
	CorruptMessage                         ErrorCode = 2
	UnknownTopicOrPartition                ErrorCode = 3
	InvalidFetchSize                       ErrorCode = 4
	LeaderNotAvailable                     ErrorCode = 5
	NotLeaderOrFollower                    ErrorCode = 6
	RequestTimedOut                        ErrorCode = 7
	BrokerNotAvailable                     ErrorCode = 8
	ReplicaNotAvailable                    ErrorCode = 9
	MessageTooLarge                        ErrorCode = 10
	StaleControllerEpoch                   ErrorCode = 11
	OffsetMetadataTooLarge                 ErrorCode = 12
	NetworkException                       ErrorCode = 13
	CoordinatorLoadInProgress              ErrorCode = 14
	CoordinatorNotAvailable                ErrorCode = 15
	NotCoordinator                         ErrorCode = 16
	InvalidTopicException                  ErrorCode = 17
	RecordListTooLarge                     ErrorCode = 18
	NotEnoughReplicas                      ErrorCode = 19
	NotEnoughReplicasAfterAppend           ErrorCode = 20
	InvalidRequiredAcks                    ErrorCode = 21
	IllegalGeneration                      ErrorCode = 22
	InconsistentGroupProtocol              ErrorCode = 23
	InvalidGroupID                         ErrorCode = 24
	UnknownMemberID                        ErrorCode = 25
	InvalidSessionTimeout                  ErrorCode = 26
	RebalanceInProgress                    ErrorCode = 27
	InvalidCommitOffsetSize                ErrorCode = 28
	TopicAuthorizationFailed               ErrorCode = 29
	GroupAuthorizationFailed               ErrorCode = 30
	ClusterAuthorizationFailed             ErrorCode = 31
	InvalidTimestamp                       ErrorCode = 32
	UnsupportedSaslMechanism               ErrorCode = 33
	IllegalSaslState                       ErrorCode = 34
	UnsupportedVersion                     ErrorCode = 35
	TopicAlreadyExists                     ErrorCode = 36
	InvalidPartitions                      ErrorCode = 37
	InvalidReplicationFactor               ErrorCode = 38
	InvalidReplicaAssignment               ErrorCode = 39
	InvalidConfig                          ErrorCode = 40
	NotController                          ErrorCode = 41
	InvalidRequest                         ErrorCode = 42
	UnsupportedForMessageFormat            ErrorCode = 43
	PolicyViolation                        ErrorCode = 44
	OutOfOrderSequenceNumber               ErrorCode = 45
	DuplicateSequenceNumber                ErrorCode = 46
	InvalidProducerEpoch                   ErrorCode = 47
	InvalidTxnState                        ErrorCode = 48
	InvalidProducerIDMapping               ErrorCode = 49
	InvalidTransactionTimeout              ErrorCode = 50
	ConcurrentTransactions                 ErrorCode = 51
	TransactionCoordinatorFenced           ErrorCode = 52
	TransactionalIDAuthorizationFailed     ErrorCode = 53
	SecurityDisabled                       ErrorCode = 54
	OperationNotAttempted                  ErrorCode = 55
	KafkaStorageError                      ErrorCode = 56
	LogDirNotFound                         ErrorCode = 57
	SaslAuthenticationFailed               ErrorCode = 58
	UnknownProducerID                      ErrorCode = 59
	ReassignmentInProgress                 ErrorCode = 60
	DelegationTokenAuthDisabled            ErrorCode = 61
	DelegationTokenNotFound                ErrorCode = 62
	DelegationTokenOwnerMismatch           ErrorCode = 63
	DelegationTokenRequestNotAllowed       ErrorCode = 64
	DelegationTokenAuthorizationFailed     ErrorCode = 65
	DelegationTokenExpired                 ErrorCode = 66
	InvalidPrincipalType                   ErrorCode = 67
	NonEmptyGroup                          ErrorCode = 68
	GroupIDNotFound                        ErrorCode = 69
	FetchSessionIDNotFound                 ErrorCode = 70
	InvalidFetchSessionEpoch               ErrorCode = 71
	ListenerNotFound                       ErrorCode = 72
	TopicDeletionDisabled                  ErrorCode = 73
	FencedLeaderEpoch                      ErrorCode = 74
	UnknownLeaderEpoch                     ErrorCode = 75
	UnsupportedCompressionType             ErrorCode = 76
	StaleBrokerEpoch                       ErrorCode = 77
	OffsetNotAvailable                     ErrorCode = 78
	MemberIDRequired                       ErrorCode = 79
	PreferredLeaderNotAvailable            ErrorCode = 80
	GroupMaxSizeReached                    ErrorCode = 81
	FencedInstanceID                       ErrorCode = 82
	EligibleLeadersNotAvailable            ErrorCode = 83
	ElectionNotNeeded                      ErrorCode = 84
	NoReassignmentInProgress               ErrorCode = 85
	GroupSubscribedToTopic                 ErrorCode = 86
	InvalidRecord                          ErrorCode = 87
	UnstableOffsetCommit                   ErrorCode = 88
	ThrottlingQuotaExceeded                ErrorCode = 89
	ProducerFenced                         ErrorCode = 90
	ResourceNotFound                       ErrorCode = 91
	DuplicateResource                      ErrorCode = 92
	UnacceptableCredential                 ErrorCode = 93
	InconsistentVoterSet                   ErrorCode = 94
	InvalidUpdateVersion                   ErrorCode = 95
	FeatureUpdateFailed                    ErrorCode = 96
	PrincipalDeserializationFailure        ErrorCode = 97
	SnapshotNotFound                       ErrorCode = 98
	PositionOutOfRange                     ErrorCode = 99
	UnknownTopicID                         ErrorCode = 100
	DuplicateBrokerRegistration            ErrorCode = 101
	BrokerIDNotRegistered                  ErrorCode = 102
	InconsistentTopicID                    ErrorCode = 103
	InconsistentClusterID                  ErrorCode = 104
	TransactionalIDNotFound                ErrorCode = 105
	FetchSessionTopicIDError               ErrorCode = 106
	IneligibleReplica                      ErrorCode = 107
	NewLeaderElected                       ErrorCode = 108
	OffsetMovedToTieredStorage             ErrorCode = 109
	FencedMemberEpoch                      ErrorCode = 110
	UnreleasedInstanceID                   ErrorCode = 111
	UnsupportedAssignor                    ErrorCode = 112
	StaleMemberEpoch                       ErrorCode = 113
	MismatchedEndpointType                 ErrorCode = 114
	UnsupportedEndpointType                ErrorCode = 115
	UnknownControllerID                    ErrorCode = 116
	UnknownSubscriptionID                  ErrorCode = 117
	TelemetryTooLarge                      ErrorCode = 118
	InvalidRegistration                    ErrorCode = 119
	TransactionAbortable                   ErrorCode = 120
	InvalidRecordState                     ErrorCode = 121
	ShareSessionNotFound                   ErrorCode = 122
	InvalidShareSessionEpoch               ErrorCode = 123
	FencedStateEpoch                       ErrorCode = 124
	InvalidVoterKey                        ErrorCode = 125
	DuplicateVoter                         ErrorCode = 126
	VoterNotFound                          ErrorCode = 127
	InvalidRegularExpression               ErrorCode = 128
	RebootstrapRequired                    ErrorCode = 129
	StreamsInvalidTopology                 ErrorCode = 130
	StreamsInvalidTopologyEpoch            ErrorCode = 131
	StreamsTopologyFenced                  ErrorCode = 132
	ShareSessionLimitReached               ErrorCode = 133
	GroupDeletionFailed                    ErrorCode = 134
	StreamsTopologyDescriptionUpdateFailed ErrorCode = 135
	ControllerIDNotRegistered              ErrorCode = 136
)

// String is Kafka's name of the code.
func (c ErrorCode) String() string {
	if i := int(c) + 1; i >= 0 && i < len(errorCodes) {
		return errorCodes[i].name
	}
	return "ERROR_" + strconv.Itoa(int(c))
}

// Message is a sentence for the response fields that carry one. Empty for None.
func (c ErrorCode) Message() string {
	if i := int(c) + 1; i >= 0 && i < len(errorCodes) {
		return errorCodes[i].message
	}
	return ""
}

// Retriable says whether clients try again by themselves.
func (c ErrorCode) Retriable() bool {
	i := int(c) + 1
	return i >= 0 && i < len(errorCodes) && errorCodes[i].retriable
}

// errorCodes is indexed by code+1.
var errorCodes = [...]struct {
	name      string
	retriable bool
	message   string
}{
	{"UNKNOWN_SERVER_ERROR", false, "The server met an unexpected error."},
	{"NONE", false, ""},
	{"OFFSET_OUT_OF_RANGE", false, "The offset lies outside the log."},
	{"CORRUPT_MESSAGE", true, "The records are damaged: checksum or lengths do not fit."},
	{"UNKNOWN_TOPIC_OR_PARTITION", true, "This server does not host that topic and partition."},
	{"INVALID_FETCH_SIZE", false, "The fetch size is not valid."},
	{"LEADER_NOT_AVAILABLE", true, "The partition has no leader at the moment."},
	{"NOT_LEADER_OR_FOLLOWER", true, "This broker is not the leader of the partition."},
	{"REQUEST_TIMED_OUT", true, "The request was not done in the time that it allowed."},
	{"BROKER_NOT_AVAILABLE", true, "The broker is not available."},
	{"REPLICA_NOT_AVAILABLE", true, "The replica is not available."},
	{"MESSAGE_TOO_LARGE", false, "The batch is larger than the topic takes."},
	{"STALE_CONTROLLER_EPOCH", false, "The controller has moved to another broker."},
	{"OFFSET_METADATA_TOO_LARGE", false, "The metadata of the committed offset is too large."},
	{"NETWORK_EXCEPTION", true, "The connection ended before a response came."},
	{"COORDINATOR_LOAD_IN_PROGRESS", true, "The coordinator is loading its state."},
	{"COORDINATOR_NOT_AVAILABLE", true, "The coordinator is not available."},
	{"NOT_COORDINATOR", true, "This broker is not the coordinator."},
	{"INVALID_TOPIC_EXCEPTION", false, "The operation is not allowed on a topic of that name."},
	{"RECORD_LIST_TOO_LARGE", false, "The batch is larger than a segment."},
	{"NOT_ENOUGH_REPLICAS", true, "Too few replicas are in sync to write."},
	{"NOT_ENOUGH_REPLICAS_AFTER_APPEND", true, "The records are in the log, but too few replicas were in sync."},
	{"INVALID_REQUIRED_ACKS", false, "acks must be -1, 0 or 1."},
	{"ILLEGAL_GENERATION", false, "The generation of the group is another one."},
	{"INCONSISTENT_GROUP_PROTOCOL", false, "The protocols of the member do not fit those of the group."},
	{"INVALID_GROUP_ID", false, "The group id is not valid."},
	{"UNKNOWN_MEMBER_ID", false, "The group has no such member."},
	{"INVALID_SESSION_TIMEOUT", false, "The session timeout is outside group.min.session.timeout.ms and group.max.session.timeout.ms."},
	{"REBALANCE_IN_PROGRESS", false, "The group is rebalancing: join again."},
	{"INVALID_COMMIT_OFFSET_SIZE", false, "The offset commit is too large for the log."},
	{"TOPIC_AUTHORIZATION_FAILED", false, "Not authorized for the topic."},
	{"GROUP_AUTHORIZATION_FAILED", false, "Not authorized for the group."},
	{"CLUSTER_AUTHORIZATION_FAILED", false, "Not authorized for the cluster."},
	{"INVALID_TIMESTAMP", false, "A timestamp is outside the range that the topic takes."},
	{"UNSUPPORTED_SASL_MECHANISM", false, "The SASL mechanism is not enabled."},
	{"ILLEGAL_SASL_STATE", false, "The request does not fit the state of the authentication."},
	{"UNSUPPORTED_VERSION", false, "The version of the request is not supported."},
	{"TOPIC_ALREADY_EXISTS", false, "A topic of that name exists."},
	{"INVALID_PARTITIONS", false, "The number of partitions is not valid."},
	{"INVALID_REPLICATION_FACTOR", false, "The replication factor is below 1 or above the number of brokers."},
	{"INVALID_REPLICA_ASSIGNMENT", false, "The replica assignment is not valid."},
	{"INVALID_CONFIG", false, "The configuration is not valid."},
	{"NOT_CONTROLLER", true, "This node is not the controller."},
	{"INVALID_REQUEST", false, "The request contradicts itself or the protocol."},
	{"UNSUPPORTED_FOR_MESSAGE_FORMAT", false, "The message format does not support the request."},
	{"POLICY_VIOLATION", false, "A policy forbids the request."},
	{"OUT_OF_ORDER_SEQUENCE_NUMBER", false, "The sequence number does not follow the last one of the producer."},
	{"DUPLICATE_SEQUENCE_NUMBER", false, "The batch was written before."},
	{"INVALID_PRODUCER_EPOCH", false, "A newer instance of the producer exists."},
	{"INVALID_TXN_STATE", false, "The transaction is not in a state that allows this."},
	{"INVALID_PRODUCER_ID_MAPPING", false, "The producer id does not belong to the transactional id."},
	{"INVALID_TRANSACTION_TIMEOUT", false, "The transaction timeout is above transaction.max.timeout.ms."},
	{"CONCURRENT_TRANSACTIONS", false, "The transaction is being changed by another request."},
	{"TRANSACTION_COORDINATOR_FENCED", false, "A newer transaction coordinator exists."},
	{"TRANSACTIONAL_ID_AUTHORIZATION_FAILED", false, "Not authorized for the transactional id."},
	{"SECURITY_DISABLED", false, "Security is not enabled."},
	{"OPERATION_NOT_ATTEMPTED", false, "Not tried, because another part of the request failed."},
	{"KAFKA_STORAGE_ERROR", true, "The storage of the broker failed."},
	{"LOG_DIR_NOT_FOUND", false, "The broker has no such log directory."},
	{"SASL_AUTHENTICATION_FAILED", false, "Authentication failed."},
	{"UNKNOWN_PRODUCER_ID", false, "Nothing is known of the producer id."},
	{"REASSIGNMENT_IN_PROGRESS", false, "The partition is being reassigned."},
	{"DELEGATION_TOKEN_AUTH_DISABLED", false, "Delegation tokens are not enabled."},
	{"DELEGATION_TOKEN_NOT_FOUND", false, "There is no such delegation token."},
	{"DELEGATION_TOKEN_OWNER_MISMATCH", false, "The principal is neither owner nor renewer of the token."},
	{"DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", false, "Token requests need a connection authenticated by other means."},
	{"DELEGATION_TOKEN_AUTHORIZATION_FAILED", false, "Not authorized for the delegation token."},
	{"DELEGATION_TOKEN_EXPIRED", false, "The delegation token has expired."},
	{"INVALID_PRINCIPAL_TYPE", false, "The type of the principal is not supported."},
	{"NON_EMPTY_GROUP", false, "The group has members."},
	{"GROUP_ID_NOT_FOUND", false, "There is no such group."},
	{"FETCH_SESSION_ID_NOT_FOUND", true, "There is no such fetch session."},
	{"INVALID_FETCH_SESSION_EPOCH", true, "The epoch of the fetch session is another one."},
	{"LISTENER_NOT_FOUND", true, "The leader has no listener of that name."},
	{"TOPIC_DELETION_DISABLED", false, "Topics cannot be deleted here."},
	{"FENCED_LEADER_EPOCH", true, "The leader epoch of the request is older than the leader's."},
	{"UNKNOWN_LEADER_EPOCH", true, "The leader epoch of the request is newer than the leader's."},
	{"UNSUPPORTED_COMPRESSION_TYPE", false, "The codec is not allowed in this version of the request."},
	{"STALE_BROKER_EPOCH", false, "The broker has registered anew since."},
	{"OFFSET_NOT_AVAILABLE", true, "The high watermark of the leader has not caught up yet."},
	{"MEMBER_ID_REQUIRED", false, "Join again with the member id of this response."},
	{"PREFERRED_LEADER_NOT_AVAILABLE", true, "The preferred leader is not available."},
	{"GROUP_MAX_SIZE_REACHED", false, "The group is full."},
	{"FENCED_INSTANCE_ID", false, "Another member uses the group instance id."},
	{"ELIGIBLE_LEADERS_NOT_AVAILABLE", true, "No replica may become the leader."},
	{"ELECTION_NOT_NEEDED", true, "The partition has the leader that the election would give it."},
	{"NO_REASSIGNMENT_IN_PROGRESS", false, "The partition is not being reassigned."},
	{"GROUP_SUBSCRIBED_TO_TOPIC", false, "The group consumes the topic, so its offsets cannot be deleted."},
	{"INVALID_RECORD", false, "A record broke a rule of the broker."},
	{"UNSTABLE_OFFSET_COMMIT", true, "A transaction that commits offsets is still open."},
	{"THROTTLING_QUOTA_EXCEEDED", true, "The quota is used up."},
	{"PRODUCER_FENCED", false, "A newer producer uses the transactional id."},
	{"RESOURCE_NOT_FOUND", false, "The request refers to something that does not exist."},
	{"DUPLICATE_RESOURCE", false, "The request names one thing twice."},
	{"UNACCEPTABLE_CREDENTIAL", false, "The credential is not acceptable."},
	{"INCONSISTENT_VOTER_SET", false, "Sender or receiver is not one of the voters that the other expects."},
	{"INVALID_UPDATE_VERSION", false, "The version of the update is not valid."},
	{"FEATURE_UPDATE_FAILED", false, "The features could not be updated."},
	{"PRINCIPAL_DESERIALIZATION_FAILURE", false, "The principal of a forwarded request could not be read."},
	{"SNAPSHOT_NOT_FOUND", false, "There is no such snapshot."},
	{"POSITION_OUT_OF_RANGE", false, "The position lies outside the snapshot."},
	{"UNKNOWN_TOPIC_ID", true, "This server hosts no topic of that id."},
	{"DUPLICATE_BROKER_REGISTRATION", false, "The broker id is in use."},
	{"BROKER_ID_NOT_REGISTERED", false, "The broker id is not registered."},
	{"INCONSISTENT_TOPIC_ID", true, "The id of the topic differs from that of the log."},
	{"INCONSISTENT_CLUSTER_ID", false, "The cluster id is another one."},
	{"TRANSACTIONAL_ID_NOT_FOUND", false, "There is no such transactional id."},
	{"FETCH_SESSION_TOPIC_ID_ERROR", true, "The fetch session mixes topic names and topic ids."},
	{"INELIGIBLE_REPLICA", false, "The new ISR has a replica that may not be in it."},
	{"NEW_LEADER_ELECTED", false, "The partition was changed and has another leader now."},
	{"OFFSET_MOVED_TO_TIERED_STORAGE", false, "The offset has moved to tiered storage."},
	{"FENCED_MEMBER_EPOCH", false, "The member epoch is fenced: give up all partitions and join again."},
	{"UNRELEASED_INSTANCE_ID", false, "Another member still uses the instance id."},
	{"UNSUPPORTED_ASSIGNOR", false, "The group does not support the assignor."},
	{"STALE_MEMBER_EPOCH", false, "The member epoch is old: heartbeat, then try again."},
	{"MISMATCHED_ENDPOINT_TYPE", false, "The request went to the wrong type of endpoint."},
	{"UNSUPPORTED_ENDPOINT_TYPE", false, "The type of endpoint is not supported."},
	{"UNKNOWN_CONTROLLER_ID", false, "There is no such controller."},
	{"UNKNOWN_SUBSCRIPTION_ID", false, "The telemetry subscription is unknown or outdated."},
	{"TELEMETRY_TOO_LARGE", false, "The telemetry is larger than the broker takes."},
	{"INVALID_REGISTRATION", false, "The controller refused the registration."},
	{"TRANSACTION_ABORTABLE", false, "The transaction failed and can be aborted."},
	{"INVALID_RECORD_STATE", false, "The record is in another state, so the acknowledgement failed."},
	{"SHARE_SESSION_NOT_FOUND", false, "There is no such share session."},
	{"INVALID_SHARE_SESSION_EPOCH", false, "The epoch of the share session is another one."},
	{"FENCED_STATE_EPOCH", false, "The state epoch is another one."},
	{"INVALID_VOTER_KEY", false, "The voter key is not the receiver's."},
	{"DUPLICATE_VOTER", false, "The voter is one already."},
	{"VOTER_NOT_FOUND", false, "There is no such voter."},
	{"INVALID_REGULAR_EXPRESSION", false, "The regular expression is not valid."},
	{"REBOOTSTRAP_REQUIRED", false, "The client's metadata is stale: bootstrap again."},
	{"STREAMS_INVALID_TOPOLOGY", false, "The topology is not valid."},
	{"STREAMS_INVALID_TOPOLOGY_EPOCH", false, "The topology epoch is not valid."},
	{"STREAMS_TOPOLOGY_FENCED", false, "The topology epoch is old."},
	{"SHARE_SESSION_LIMIT_REACHED", true, "There are too many share sessions."},
	{"GROUP_DELETION_FAILED", false, "The group could not be deleted."},
	{"STREAMS_TOPOLOGY_DESCRIPTION_UPDATE_FAILED", false, "The topology description could not be updated."},
	{"CONTROLLER_ID_NOT_REGISTERED", false, "The controller id is not registered."},
}
