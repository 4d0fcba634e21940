package engine

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringmq/ringmq/engine/acl"
	"github.com/ringmq/ringmq/engine/clientmetrics"
	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/engine/group"
	"github.com/ringmq/ringmq/engine/oauth"
	"github.com/ringmq/ringmq/engine/partition"
	"github.com/ringmq/ringmq/engine/quota"
	"github.com/ringmq/ringmq/engine/sharestate"
	"github.com/ringmq/ringmq/engine/tlsconf"
	"github.com/ringmq/ringmq/engine/txn"
	"github.com/ringmq/ringmq/kraft"
	"github.com/ringmq/ringmq/netpoll"
	"github.com/ringmq/ringmq/s3stream"
	"github.com/ringmq/ringmq/s3stream/objstore"
	"github.com/ringmq/ringmq/wal"
)

// Options says what a Broker is made of. The metadata node is started by the caller, with StartFenced.
type Options struct {
	Config *config.Config
	Node   *kraft.Node
	TLS    *tlsconf.Set // of the listeners; closed by the caller
	Logger *slog.Logger
	// OnFailure is told once when the broker cannot go on (the WAL's device failed, the broker is fenced for good). The caller
	// stops the process: nothing is acknowledged any more. Called on a goroutine of its own.
	OnFailure func(error)

	walDevice wal.Device // tests: what the WAL lies on, instead of the configured path
}

// Broker is the broker role of a node.
type Broker struct {
	cfg    *config.Config
	node   *kraft.Node
	secure *tlsconf.Set
	log    *slog.Logger

	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	serving context.Context // ends when Close begins: requests that wait are to be answered
	closing atomic.Bool     // the same, for the hot path
	endWait context.CancelFunc

	controller  kraft.Controller
	brokerEpoch int64
	wal         *wal.Log
	walOpen     atomic.Pointer[wal.Log] // wal, for goroutines that were there before it
	lease       lease
	walState    *walState
	bucket      objstore.Bucket
	storage     *s3stream.Storage
	server      *netpoll.Server
	groups      *group.Coordinator
	txns        *txn.Coordinator
	shareState  *sharestate.Coordinator
	shares      *shareTable
	peers       peers // connections to other brokers
	apis        *apiTable
	topics      *topics
	fetches     *fetchSessions
	producerIDs producerIDs
	questions   txnQuestions
	metrics     metrics
	cleaner     *logCleaner
	authorizer  *acl.Authorizer // nil: everything is allowed
	quotas      *quota.Manager
	hosts       *limitedHosts
	decoyKey    [32]byte // see scramDecoy; of this broker's life
	tokens      tokenCredentials
	bearer      map[string]*oauth.Verifier // of the listeners with OAUTHBEARER

	clientMetrics *clientmetrics.Manager

	internalTopics internalTopics // of streams groups

	// topicsVersion is the offset of the last change of the metadata that created, extended or deleted a topic.
	topicsVersion atomic.Int64

	limited struct { // what the limits of connections are made of; held while they are set
		sync.Mutex
		img *kraft.Image
	}

	ready      atomic.Bool   // until then frames are held
	starting   parking       // connections that came before the broker was ready
	parked     parking       // connections whose produce found the WAL full, or the partition on its way
	held       parking       // connections whose fetch found the partition on its way
	holding    atomic.Int32  // partitions for which requests are held
	holds      atomic.Int64  // the last token of slot.held
	acks       netpoll.Batch // acknowledgements of one group commit; owned by the WAL's commit goroutine
	workers    workers       // generic requests: at most one per connection
	openers    workers       // opening and closing partitions
	takeovers  chan struct{} // one token per partition that is being taken over
	coldReads  workers       // fetches from the object store
	coldBytes  atomic.Int64  // that these may read at most, and that are not sent yet
	background sync.WaitGroup
	unfollow   func()

	rejects    rateLimit // log lines about hostile input
	coldErrors rateLimit
	fullLog    atomic.Int64 // when the last line about a full WAL was written, Unix nanoseconds

	failOnce  sync.Once
	onFailure func(error)
}

