package config

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Built-in values of the embedded default, used for what a lone node does not say.
const (
	embeddedNodeID      = 1
	embeddedListener    = "PLAINTEXT://:9092"
	embeddedController  = "CONTROLLER://127.0.0.1:9093"
	embeddedAdvertised  = "PLAINTEXT://localhost:9092"
	controllerName      = "CONTROLLER"
	embeddedWALCapacity = 256 << 20 // what a lone node takes of a disk without being asked
)

// build types the raw values and checks what they say together.
func (l *loader) build() (*Config, error) {
	b := &builder{loader: l, c: &Config{}}
	for _, step := range []func() error{b.identity, b.directories, b.listeners, b.secure, b.authentication, b.quorum, b.storage, b.limits, b.telemetry, b.relations} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	b.effective()
	return b.c, nil
}

type builder struct {
	*loader
	c        *Config
	computed map[string]string // effective values that are neither set nor the definition's default
}

func (b *builder) compute(key, value string) {
	if b.computed == nil {
		b.computed = map[string]string{}
	}
	b.computed[key] = value
}

// effective fills in every key's effective value for Lookup and All.
func (b *builder) effective() {
	b.c.values = make(map[string]entry, len(BrokerDefs()))
	for _, d := range BrokerDefs() {
		e, set := b.values[d.Name]
		if !set {
			e = entry{value: d.Default, null: d.Null}
			if v, ok := b.computed[d.Name]; ok {
				e = entry{value: v}
			}
		}
		if set && d.Sensitive() {
			e.value = masked
		}
		b.c.values[d.Name] = e
	}
	mask := func(key string, uris []BucketURI) {
		e := b.c.values[key]
		if e.null {
			return
		}
		texts := make([]string, len(uris))
		for i, u := range uris {
			texts[i] = u.String()
		}
		e.value = strings.Join(texts, ",")
		b.c.values[key] = e
	}
	mask("s3.data.buckets", b.c.DataBuckets)
	mask("s3.ops.buckets", b.c.OpsBuckets)
}

func (b *builder) isSet(keys ...string) bool {
	return slices.ContainsFunc(keys, func(k string) bool { return b.loader.isSet(k) })
}

func (l *loader) isSet(key string) bool {
	if _, ok := l.values[key]; ok {
		return true
	}
	for alias, canonical := range aliases {
		if _, ok := l.values[alias]; ok && canonical == key {
			return true
		}
	}
	return false
}

func (b *builder) text(key string) string { return strings.TrimSpace(b.get(key).value) }

func (b *builder) num(key string) int64 {
	n, err := strconv.ParseInt(b.text(key), 10, 64)
	if err != nil {
		panic("BUG: config: " + key + " has no checked number")
	}
	return n
}

// chosen is the number of a key for which RingMQ has a better default than Kafka: 0 unless somebody set it, and for -1.
func (b *builder) chosen(key string) int {
	if !b.isSet(key) {
		return 0
	}
	return int(max(b.num(key), 0))
}

func (b *builder) flag(key string) bool { return strings.EqualFold(b.text(key), "true") }

// span reads a number of units as a duration; what does not fit in 292 years becomes that.
func (b *builder) span(key string, unit time.Duration) time.Duration {
	n := b.num(key)
	if n > math.MaxInt64/int64(unit) {
		return math.MaxInt64
	}
	return time.Duration(n) * unit
}

func (b *builder) millis(key string) time.Duration  { return b.span(key, time.Millisecond) }
func (b *builder) minutes(key string) time.Duration { return b.span(key, time.Minute) }

// fail makes an ErrInvalid for the effective value of a key.
func (b *builder) fail(key, reason, allowed string) error {
	e := b.get(key)
	d, _ := BrokerDef(key)
	if d.Sensitive() {
		e.value = masked
	}
	return &Error{Kind: ErrInvalid, Key: key, Value: MaskSecrets(e.value), Reason: reason, Allowed: allowed, Where: e.where}
}

func (b *builder) missing(key, reason string) error {
	d, _ := BrokerDef(key)
	return &Error{Kind: ErrMissing, Key: key, Reason: reason, Allowed: d.Allowed()}
}

