package config

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"time"
)

// Config is the checked configuration of one node. It is immutable after Load.
type Config struct {
	// NodeID is node.id, 0 or more.
	NodeID int32
	// Broker and Controller are the two process.roles; at least one is set.
	Broker, Controller bool
	// Embedded says that no cluster was configured: one node, alone, plays both roles with the built-in defaults.
	Embedded bool
	// ClusterID is cluster.id or the cluster-id of the s3-url; empty when neither is given (storagedir then decides).
	ClusterID string
	// DirectoryID is directory.id of MetadataLogDir, as storagedir found or made it; zero until then.
	DirectoryID [16]byte
	// Rack is broker.rack, empty if none.
	Rack string

	// Voters maps the node ids of controller.quorum.voters to host:port.
	Voters map[int32]string
	// BootstrapServers is controller.quorum.bootstrap.servers, host:port each. A controller that has only these joins a cluster.
	BootstrapServers []string

	// Listeners are the sockets to bind, in the order of the listeners key, controller listeners included.
	Listeners []Listener
	// AdvertisedListeners are what clients are told, in listener order, without controller listeners. A port of 0 means the port
	// that the listener of the same name was bound to.
	AdvertisedListeners []Listener
	// ControllerListenerNames is controller.listener.names; the first one is used towards controllers.
	ControllerListenerNames []string
	// ControllerProtocol is how the controllers are spoken to: PLAINTEXT or SSL.
	ControllerProtocol string
	// InterBrokerListenerName names the listener for traffic between brokers.
	InterBrokerListenerName string

	// LogDirs is log.dirs (or log.dir), cleaned, at least one. The first holds meta.properties and the embedded stores.
	LogDirs []string
	// MetadataLogDir is metadata.log.dir, by default the first of LogDirs.
	MetadataLogDir string

	// DataBuckets hold the streams, OpsBuckets logs and metrics. The embedded default is file:// under the first log dir.
	DataBuckets, OpsBuckets []BucketURI
	// WAL is the write-ahead log's target. The embedded default is a file under the first log dir.
	WAL WALURI
	// S3 is the storage engine's sizes and intervals, -1 ("auto") already resolved.
	S3 S3
	// Network is what bounds connections and requests.
	Network Network
	// Quotas is how the rates of clients are measured.
	Quotas Quotas
	// Authorizer says who may do what, beside the access control lists.
	Authorizer Authorizer
	// Topics is how topics come to be, beside the topic defaults of EffectiveTopic.
	Topics Topics
	// Group is for classic and consumer groups, Offsets for their committed offsets.
	Group   Group
	Share   Share
	Offsets Offsets
	// Fetch bounds reads.
	Fetch Fetch
	// Producer is for producer ids and transactions.
	Producer Producer
	// Quorum is for the metadata quorum and the broker's session with it.
	Quorum Quorum
	// Tokens are the settings of delegation tokens.
	Tokens Tokens
	// Retention is the broker side of log retention.
	Retention Retention
	// Telemetry is the metrics endpoint.
	Telemetry Telemetry
	// ControlledShutdown is controlled.shutdown.enable.
	ControlledShutdown bool

	sasl      []*SASL           // of listeners with SASL
	tls       []*TLS            // of listeners with TLS, and of the controllers' listener
	scoped    map[string]string // what was set of connectionKeys of listeners
	tlsValues map[string]string // what was set of ssl.* and listener.name.*, secrets included

	values map[string]entry // every known broker key, effective, masked where secret
}