// Bounds of the broker's goroutines.
const (
	openersMax   = 32
	coldReadsMax = 64
)

// Start brings a broker up: register, recover the WAL, open the partitions, listen, unfence. On an error everything that was started is
// closed again.
func Start(ctx context.Context, o Options) (_ *Broker, err error) {
	b := &Broker{cfg: o.Config, node: o.Node, secure: o.TLS, log: o.Logger, onFailure: o.OnFailure, controller: o.Node.Controller(), apis: servedAPIs(o.Config), topics: newTopics(),
		fetches: newFetchSessions(o.Config.Fetch.SessionCacheSize), authorizer: newAuthorizer(o.Config.Authorizer), quotas: newQuotas(o.Config.Quotas),
		clientMetrics: newClientMetrics(o.Config)}
	_, _ = rand.Read(b.decoyKey[:]) // never fails
	b.cleaner = newLogCleaner(b)
	b.hosts = newLimitedHosts(b.log, func() { b.setLimits(nil) })
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.bearer = b.bearers()
	b.serving, b.endWait = context.WithCancel(b.ctx)
	b.openers.limit(openersMax)
	b.takeovers = make(chan struct{}, takeoversMax)
	b.coldReads.limit(coldReadsMax)
	defer func() {
		if err != nil {
			b.abandon()
		}
	}()
	// The sockets are bound before the broker tells anybody of them; until it is unfenced no client is sent here.
	if err := b.listen(); err != nil {
		return nil, err
	}
	b.node.OnConfirmed(b.onConfirmed)
	if err = b.register(ctx); err != nil {
		return nil, err
	}
	if b.groups, err = b.newCoordinator(); err != nil {
		return nil, err
	}
	b.txns = b.newTxnCoordinator()
	b.shareState, b.shares = b.newShareState(), newShareTable(b)
	if err := b.openStorage(ctx, o.walDevice); err != nil {
		return nil, err
	}
	b.unfollow = b.node.Subscribe(b.onImage)
	if err := b.waitPartitions(ctx); err != nil {
		return nil, err
	}
	if err := b.node.Unfence(ctx); err != nil {
		return nil, fmt.Errorf("engine: unfence broker %d: %w", b.cfg.NodeID, err)
	}
	b.ready.Store(true)
	b.starting.wake()
	b.starting.clear()
	b.startBackground()
	return b, nil
}

// loopsMax bounds num.network.threads.
const loopsMax = 64

// listen binds the broker's listeners and tells the metadata node what to announce.
func (b *Broker) listen() error {
	n := b.cfg.Network
	opts := netpoll.Options{
		Handler:       b,
		Logger:        b.log,
		MaxFrameBytes: n.SocketRequestMaxBytes,
		IdleTimeout:   n.ConnectionsMaxIdle,
		InboundBytes:  n.QueuedMaxRequestBytes,
		Loops:         min(n.NetworkThreads, loopsMax), SendBufferBytes: n.SendBufferBytes, ReceiveBufferBytes: n.ReceiveBufferBytes, Backlog: n.ListenBacklog,
		Limits: b.limits(b.node.Image()),
	}
	for _, l := range b.cfg.BrokerListeners() {
		addr, err := net.ResolveTCPAddr("tcp", l.Addr())
		if err != nil {
			return fmt.Errorf("engine: listeners: %s: %w", l, err)
		}
		e := netpoll.Endpoint{Name: l.Name, Addr: *addr}
		if src := b.secure.Of(l.Name); src != nil {
			e.TLS = src.Server()
		}
		opts.Endpoints = append(opts.Endpoints, e)
	}
	server, err := netpoll.Listen(opts)
	if err != nil {
		return fmt.Errorf("engine: listen: %w", err)
	}
	b.server = server
	var announced []kraft.BrokerEndpoint
	for _, l := range b.cfg.AdvertisedListeners {
		port := l.Port
		if port == 0 {
			port = int32(server.Addr(l.Name).Port)
		}
		announced = append(announced, kraft.BrokerEndpoint{Name: l.Name, Host: l.Host, Port: uint16(port), SecurityProtocol: securityProtocol(l.Protocol)})
	}
	b.node.SetEndpoints(announced)
	return nil
}

