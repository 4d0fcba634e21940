package differ

import "regexp"

// notGenerated are the APIs that are not asked with generated requests, and why.
var notGenerated = map[int16]string{
	49: "quotas of random values would throttle everything behind them",
	57: "features of the cluster would be changed for good",
	64: "the broker itself would be taken out of the cluster",
	80: "Apache Kafka 4.3.1 ends itself when the name of a voter's listener is empty",
	81: "the broker itself would be taken out of the quorum",
}

// notServed are the APIs that RingMQ does not have, and why.
var notServed = map[int16]string{}

// lastVersion are APIs whose later versions are for brokers among themselves: Apache Kafka does not answer clients.
var lastVersion = map[int16]int16{24: 3}

// allowance is a difference that is meant. Empty patterns match everything; path is without the keys of elements.
type allowance struct {
	api                 string // as kmsg names it
	path, kafka, ringmq string // regular expressions, of the whole
	reason              string
}

var allowances = []allowance{
	{"ApiVersions", `FinalizedFeaturesEpoch`, ``, ``, "an offset of each broker's own metadata"},
	{"ApiVersions", `(Finalized|Supported)Features.*`, ``, ``, "no features for what is not there, and none for the format of Kafka's own metadata"},
	{"AddPartitionsToTxn", `Topics.*ErrorCode`, `29`, `49`, "an internal topic and an unknown producer: RingMQ tells of the producer"},
	{"AlterConfigs", `Resources.*ErrorCode`, `40`, `3`, "a bad value for a topic that is not there: RingMQ tells of the topic"},
	{"CreateACLs|DeleteACLs|DescribeACLs", `outcome`, `no answer`, ``, "a type or operation that does not exist: Kafka closes the connection, RingMQ answers with an error"},
	{"DescribeConfigs", `Resources.*`, ``, ``, "one resource of an unknown type: Kafka refuses all of the request's, RingMQ that one"},
	{"DescribeLogDirs", `Dirs\[\]\.(Topics.*Size|TotalBytes|UsableBytes)`, ``, ``, "the size is that of the records in object storage, whose capacity nobody knows"},
	{"DescribeShareGroupOffsets", `Groups\[\]\..*`, ``, ``, "a group without a name: Kafka fails with an unknown error, RingMQ says that nothing is known"},
	{"DescribeShareGroupOffsets", `outcome`, `no answer`, ``, "a partition that is not there: Kafka never answers"},
	{"DescribeQuorum", `Nodes.*`, ``, ``, "Kafka leaves out the nodes when the request is about another topic than its metadata log"},
	{"ElectLeaders", `Topics.*`, ``, ``, "all partitions: Kafka names the topics, without partitions, when there is nothing to elect"},
	{"ElectLeaders", `ErrorCode`, `42`, `0`, "an election of a kind that does not exist: RingMQ answers for each partition, with the only election there is"},
	{"OffsetForLeaderEpoch", `Topics.*(EndOffset|LeaderEpoch)`, ``, `-1`, "a leader epoch of -2, which no client sends: RingMQ says that it is not known"},
	{"Produce", `Topics.*ErrorCode`, `3|87`, `21`, "acks that do not exist are refused first"},
	{"TxnOffsetCommit", `Topics.*ErrorCode`, `3`, `24|42|49`, "an unknown topic and an unknown member or producer: RingMQ tells of the latter"},
	{"WriteTxnMarkers", `Markers.*`, ``, ``, "of brokers among themselves: a marker of a producer that never wrote is no error"},
	{"SyncGroup", `ErrorCode`, `23`, `25`, "a member that is not known is refused before its protocol is looked at"},
}

// keys are the parts of a path that name elements.
var keys = regexp.MustCompile(`\[[^\]]*\]`)

// allows tells whether a difference of an API's answers is in the list, and which entry it is.
func allows(api string, d difference) (int, bool) {
	path := keys.ReplaceAllString(d.path, "[]")
	for i, a := range allowances {
		if whole(a.api, api) && whole(a.path, path) && whole(a.kafka, d.kafka) && whole(a.ringmq, d.ringmq) {
			return i, true
		}
	}
	return 0, false
}

func whole(pattern, text string) bool {
	return pattern == "" || regexp.MustCompile(`^(?:`+pattern+`)$`).MatchString(text)
}
