package kraft

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"

	"github.com/ringmq/ringmq/kraft/balancer"
	"github.com/ringmq/ringmq/netpoll"
)

// Roles says what a node does (process.roles).
type Roles struct {
	Broker     bool
	Controller bool
}

// Options configures a Node. NodeID, ClusterID, Roles, Voters and Dir are required; Listen too when the node is a controller.
type Options struct {
	// NodeID is node.id, 0 or more.
	NodeID int32
	// ClusterID names the cluster. Dir is bound to it, and peers of another cluster are refused.
	ClusterID string
	Roles     Roles
	// Voters is controller.quorum.voters: node id to host:port. A controller that is among them founds the cluster with the others when its
	// directory is new; after that the metadata say who the voters are, and Voters is where a node asks first.
	Voters map[int32]string
	// Bootstrap is controller.quorum.bootstrap.servers: host:port of some controllers. With it, a controller that is not among Voters joins: it follows
	// the log until it is added to the quorum by AddRaftVoter.
	Bootstrap []string
	// DirectoryID tells this metadata directory from another one of the same node, such as that on a replaced disk. Zero: kept in Dir.
	DirectoryID [16]byte
	// Dir is the metadata directory: it holds the node's identity, and for a controller the raft log and the snapshots.
	Dir string
	// Listen is the CONTROLLER listener. Port 0 takes any free port (Node.Addr tells which).
	Listen netpoll.Endpoint
	// DialTLS gives the TLS of a call to the CONTROLLER listener of another node, at host; nil: plaintext. It is asked for each connection, and
	// must be as Listen.TLS on all nodes. With both, and certificates demanded by Listen.TLS, only nodes whose certificates are trusted by each
	// other form a cluster.
	DialTLS func(host string) *tls.Config
	// BrokerTLS is DialTLS for calls to other brokers, at the listener that AskHandover names.
	BrokerTLS func(host string) *tls.Config
	// ControllerEndpoints are the advertised addresses of the CONTROLLER listener, the first for other nodes. Default: what Voters says of this node, else
	// the address of Listen.
	ControllerEndpoints []BrokerEndpoint

	// Endpoints are the advertised broker addresses that RegisterBroker announces. May be changed until RegisterBroker by SetEndpoints.
	Endpoints []BrokerEndpoint
	// Rack is broker.rack; "" if none.
	Rack string
	// Incarnation tells one process of the broker from the next. Zero: drawn at random at Start.
	Incarnation [16]byte
	// StartFenced makes RegisterBroker leave the broker fenced until Unfence.
	StartFenced bool

	// StandIn: the node follows the log, and may take the place of the dead broker of its id (Node.BeginRescue); it is neither that broker nor a controller, though
	// NodeID may be that of a voter. Roles must be those of a broker.
	StandIn bool

	// Defaults are what the controller needs to know of the cluster's configuration.
	Defaults Defaults

	// Features are those that this program knows; the metadata have their levels.
	Features []Feature

	// Tokens are the settings of delegation tokens.
	Tokens TokenOptions

	// Mutations counts what clients have the controller change; nil: nobody has a quota.
	Mutations MutationQuota

	// Balancer returns the balancer's settings; get gives a key that was set at run time. Called often: it must be quick. nil: balancer.Defaults.
	Balancer func(get func(key string) (string, bool)) balancer.Settings

	// Tick is the unit of raft's clock: an election begins after 10 to 20 ticks of silence, the leader sends a heartbeat every 2. Default 50 ms.
	Tick time.Duration
	// BrokerHeartbeat is broker.heartbeat.interval.ms. Default 2 s.
	BrokerHeartbeat time.Duration
	// BrokerSession is broker.session.timeout.ms: a broker that is silent for so long is fenced. Default 9 s.
	BrokerSession time.Duration
	// RequestTimeout bounds a Controller.Do whose context has no deadline. Default 30 s.
	RequestTimeout time.Duration
	// PreparedTimeout is the time after which a prepared object that was not committed is destroyed. Default 1 h.
	PreparedTimeout time.Duration

	// SnapshotEntries and SnapshotBytes are how much log may follow a snapshot before the next one is taken. Defaults 100,000 and 16 MiB
	// (or the size of the last snapshot, whichever is more).
	SnapshotEntries int64
	SnapshotBytes   int64
	// TrailingBytes is how much log a snapshot leaves in memory for followers that lag a little. Default 4 MiB.
	TrailingBytes int64
	// SegmentBytes is the size of one file of the raft log, preallocated. Default 8 MiB. It is a setting of the process: the first
	// Start decides.
	SegmentBytes int64

	// Elapsed is a clock that neither jumps nor stops while the machine sleeps; only differences count. Default CLOCK_BOOTTIME.
	Elapsed func() time.Duration

	// Now is the controller's clock; its readings enter the log as record fields. Default time.Now.
	Now func() time.Time
	// Logger receives one line per event that an operator cares about. Default slog.Default().
	Logger *slog.Logger
	link   func(addr string, conn net.Conn) net.Conn // lets tests cut the connections that the node makes; nil otherwise

	// OnFailure is told once when the node stops because of an error (raft log failed, unknown record, ...). Called on a goroutine of its own.
	OnFailure func(error)
}