// register tells the controller of this broker, which gives it its epoch.
func (b *Broker) register(ctx context.Context) (err error) {
	limit := b.cfg.Quorum.InitialRegistration
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if b.brokerEpoch, err = b.node.RegisterBroker(limited); err == nil {
		return nil
	}
	if limited.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("engine: register broker %d: no active controller answered within %v (initial.broker.registration.timeout.ms): a majority of the controllers must be up, and reachable "+
			"where controller.quorum.voters or controller.quorum.bootstrap.servers says: %w", b.cfg.NodeID, limit, err)
	}
	return fmt.Errorf("engine: register broker %d: %w", b.cfg.NodeID, err)
}

// openStorage opens the bucket and the WAL, on the device if there is one, and recovers what the WAL holds.
func (b *Broker) openStorage(ctx context.Context, device wal.Device) (err error) {
	if b.bucket, err = OpenBucket(ctx, b.cfg.DataBuckets[0], b.log); err != nil {
		return err
	}
	if err := b.claimBucket(ctx); err != nil {
		return err
	}
	s := b.cfg.S3
	begun := time.Now()
	b.wal, err = wal.Open(wal.Options{
		Path: b.cfg.WAL.Path, Device: device, CapacityBytes: b.cfg.WAL.CapacityBytes, QueueDepth: min(b.cfg.WAL.IODepth, 16), Sync: wal.SyncMethod(b.cfg.WAL.Sync),
		ClusterID: b.cfg.ClusterID, NodeID: b.cfg.NodeID, NodeEpoch: b.brokerEpoch,
		MemoryBytes: s.WALCacheBytes, Logger: b.log, OnSpace: b.parked.wake, OnFailure: func(err error) { b.fail(err) },
		OnDelivered: b.acks.Flush, Hold: b.holdAcks,
	})
	if err != nil {
		return fmt.Errorf("engine: s3.wal.path: %w", err)
	}
	b.walOpen.Store(b.wal)
	if b.walState, err = openWALState(b.cfg.MetadataLogDir, b.wal.UUID(), b.cfg.WAL.Path, b.brokerEpoch, b.node.Image().Broker(b.cfg.NodeID)); err != nil {
		return err
	}
	if err := b.node.ReportWAL(ctx, b.wal.UUID()); err != nil {
		return fmt.Errorf("engine: tell the controller which write-ahead log is in use: %w", err)
	}
	opened := time.Since(begun)
	b.storage, err = s3stream.Open(ctx, s3stream.Options{
		WAL: b.wal, Bucket: b.bucket, Metadata: streamMetadata{b.node}, NodeID: b.cfg.NodeID, NodeEpoch: b.brokerEpoch, ClusterID: b.cfg.ClusterID, Logger: b.log,
		UploadBytes: s.UploadThresholdBytes, UploadInterval: cmp.Or(s.UploadInterval, -1), StreamSplitBytes: s.StreamSplitBytes,
		BlockBytes: s.ObjectBlockBytes, PartBytes: s.ObjectPartBytes, BlockCacheBytes: s.BlockCacheBytes,
		CompactInterval: s.StreamSetCompactionInterval, StreamCompactInterval: s.StreamObjectCompactionInterval,
		CompactSplitBytes: s.StreamSetCompactionSplitBytes, ForceSplitAge: s.StreamSetCompactionForceSplit, CompactMaxSets: s.StreamSetCompactionMaxObjects,
		CompactMaxBytes: s.StreamObjectCompactionMaxBytes, CompactCacheBytes: s.StreamSetCompactionCacheBytes,
		DeleteRetention: cmp.Or(s.DeleteRetention, 1), SweepInterval: sweepInterval(s.DeleteRetention),
		OnSpace: b.parked.wake, OnFailure: func(err error) { b.fail(err) },
		Digest: func(s3stream.StreamID) s3stream.Digest { return partition.NewDigest() },
	})
	if err != nil {
		return fmt.Errorf("engine: recover the write-ahead log: %w", err)
	}
	b.log.Info("storage open", "wal", b.cfg.WAL.String(), "wal_mode", b.wal.Stats().Mode, "wal_sync", b.wal.Stats().Sync.Method, "bucket", b.cfg.DataBuckets[0].String(),
		"recovered_bytes", b.storage.Stats().PendingBytes, "wal_open", opened, "recovery", time.Since(begun)-opened)
	return nil
}