// S3 holds the s3.* keys of the storage engine.
type S3 struct {
	WALCacheBytes        int64         // s3.wal.cache.size: log cache, the WAL's memory
	UploadThresholdBytes int64         // s3.wal.upload.threshold
	UploadInterval       time.Duration // s3.wal.upload.interval.ms; 0: by size only (-1 in the file)
	BlockCacheBytes      int64         // s3.block.cache.size: cold reads
	StartWait            time.Duration // s3.start.wait.ms: for an object store that does not answer when a node starts
	StreamSplitBytes     int64         // s3.stream.object.split.size
	ObjectBlockBytes     int           // s3.object.block.size
	ObjectPartBytes      int64         // s3.object.part.size, 5 MiB to 5 GiB

	StreamObjectCompactionInterval time.Duration // s3.stream.object.compaction.interval.minutes
	StreamObjectCompactionMaxBytes int64         // s3.stream.object.compaction.max.size.bytes
	StreamSetCompactionInterval    time.Duration // s3.stream.set.object.compaction.interval.minutes
	StreamSetCompactionCacheBytes  int64         // s3.stream.set.object.compaction.cache.size
	StreamSetCompactionSplitBytes  int64         // s3.stream.set.object.compaction.stream.split.size
	StreamSetCompactionForceSplit  time.Duration // s3.stream.set.object.compaction.force.split.minutes
	StreamSetCompactionMaxObjects  int           // s3.stream.set.object.compaction.max.num, 8 to 100
	DeleteRetention                time.Duration // s3.object.delete.retention.minutes
	NetworkBandwidthBytesPerSecond int64         // s3.network.baseline.bandwidth, per direction
}

// Network holds the limits of requests; those of connections: Connections.
type Network struct {
	SocketRequestMaxBytes int           // socket.request.max.bytes
	ConnectionsMaxIdle    time.Duration // connections.max.idle.ms
	QueuedMaxRequestBytes int64         // queued.max.request.bytes, all connections together; auto (-1) resolved
	SendBufferBytes       int           // socket.send.buffer.bytes, 0: the system's
	ReceiveBufferBytes    int           // socket.receive.buffer.bytes, 0: the system's
	ListenBacklog         int           // socket.listen.backlog.size, 0: the most that the system allows
	NetworkThreads        int           // num.network.threads, 0: by the processors
}

// Quotas holds the windows over which rates are measured that client quotas limit.
type Quotas struct {
	Windows              int           // quota.window.num
	WindowSize           time.Duration // quota.window.size.seconds
	ControllerWindows    int           // controller.quota.window.num
	ControllerWindowSize time.Duration // controller.quota.window.size.seconds
}

// Authorizer is authorizer.class.name and the keys of Kafka's standard authorizer.
type Authorizer struct {
	On          bool     // off: everybody may do everything
	SuperUsers  []string // super.users: may do everything
	AllowIfNone bool     // allow.everyone.if.no.acl.found: what no entry is about is open to all
}

// Topics holds topic creation and deletion.
type Topics struct {
	NumPartitions               int32 // num.partitions
	DefaultReplicationFactor    int16 // default.replication.factor
	AutoCreate                  bool  // auto.create.topics.enable
	DeleteEnable                bool  // delete.topic.enable
	MaxRequestPartitionsPerPage int   // max.request.partition.size.limit
}

// Group holds group coordination.
type Group struct {
	MinSessionTimeout, MaxSessionTimeout time.Duration // group.{min,max}.session.timeout.ms
	InitialRebalanceDelay                time.Duration // group.initial.rebalance.delay.ms
	MaxSize                              int           // group.max.size
	Protocols                            []string      // group.coordinator.rebalance.protocols
	ConsumerSessionTimeout               time.Duration // group.consumer.session.timeout.ms
	ConsumerHeartbeatInterval            time.Duration // group.consumer.heartbeat.interval.ms
	ConsumerMaxSize                      int           // group.consumer.max.size
	ConsumerAssignmentInterval           time.Duration // group.consumer.assignment.interval.ms
	ConsumerRegexRefreshInterval         time.Duration // group.consumer.regex.refresh.interval.ms
	ConsumerAssignors                    []string      // group.consumer.assignors
	ConsumerMigration                    string        // group.consumer.migration.policy, in lower case
	Streams                              StreamsGroups
}

