package engine

import "github.com/ringmq/ringmq/engine/kproto"

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
		api{key: kproto.KeyApiVersions, name: "ApiVersions", min: 0, max: 4, inline: true, handle: apiVersions},
		api{key: kproto.KeyCreateTopics, name: "CreateTopics", min: 2, max: 7, handle: createTopics},
		api{key: kproto.KeyDeleteTopics, name: "DeleteTopics", min: 1, max: 6, handle: deleteTopics},
		api{key: kproto.KeyDeleteRecords, name: "DeleteRecords", min: 0, max: 2, handle: deleteRecords},
		api{key: kproto.KeyInitProducerId, name: "InitProducerId", min: 0, max: 5, handle: initProducerID},
		api{key: kproto.KeyOffsetForLeaderEpoch, name: "OffsetForLeaderEpoch", min: 2, max: 4, handle: offsetForLeaderEpoch},
		api{key: kproto.KeyDescribeConfigs, name: "DescribeConfigs", min: 1, max: 4, handle: describeConfigs},
		api{key: kproto.KeyAlterConfigs, name: "AlterConfigs", min: 0, max: 2, handle: alterConfigs},
		api{key: kproto.KeyDescribeLogDirs, name: "DescribeLogDirs", min: 1, max: 5, handle: describeLogDirs},
		api{key: kproto.KeyCreatePartitions, name: "CreatePartitions", min: 0, max: 3, handle: createPartitions},
		api{key: kproto.KeyDeleteGroups, name: "DeleteGroups", min: 0, max: 2, handle: deleteGroups},
		api{key: kproto.KeyIncrementalAlterConfigs, name: "IncrementalAlterConfigs", min: 0, max: 1, handle: incrementalAlterConfigs},
		api{key: kproto.KeyListPartitionReassignments, name: "ListPartitionReassignments", min: 0, max: 0, handle: listReassignments},
		api{key: kproto.KeyOffsetDelete, name: "OffsetDelete", min: 0, max: 0, handle: offsetDelete},
		api{key: kproto.KeyDescribeCluster, name: "DescribeCluster", min: 0, max: 2, handle: describeCluster},
		api{key: kproto.KeyDescribeTopicPartitions, name: "DescribeTopicPartitions", min: 0, max: 0, handle: describeTopicPartitions},
	)
}

func tableOf(list ...api) *apiTable {
	var t apiTable
	for i := range list {
		t[list[i].key] = &list[i]
	}
	return &t
}

// byKey returns nil for a key that is not served.
func (t *apiTable) byKey(key int16) *api {
	if key < 0 || int(key) >= len(t) {
		return nil
	}
	return t[key]
}