// sweepInterval is the pause between two rounds of deleting destroyed objects: short beside the time for which they are kept. A round without any
// looks at the image and asks nobody.
func sweepInterval(retention time.Duration) time.Duration {
	return min(max(retention/4, time.Second), time.Minute)
}

// OpenBucket opens a bucket of the configuration.
func OpenBucket(ctx context.Context, u config.BucketURI, log *slog.Logger) (objstore.Bucket, error) {
	bucket, err := objstore.Open(ctx, BucketConfig(u, log))
	if err != nil {
		return nil, fmt.Errorf("engine: s3.data.buckets: %w", err)
	}
	return bucket, nil
}

// BucketConfig is what the object store is told of a bucket of the configuration.
func BucketConfig(u config.BucketURI, log *slog.Logger) objstore.Config {
	c := objstore.Config{
		Scheme: u.Scheme, Bucket: u.Bucket, Dir: filepath.Clean(u.Path), Endpoint: u.Endpoint, Region: u.Region,
		AccessKey: u.AccessKey, SecretKey: u.SecretKey, SessionToken: u.SessionToken, AuthType: u.AuthType,
		CredentialsFile: u.CredentialsFile, CAFile: u.CAFile,
		CallTimeout: u.CallTimeout, AttemptTimeout: u.CallAttemptTimeout, Logger: log,
	}
	switch u.PathStyle {
	case config.PathStyleOn:
		c.PathStyle = objstore.PathStyleOn
	case config.PathStyleOff:
		c.PathStyle = objstore.PathStyleOff
	}
	return c
}

// afterOpen and beforeClose tie the coordinators to the partitions of their topics.
func (b *Broker) afterOpen(p *partition.Partition) error {
	switch p.Topic {
	case offsetsTopic:
		return b.loadGroups(p)
	case transactionsTopic:
		return b.loadTransactions(p)
	case shareStateTopic:
		return b.loadShareState(p)
	}
	return nil
}

func (b *Broker) beforeClose(p *partition.Partition) {
	switch p.Topic {
	case offsetsTopic:
		b.groups.Unload(p.Index)
	case transactionsTopic:
		b.txns.Unload(p.Index)
	case shareStateTopic:
		b.shareState.Unload(p.Index)
	}
	b.shares.lost(p)
}

// Addr is the bound address of a listener, nil if there is none of that name.
func (b *Broker) Addr(listener string) *net.TCPAddr { return b.server.Addr(listener) }

// fail ends the broker: nothing more is acknowledged, and the controller and then the owner of the process are told why.
func (b *Broker) fail(err error) {
	b.failOnce.Do(func() {
		b.log.Error("broker stops: what it would acknowledge could be lost", "cause", err)
		go b.reportFailure(err)
	})
}

// reportMax is how long a broker that has failed waits for the controller to note that. An election takes less; and whoever produces or fetches here
// goes elsewhere only when the process has ended.
const reportMax = 2 * time.Second

func (b *Broker) reportFailure(cause error) {
	ctx, cancel := context.WithTimeout(context.Background(), reportMax)
	defer cancel()
	if err := b.node.ReportFailure(ctx, cause); err != nil {
		b.log.Warn("the controller was not told that this broker stops: it is fenced when its session ends", "cause", err)
	}
	if b.onFailure != nil {
		b.onFailure(cause)
	}
}