// StreamsGroups holds the coordination of streams groups.
type StreamsGroups struct {
	SessionTimeout        time.Duration // group.streams.session.timeout.ms
	HeartbeatInterval     time.Duration // group.streams.heartbeat.interval.ms
	AssignmentInterval    time.Duration // group.streams.assignment.interval.ms
	InitialRebalanceDelay time.Duration // group.streams.initial.rebalance.delay.ms
	MaxSize               int           // group.streams.max.size
	Standbys              int           // group.streams.num.standby.replicas
}

// Offsets holds committed offsets and their topic.
type Offsets struct {
	Retention              time.Duration // offsets.retention.minutes
	RetentionCheckInterval time.Duration // offsets.retention.check.interval.ms
	MetadataMaxBytes       int           // offset.metadata.max.bytes
	TopicPartitions        int32         // offsets.topic.num.partitions
	TopicReplicationFactor int16         // offsets.topic.replication.factor
	TopicSegmentBytes      int64         // offsets.topic.segment.bytes
}

// Fetch bounds fetch requests.
type Fetch struct {
	MaxBytes         int // fetch.max.bytes
	SessionCacheSize int // max.incremental.fetch.session.cache.slots
}

// Producer holds producer ids and transactions.
type Producer struct {
	IDExpiration                      time.Duration // producer.id.expiration.ms
	TransactionMaxTimeout             time.Duration // transaction.max.timeout.ms
	TransactionalIDExpiration         time.Duration // transactional.id.expiration.ms
	TransactionTopicPartitions        int32         // transaction.state.log.num.partitions
	TransactionTopicReplicationFactor int16         // transaction.state.log.replication.factor
	TransactionTopicMinISR            int           // transaction.state.log.min.isr
	TransactionPartitionVerification  bool          // transaction.partition.verification.enable
	TransactionAddWait                time.Duration // add.partitions.to.txn.retry.backoff.max.ms
	TransactionAbortTimedOutInterval  time.Duration // transaction.abort.timed.out.transaction.cleanup.interval.ms
	TransactionalIDCleanupInterval    time.Duration // transaction.remove.expired.transaction.cleanup.interval.ms
	TransactionTopicSegmentBytes      int64         // transaction.state.log.segment.bytes
}

// Quorum holds the metadata quorum's and the broker session's times.
type Quorum struct {
	ElectionTimeout         time.Duration // controller.quorum.election.timeout.ms
	RequestTimeout          time.Duration // controller.quorum.request.timeout.ms
	BrokerHeartbeatInterval time.Duration // broker.heartbeat.interval.ms
	BrokerSessionTimeout    time.Duration // broker.session.timeout.ms
	InitialRegistration     time.Duration // initial.broker.registration.timeout.ms
	SnapshotMaxNewBytes     int64         // metadata.log.max.record.bytes.between.snapshots
}

// Tokens holds the settings of delegation tokens.
type Tokens struct {
	Secret        []byte        // delegation.token.secret.key; empty: there are no tokens
	MaxLifetime   time.Duration // delegation.token.max.lifetime.ms
	ExpiryTime    time.Duration // delegation.token.expiry.time.ms
	CheckInterval time.Duration // delegation.token.expiry.check.interval.ms
}

// Retention holds the broker side of log retention; sizes and ages per topic are in TopicConfig.
type Retention struct {
	CheckInterval time.Duration // log.retention.check.interval.ms
}

// String names the node; it keeps secrets out of careless prints.
func (c *Config) String() string {
	return fmt.Sprintf("node %d (broker=%t controller=%t) of %s", c.NodeID, c.Broker, c.Controller, cmp.Or(c.ClusterID, "a cluster without id"))
}

// GoString is String.
func (c *Config) GoString() string { return c.String() }

// Origin says where a value comes from; a larger one wins.
type Origin uint8

const (
	OriginDefault  Origin = iota // the definition's default
	OriginFile                   // the properties file
	OriginS3URL                  // --s3-url
	OriginOverride               // --override
)

