package kraft

import (
	"github.com/ringmq/ringmq/kraft/image"
	"github.com/ringmq/ringmq/kraft/record"
)

// The metadata model, re-exported for users of this package.
type (
	Image        = image.Image
	Delta        = image.Delta
	PartitionRef = image.PartitionRef
	Topic        = image.Topic
	Partition    = image.Partition
	Broker       = image.Broker
	Stream       = image.Stream
	Object       = image.Object
	Held         = image.Held
	ConfigEntry  = image.ConfigEntry
	Offline      = image.Offline
	Tally        = image.Tally

	TopicID        = record.TopicID
	StreamID       = record.StreamID
	ObjectID       = record.ObjectID
	ObjectKind     = record.ObjectKind
	ObjectState    = record.ObjectState
	Range          = record.Range
	BrokerEndpoint = record.BrokerEndpoint
	Voter          = record.Voter
	ConfigResource = record.ConfigResource
	ConfigType     = record.ConfigType
)

// Re-exported constants.
const (
	StreamSetObject = record.StreamSetObject
	StreamObject    = record.StreamObject

	Prepared  = record.Prepared
	Committed = record.Committed
	Destroyed = record.Destroyed

	TailOnWAL   = image.TailOnWAL
	UnderRescue = image.UnderRescue
	NoLeader    = image.NoLeader

	TopicConfig         = record.TopicConfig
	BrokerConfig        = record.BrokerConfig
	ClientMetricsConfig = record.ClientMetricsConfig
	GroupConfig         = record.GroupConfig
)

// TopicResource is the configuration resource of a topic.
func TopicResource(name string) ConfigResource { return image.TopicResource(name) }

// BrokerResource is the configuration resource of one broker; id -1 means the cluster-wide default of all brokers.
func BrokerResource(id int32) ConfigResource { return image.BrokerResource(id) }