// Defaults are the parts of the broker configuration that decide how a controller answers. The zero value works; the functions may be
// called from any goroutine and must be deterministic and quick.
type Defaults struct {
	// Partitions is num.partitions. Default 1.
	Partitions int32
	// ReplicationFactor is default.replication.factor. Default 1.
	ReplicationFactor int16
	// NoDeleteTopics is delete.topic.enable=false.
	NoDeleteTopics bool
	// ValidateClientMetrics judges one explicitly set key of a subscription to client metrics; nil accepts everything. An error with a method InvalidRequest that
	// returns true is answered with INVALID_REQUEST.
	ValidateClientMetrics func(key, value string) error
	// ValidateGroupConfig judges one explicitly set key of a group; nil accepts everything.
	ValidateGroupConfig func(key, value string) error
	// ValidateTopicConfig judges one explicitly set topic key; nil accepts everything.
	ValidateTopicConfig func(key, value string) error
	// ValidateBrokerConfig judges one dynamic broker key; resource is a broker id in decimal or "" for the cluster default. Its errors answer
	// INVALID_REQUEST, as Kafka's brokers do (KAFKA-13609); those that wrap ErrReadOnlyConfig stand for keys that cannot be removed either. nil accepts everything.
	ValidateBrokerConfig func(resource, key, value string) error
	// ConfigList says whether a key holds a comma-separated list, and its default: APPEND and SUBTRACT work on lists only. nil: none is a list.
	ConfigList func(t ConfigType, key string) (def string, list bool)
	// TopicConfigs returns the effective configuration of a topic with these explicitly set keys, sorted by name, for the answer of
	// CreateTopics. nil: only the explicit keys are reported.
	TopicConfigs func(explicit map[string]string) []EffectiveConfig
}

// EffectiveConfig is one line of the effective configuration of a topic, with the fields of CreateTopicsResponse.
type EffectiveConfig struct {
	Name      string
	Value     *string
	ReadOnly  bool
	Source    int8 // 1 topic, 2 broker, 3 cluster default, 4 static, 5 default
	Sensitive bool
}

// ErrReadOnlyConfig is wrapped by Defaults.ValidateBrokerConfig for keys that cannot be changed at run time.
var ErrReadOnlyConfig = errors.New("read-only configuration")

func (o Options) withDefaults() Options {
	setDefault(&o.Tick, 50*time.Millisecond)
	setDefault(&o.BrokerHeartbeat, 2*time.Second)
	setDefault(&o.BrokerSession, 9*time.Second)
	setDefault(&o.RequestTimeout, 30*time.Second)
	setDefault(&o.PreparedTimeout, time.Hour)
	setDefault(&o.Tokens.MaxLifetime, 7*24*time.Hour)
	setDefault(&o.Tokens.ExpiryTime, 24*time.Hour)
	setDefault(&o.Tokens.CheckInterval, time.Hour)
	setDefault(&o.SnapshotEntries, 100_000)
	setDefault(&o.SnapshotBytes, 16<<20)
	setDefault(&o.TrailingBytes, 4<<20)
	setDefault(&o.SegmentBytes, 8<<20)
	setDefault(&o.Defaults.Partitions, 1)
	setDefault(&o.Defaults.ReplicationFactor, 1)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Elapsed == nil {
		o.Elapsed = bootTime
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Incarnation == [16]byte{} {
		o.Incarnation = randomID()
	}
	return o
}

func setDefault[T int16 | int32 | int64 | time.Duration](p *T, v T) {
	if *p == 0 {
		*p = v
	}
}

// randomID is a version 4 UUID. It names things and needs no secrecy.
func randomID() (id [16]byte) {
	for i := 0; i < 16; i += 8 {
		x := rand.Uint64()
		for j := range 8 {
			id[i+j] = byte(x >> (8 * j))
		}
	}
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

func (o Options) validate() error {
	switch {
	case o.NodeID < 0:
		return fmt.Errorf("kraft: node id %d is negative", o.NodeID)
	case o.ClusterID == "":
		return errors.New("kraft: no cluster id")
	case !o.Roles.Broker && !o.Roles.Controller:
		return errors.New("kraft: the node has neither the broker nor the controller role")
	case o.Dir == "":
		return errors.New("kraft: no metadata directory")
	case len(o.Voters) == 0 && len(o.Bootstrap) == 0:
		return errors.New("kraft: no controller quorum voters")
	case o.Tick < 0 || o.BrokerHeartbeat < 0 || o.BrokerSession < 0 || o.RequestTimeout < 0 || o.PreparedTimeout < 0:
		return errors.New("kraft: a duration is negative")
	case o.SnapshotEntries < 1 || o.SnapshotBytes < 1 || o.TrailingBytes < 1:
		return errors.New("kraft: a snapshot threshold is below 1")
	case o.SegmentBytes < 64<<10:
		return fmt.Errorf("kraft: segment size %d is below 64 KiB", o.SegmentBytes)
	case o.BrokerSession < o.BrokerHeartbeat:
		return fmt.Errorf("kraft: broker session timeout %v is below the heartbeat interval %v", o.BrokerSession, o.BrokerHeartbeat)
	}
	for id := range o.Voters {
		if id < 0 {
			return fmt.Errorf("kraft: voter id %d is negative", id)
		}
	}
	_, voter := o.Voters[o.NodeID]
	switch {
	case o.Roles.Controller && !voter && len(o.Bootstrap) == 0:
		return fmt.Errorf("kraft: node %d has the controller role but is not among the quorum voters, and there are no bootstrap servers to join by", o.NodeID)
	case o.StandIn && o.Roles.Controller:
		return fmt.Errorf("kraft: node %d cannot stand in for another as a controller", o.NodeID)
	case !o.Roles.Controller && voter && !o.StandIn:
		return fmt.Errorf("kraft: node %d is a quorum voter but has not the controller role", o.NodeID)
	}
	return nil
}