// identity settles who this node is. Without any word about roles or a quorum it is a single node that plays both roles.
func (b *builder) identity() error {
	c := b.c
	c.Embedded = !b.isSet("process.roles", "controller.quorum.voters", "controller.quorum.bootstrap.servers")
	if c.Embedded {
		c.Broker, c.Controller = true, true
		b.compute("process.roles", "broker,controller")
	} else {
		if !b.isSet("process.roles") {
			return b.missing("process.roles", "missing, although a quorum is configured")
		}
		roles := splitList(b.text("process.roles"))
		c.Broker, c.Controller = slices.Contains(roles, "broker"), slices.Contains(roles, "controller")
	}
	if n, ok := b.values["node.id"]; ok {
		if o, both := b.values["broker.id"]; both && strings.TrimSpace(o.value) != strings.TrimSpace(n.value) {
			return b.fail("broker.id", "differs from node.id="+n.value, "the same value, or leave broker.id out")
		}
	}
	switch {
	case b.isSet("node.id"):
		id := b.num("node.id")
		if id < 0 {
			return b.fail("broker.id", "out of range", "a number from 0 up")
		}
		c.NodeID = int32(id)
	case c.Embedded:
		c.NodeID = embeddedNodeID
	default:
		return b.missing("node.id", "missing")
	}
	b.compute("node.id", strconv.Itoa(int(c.NodeID)))
	b.compute("broker.id", strconv.Itoa(int(c.NodeID)))
	c.ClusterID = b.text("cluster.id")
	c.Rack = b.text("broker.rack")
	return nil
}

func (b *builder) directories() error {
	key := "log.dirs"
	if _, ok := b.values[key]; !ok {
		key = "log.dir"
	}
	for _, dir := range splitList(b.text(key)) {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return b.fail(key, err.Error(), pathsAllowed)
		}
		if slices.Contains(b.c.LogDirs, abs) {
			return b.fail(key, strconv.Quote(abs)+" appears twice", pathsAllowed)
		}
		b.c.LogDirs = append(b.c.LogDirs, abs)
	}
	if !b.isSet("log.dirs") {
		b.warn("log.dirs", "", "not set: data goes to %s, which many systems empty when they start", b.c.LogDirs[0])
	}
	b.compute("log.dirs", strings.Join(b.c.LogDirs, ","))
	b.c.MetadataLogDir = b.c.LogDirs[0]
	if dir := b.text("metadata.log.dir"); dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return b.fail("metadata.log.dir", err.Error(), "a directory")
		}
		b.c.MetadataLogDir = abs
	}
	return nil
}

func (b *builder) quorum() error {
	c := b.c
	servers := splitList(b.text("controller.quorum.bootstrap.servers"))
	c.BootstrapServers = servers
	voters, _ := parseVoters(b.text("controller.quorum.voters"))
	own := c.ControllerListeners()
	self := fmt.Sprintf("%d", c.NodeID)
	switch {
	case len(voters) > 0:
	case c.Embedded:
		voters = map[int32]string{c.NodeID: own[0].Addr()}
		b.compute("controller.quorum.voters", self+"@"+own[0].Addr())
	case c.Controller && len(servers) == 1 && own[0].reachedBy(servers[0]):
		// Kafka's own server.properties: a node that bootstraps from itself is the only voter.
		voters = map[int32]string{c.NodeID: servers[0]}
		b.compute("controller.quorum.voters", self+"@"+servers[0])
	case len(servers) > 0:
		// A broker finds the quorum by these. A controller joins it, when an operator adds it.
	default:
		return b.missing("controller.quorum.voters", "missing, and so is controller.quorum.bootstrap.servers: nothing says where the controllers are")
	}
	_, listed := voters[c.NodeID]
	if c.Controller && len(voters) > 0 && !listed {
		return b.fail("controller.quorum.voters", "does not list this node, node.id="+self+", which is a controller", "a list that contains "+self+"@<host>:<port>, or controller.quorum.bootstrap.servers without controller.quorum.voters, for a controller that is added to a running quorum")
	}
	if !c.Controller && listed {
		return b.fail("controller.quorum.voters", "lists this node, node.id="+self+", which is not a controller", "process.roles with controller, or another node.id")
	}
	c.Voters = voters
	c.Tokens = Tokens{
		Secret: []byte(b.text("delegation.token.secret.key")), MaxLifetime: b.millis("delegation.token.max.lifetime.ms"),
		ExpiryTime: b.millis("delegation.token.expiry.time.ms"), CheckInterval: b.millis("delegation.token.expiry.check.interval.ms"),
	}
	c.Quorum = Quorum{
		ElectionTimeout:         b.millis("controller.quorum.election.timeout.ms"),
		RequestTimeout:          b.millis("controller.quorum.request.timeout.ms"),
		BrokerHeartbeatInterval: b.millis("broker.heartbeat.interval.ms"),
		BrokerSessionTimeout:    b.millis("broker.session.timeout.ms"),
		InitialRegistration:     b.millis("initial.broker.registration.timeout.ms"),
		SnapshotMaxNewBytes:     b.num("metadata.log.max.record.bytes.between.snapshots"),
	}
	return nil
}

