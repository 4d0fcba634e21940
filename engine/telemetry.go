package engine

import (
	"fmt"
	"time"

	"github.com/ringmq/ringmq/engine/quota"
	"github.com/ringmq/ringmq/engine/telemetry"
	"github.com/ringmq/ringmq/kraft"
)

// serveMetrics opens the metrics endpoint, if one is configured.
func (s *Server) serveMetrics() error {
	t := s.cfg.Telemetry
	if t.Prometheus == "" {
		return nil
	}
	sources := telemetry.Sources{Node: s.describe}
	if s.cfg.Controller {
		sources.Balancer = s.node.Balancer
	}
	if b := s.broker; b != nil {
		sources.WAL, sources.WALLatencies, sources.Storage = b.wal.Stats, b.wal.Latencies, b.storage.Stats
		sources.Network, sources.Broker = b.server.Stats, b.describe
		sources.Clients = b.clientMetrics.Samples
	}
	var err error
	if s.metrics, err = telemetry.Listen(telemetry.Options{Addr: t.Prometheus, Labels: t.Labels, Sources: sources, Logger: s.log}); err != nil {
		return fmt.Errorf("engine: s3.telemetry.metrics.exporter.uri: %w", err)
	}
	s.log.Info("serving metrics", "url", "http://"+s.metrics.Addr().String()+"/metrics")
	return nil
}

func (s *Server) describe() telemetry.Node {
	image := s.node.Image()
	out := telemetry.Node{Cluster: s.cfg.ClusterID, Roles: s.roles(), ID: s.cfg.NodeID, Topics: image.NumTopics(), Partitions: image.NumPartitions()}
	for tally, n := range image.CountOffline() {
		out.Offline = append(out.Offline, telemetry.Offline{Broker: tally.Broker, Reason: string(tally.Reason), Partitions: n})
	}
	image.Brokers(func(b *kraft.Broker) bool {
		if b.Failure != "" {
			out.Failed = append(out.Failed, telemetry.Failed{Broker: b.ID, Cause: b.Failure})
		}
		return true
	})
	out.Quotas = describeQuotaStats(s.changes.manager)
	return out
}

// quotaStatsMax is of how many meters the metrics tell: clients may have any number of names.
const quotaStatsMax = 500

// describe is a snapshot of the broker's counters.
func (b *Broker) describe() telemetry.Broker {
	m := &b.metrics
	out := telemetry.Broker{
		Rejected: m.rejected.Load(), WALFull: m.walFull.Load(), ProducedBatches: m.producedBatches.Load(), ProducedBytes: m.producedBytes.Load(),
		FetchedBytes: m.fetchedBytes.Load(), ParkedClients: b.parked.count(),
		AcksHeld: b.lease.held.Load(), AckHolds: b.lease.times.Load(), Cleaner: b.cleaner.describe(),
	}
	shares := b.shares.stats()
	out.Shares = telemetry.Shares{
		Groups: b.groups.Stats().ShareGroups, Sessions: shares.Sessions, Partitions: shares.Partitions, Locked: shares.Locked, States: b.shareState.States(),
		Acquired: m.shareAcquired.Load(), Expired: m.shareExpired.Load(),
	}
	for kind := range m.shareAcks {
		out.Shares.Acknowledged[kind] = m.shareAcks[kind].Load()
	}
	for _, a := range b.apis {
		if a != nil {
			out.Requests = append(out.Requests, telemetry.Requests{API: a.name, Count: m.requests[a.key].Load()})
		}
	}
	out.Quotas = describeQuotaStats(b.quotas)
	for _, s := range b.topics.all() {
		if s.open.Load() != nil {
			out.OpenPartitions++
		}
	}
	return out
}

func describeQuotaStats(m *quota.Manager) (out []telemetry.Quota) {
	for _, q := range m.Stats(quotaStatsMax) {
		out = append(out, telemetry.Quota{
			Kind: q.Kind.String(), User: q.User, ClientID: q.ClientID, Limit: q.Limit, Value: q.Value, ThrottleMillis: float64(q.Wait) / float64(time.Millisecond),
		})
	}
	return out
}