// Close shuts the broker down cleanly: its partitions move to other brokers, if there are any; no new requests, those begun are answered, the tail is uploaded, the WAL is marked clean. With an
// expired context it hurries: what is not uploaded stays in the WAL, from which the next start recovers it.
func (b *Broker) Close(ctx context.Context) error {
	begun := time.Now()
	b.drain(ctx)
	b.stopWaiting()
	err := b.server.Drain(ctx)
	if err != nil {
		b.log.Warn("connections did not drain", "cause", err)
	}
	b.unfollow()
	flushErr := b.storage.Flush(ctx)
	if flushErr != nil {
		b.log.Warn("the tail stays in the write-ahead log: the next start recovers and uploads it", "pending_bytes", b.storage.Stats().PendingBytes, "cause", flushErr)
	}
	for _, s := range b.topics.all() {
		if p := s.open.Swap(nil); p != nil {
			p.Resign()
		}
	}
	b.cancel()
	b.parked.wake()
	closeErr := b.storage.Close(ctx, true)
	b.background.Wait()
	b.openers.wait()
	b.coldReads.wait()
	if flushErr == nil && closeErr == nil && b.storage.Stats().PendingBytes == 0 {
		closeErr = b.walState.empty()
		if err := b.node.ReportWAL(ctx, [16]byte{}); err != nil {
			b.log.Warn("the controller was not told that everything is uploaded: this broker's partitions wait for its return", "cause", err)
		}
	}
	closeErr = errors.Join(closeErr, b.server.Close())
	b.log.Info("broker closed", "uploaded_all", flushErr == nil, "took", time.Since(begun))
	return closeErr
}

// drain has the partitions led by other brokers before this one stops, within half of the time that is left: what does not move is uploaded, and found again by the
// next start.
func (b *Broker) drain(ctx context.Context) {
	if !b.cfg.ControlledShutdown || ctx.Err() != nil {
		return
	}
	limit := drainMax
	if at, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(at)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	begun, led := time.Now(), b.node.Image().PartitionsLed(b.cfg.NodeID)
	if err := b.node.Drain(ctx); err != nil {
		b.log.Warn("not all partitions have moved to other brokers", "cause", err)
	}
	if left := b.node.Image().PartitionsLed(b.cfg.NodeID); left < led {
		b.log.Info("partitions moved to other brokers", "moved", led-left, "left", left, "took", time.Since(begun))
	}
}

// drainMax bounds a controlled shutdown that has no deadline, or a late one.
const drainMax = time.Minute

// stopWaiting has every request answered that waits for something to happen: held joins and syncs, long polls, cold reads, produces that
// wait for room in the WAL. Requests that come later are not served.
func (b *Broker) stopWaiting() {
	b.closing.Store(true)
	b.endWait()
	b.groups.Close()
	b.txns.Close()
	b.shares.close()
	b.shareState.Close()
	b.peers.close()
	b.eachOpen((*partition.Partition).Wake)
	b.parked.each(func(c *netpoll.Conn) {
		c.Execute(func() {
			if op := c.Value.(*connState).parked; op != nil {
				op.giveUp()
			}
		})
	})
}

// abandon closes what a failed Start leaves behind.
func (b *Broker) abandon() {
	b.cancel()
	if b.unfollow != nil {
		b.unfollow()
	}
	if b.server != nil {
		_ = b.server.Close()
	}
	if b.groups != nil {
		b.groups.Close()
	}
	if b.txns != nil {
		b.txns.Close()
		b.shares.close()
		b.shareState.Close()
	}
	b.peers.close()
	b.openers.wait()
	if b.storage != nil {
		_ = b.storage.Close(context.Background(), false)
	} else if b.wal != nil {
		_ = b.wal.Close(false)
	}
}