func (b *builder) limits() error {
	c := b.c
	c.scoped = make(map[string]string)
	for key, e := range b.values {
		if rest, ok := strings.CutPrefix(key, "listener.name."); ok {
			if _, ok := isConnectionKey(rest); ok {
				c.scoped[key] = e.value
			}
		}
	}
	c.Authorizer = Authorizer{On: b.text("authorizer.class.name") != "", AllowIfNone: b.flag("allow.everyone.if.no.acl.found")}
	c.Authorizer.SuperUsers, _ = parseSuperUsers(b.text("super.users"))
	c.Network = Network{
		SocketRequestMaxBytes: int(b.num("socket.request.max.bytes")),
		ConnectionsMaxIdle:    b.millis("connections.max.idle.ms"),
		QueuedMaxRequestBytes: b.num("queued.max.request.bytes"),
		SendBufferBytes:       b.chosen("socket.send.buffer.bytes"),
		ReceiveBufferBytes:    b.chosen("socket.receive.buffer.bytes"),
		ListenBacklog:         b.chosen("socket.listen.backlog.size"),
		NetworkThreads:        b.chosen("num.network.threads"),
	}
	if c.Network.QueuedMaxRequestBytes < 0 {
		// One request of the largest size must always fit.
		c.Network.QueuedMaxRequestBytes = max(autoRequests(b.src.MemoryBytes), int64(c.Network.SocketRequestMaxBytes))
	}
	c.Quotas = Quotas{
		Windows: int(b.num("quota.window.num")), WindowSize: b.span("quota.window.size.seconds", time.Second),
		ControllerWindows: int(b.num("controller.quota.window.num")), ControllerWindowSize: b.span("controller.quota.window.size.seconds", time.Second),
	}
	c.Topics = Topics{
		NumPartitions:               int32(b.num("num.partitions")),
		DefaultReplicationFactor:    int16(b.num("default.replication.factor")),
		AutoCreate:                  b.flag("auto.create.topics.enable"),
		DeleteEnable:                b.flag("delete.topic.enable"),
		MaxRequestPartitionsPerPage: int(b.num("max.request.partition.size.limit")),
	}
	c.Group = Group{
		MinSessionTimeout:         b.millis("group.min.session.timeout.ms"),
		MaxSessionTimeout:         b.millis("group.max.session.timeout.ms"),
		InitialRebalanceDelay:     b.millis("group.initial.rebalance.delay.ms"),
		MaxSize:                   int(b.num("group.max.size")),
		Protocols:                 splitList(b.text("group.coordinator.rebalance.protocols")),
		ConsumerSessionTimeout:    b.millis("group.consumer.session.timeout.ms"),
		ConsumerHeartbeatInterval: b.millis("group.consumer.heartbeat.interval.ms"),
		ConsumerMaxSize:           int(b.num("group.consumer.max.size")),
		ConsumerAssignors:         splitList(b.text("group.consumer.assignors")),

		ConsumerAssignmentInterval:   b.millis("group.consumer.assignment.interval.ms"),
		ConsumerRegexRefreshInterval: b.millis("group.consumer.regex.refresh.interval.ms"),
		ConsumerMigration:            strings.ToLower(b.text("group.consumer.migration.policy")),
		Streams: StreamsGroups{
			SessionTimeout:        b.millis("group.streams.session.timeout.ms"),
			HeartbeatInterval:     b.millis("group.streams.heartbeat.interval.ms"),
			AssignmentInterval:    b.millis("group.streams.assignment.interval.ms"),
			InitialRebalanceDelay: b.millis("group.streams.initial.rebalance.delay.ms"),
			MaxSize:               int(b.num("group.streams.max.size")),
			Standbys:              int(b.num("group.streams.num.standby.replicas")),
		},
	}
	c.Share = b.share()
	c.Offsets = Offsets{
		Retention:              b.minutes("offsets.retention.minutes"),
		RetentionCheckInterval: b.millis("offsets.retention.check.interval.ms"),
		MetadataMaxBytes:       int(b.num("offset.metadata.max.bytes")),
		TopicPartitions:        int32(b.num("offsets.topic.num.partitions")),
		TopicReplicationFactor: int16(b.num("offsets.topic.replication.factor")),
		TopicSegmentBytes:      b.num("offsets.topic.segment.bytes"),
	}
	c.Fetch = Fetch{
		MaxBytes:         int(b.num("fetch.max.bytes")),
		SessionCacheSize: int(b.num("max.incremental.fetch.session.cache.slots")),
	}
	c.Producer = Producer{
		IDExpiration:                      b.millis("producer.id.expiration.ms"),
		TransactionMaxTimeout:             b.millis("transaction.max.timeout.ms"),
		TransactionalIDExpiration:         b.millis("transactional.id.expiration.ms"),
		TransactionTopicPartitions:        int32(b.num("transaction.state.log.num.partitions")),
		TransactionTopicReplicationFactor: int16(b.num("transaction.state.log.replication.factor")),
		TransactionTopicMinISR:            int(b.num("transaction.state.log.min.isr")),
		TransactionPartitionVerification:  b.flag("transaction.partition.verification.enable"),
		TransactionAddWait:                b.millis("add.partitions.to.txn.retry.backoff.max.ms"),
		TransactionAbortTimedOutInterval:  b.millis("transaction.abort.timed.out.transaction.cleanup.interval.ms"),
		TransactionalIDCleanupInterval:    b.millis("transaction.remove.expired.transaction.cleanup.interval.ms"),
		TransactionTopicSegmentBytes:      b.num("transaction.state.log.segment.bytes"),
	}
	c.Retention = Retention{CheckInterval: b.millis("log.retention.check.interval.ms")}
	c.ControlledShutdown = b.flag("controlled.shutdown.enable")
	return nil
}

