package record

// Ids that could be mixed up are types of their own.
type (
	// TopicID is a Kafka topic id (a random UUID).
	TopicID [16]byte
	// StreamID names a stream for ever; given by the controller, ascending from 1, never reused.
	StreamID int64
	// ObjectID names an object for ever; given by the controller, ascending from 1, never reused.
	ObjectID int64
)

// ConfigType is the type of a configuration resource, with Kafka's numbers.
type ConfigType int8

// Configuration resources. Name is the topic name, or the broker id in decimal ("" for the cluster-wide broker default).
const (
	TopicConfig         ConfigType = 2
	BrokerConfig        ConfigType = 4
	ClientMetricsConfig ConfigType = 16
	GroupConfig         ConfigType = 32

	// Kept as configuration as well, under numbers that Kafka does not use; no request of configurations reaches them.
	ACLConfig     ConfigType = 100 // an access control list; the keys are its entries
	ScramConfig   ConfigType = 101 // the SCRAM credentials of a user; the keys are mechanisms
	QuotaConfig   ConfigType = 102 // the quotas of a client entity; the keys are Kafka's
	TokenConfig   ConfigType = 103 // a delegation token, by id; one key
	FeatureConfig ConfigType = 104 // the levels of features, by name, of the one resource ""
)

// ConfigResource names what a set of configuration keys belongs to.
type ConfigResource struct {
	Type ConfigType
	Name string
}

// ObjectKind tells the two kinds of object apart.
type ObjectKind uint8

const (
	// StreamSetObject holds parts of many streams, as one upload of one node wrote them.
	StreamSetObject ObjectKind = 1
	// StreamObject holds a part of one stream.
	StreamObject ObjectKind = 2
)

// ObjectState is the place of an object in its life:
//
//	prepared ──► committed ──► destroyed ──► (deleted: forgotten)
//	    └───────── not committed within an hour ──►┘
type ObjectState uint8

const (
	// Prepared: the id is reserved; the bucket may hold nothing, a part or all of the object.
	Prepared ObjectState = 1
	// Committed: the object is part of its streams.
	Committed ObjectState = 2
	// Destroyed: nothing refers to the object; it waits for its removal from the bucket.
	Destroyed ObjectState = 3
)

// Range is the part of one stream that an object holds.
type Range struct {
	Stream       StreamID
	Epoch        int64 // stream epoch of the writer
	Start, End   int64 // [Start, End), never empty
	Bytes        int64 // payload bytes of the stream in the object
	MaxTimestamp int64 // ms since the epoch, the largest of the range; -1 if none
}

// BrokerEndpoint is one address at which a broker can be reached by clients.
type BrokerEndpoint struct {
	Name             string // listener name
	Host             string
	Port             uint16
	SecurityProtocol int16 // 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL
}