// Static reports whether the operator gave the value (DescribeConfigs: STATIC_BROKER_CONFIG) rather than the definition.
func (o Origin) Static() bool { return o != OriginDefault }

// String names the origin for people.
func (o Origin) String() string {
	switch o {
	case OriginFile:
		return "file"
	case OriginS3URL:
		return "s3-url"
	case OriginOverride:
		return "override"
	}
	return "default"
}

// entry is one effective value.
type entry struct {
	value  string
	null   bool // no value and no default
	origin Origin
	where  string // "server.properties:12", empty for defaults
}

// Lookup returns the effective value of a broker key: secrets inside URIs are masked, but the value of a def.Sensitive key is the
// real one, which the caller must not show. A key that has neither value nor default is "" (see IsNull).
// ok is false for a key that has no definition; such keys are dropped by DescribeConfigs.
func (c *Config) Lookup(key string) (value string, origin Origin, def *Def, ok bool) {
	d, ok := BrokerDef(key)
	if !ok {
		return "", OriginDefault, nil, false
	}
	e := c.values[d.Name]
	return e.value, e.origin, d, true
}

// IsNull reports whether the key has neither a value nor a default: DescribeConfigs answers null for it.
func (c *Config) IsNull(key string) bool {
	d, ok := BrokerDef(key)
	return !ok || c.values[d.Name].null
}

// All yields every broker definition with its effective value, ordered by name.
func (c *Config) All() iter.Seq2[*Def, Setting] {
	return func(yield func(*Def, Setting) bool) {
		for _, d := range BrokerDefs() {
			e := c.values[d.Name]
			if !yield(d, Setting{Value: e.value, Null: e.null, Origin: e.origin, Where: e.where}) {
				return
			}
		}
	}
}

// Setting is an effective value with its history.
type Setting struct {
	Value  string // "" when Null
	Null   bool   // neither set nor defaulted
	Origin Origin
	Where  string // file:line or flag, empty for defaults
}

// WithDirectoryIDs returns a copy that carries the directory id which storagedir settled; ids are parallel to StorageDirs, in Kafka's form of a UUID.
func (c *Config) WithDirectoryIDs(ids []string) (*Config, error) {
	id := ids[slices.Index(c.StorageDirs(), c.MetadataLogDir)]
	raw, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil || len(raw) != 16 {
		return nil, fmt.Errorf("config: %s: directory.id=%s is not a UUID in base64", filepath.Join(c.MetadataLogDir, "meta.properties"), id)
	}
	out := *c
	out.DirectoryID = [16]byte(raw)
	return &out, nil
}

// WithClusterID returns a copy that carries the cluster id which storagedir settled.
func (c *Config) WithClusterID(id string) *Config {
	out := *c
	out.ClusterID = id
	out.values = maps.Clone(c.values)
	e := out.values["cluster.id"]
	e.value, e.null = id, false
	out.values["cluster.id"] = e
	return &out
}

// StorageDirs are the directories that carry this node's identity: LogDirs, and MetadataLogDir if it is another one.
func (c *Config) StorageDirs() []string {
	dirs := slices.Clone(c.LogDirs)
	if !slices.Contains(dirs, c.MetadataLogDir) {
		dirs = append(dirs, c.MetadataLogDir)
	}
	return dirs
}

// BrokerListeners returns the bound listeners that serve clients and brokers.
func (c *Config) BrokerListeners() []Listener { return c.listeners(false) }

// ControllerListeners returns the bound listeners of the CONTROLLER kind.
func (c *Config) ControllerListeners() []Listener { return c.listeners(true) }

func (c *Config) listeners(controller bool) []Listener {
	var out []Listener
	for _, l := range c.Listeners {
		if c.isControllerListener(l.Name) == controller {
			out = append(out, l)
		}
	}
	return out
}

func (c *Config) isControllerListener(name string) bool {
	return slices.Contains(c.ControllerListenerNames, name)
}