// relations are the checks between keys.
func (b *builder) relations() error {
	c := b.c
	if err := b.checkCleaner(); err != nil {
		return err
	}
	if c.Group.MinSessionTimeout > c.Group.MaxSessionTimeout {
		return b.fail("group.min.session.timeout.ms", "more than group.max.session.timeout.ms="+b.text("group.max.session.timeout.ms"), "at most group.max.session.timeout.ms")
	}
	if c.Quorum.BrokerHeartbeatInterval*2 > c.Quorum.BrokerSessionTimeout {
		return b.fail("broker.session.timeout.ms", "less than two heartbeats of broker.heartbeat.interval.ms="+b.text("broker.heartbeat.interval.ms"),
			"at least twice broker.heartbeat.interval.ms")
	}
	if q := c.Network.QueuedMaxRequestBytes; q < int64(c.Network.SocketRequestMaxBytes) {
		return b.fail("queued.max.request.bytes", "less than socket.request.max.bytes="+b.text("socket.request.max.bytes"), "at least socket.request.max.bytes, or -1")
	}
	if c.S3.UploadThresholdBytes > c.WAL.CapacityBytes {
		return b.fail("s3.wal.upload.threshold", fmt.Sprintf("more than the write-ahead log's capacity of %d bytes", c.WAL.CapacityBytes), "less than the capacity, or -1")
	}
	if c.S3.UploadThresholdBytes > c.S3.WALCacheBytes {
		return b.fail("s3.wal.upload.threshold", fmt.Sprintf("more than s3.wal.cache.size=%d", c.S3.WALCacheBytes), "less than s3.wal.cache.size, or -1")
	}
	return nil
}
