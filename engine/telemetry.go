package engine

import (
	"fmt"

	"github.com/ringmq/ringmq/engine/telemetry"
)

// serveMetrics opens the metrics endpoint, if one is configured.
func (s *Server) serveMetrics() error {
	t := s.cfg.Telemetry
	if t.Prometheus == "" {
		return nil
	}
	sources := telemetry.Sources{Node: s.describe}
	if b := s.broker; b != nil {
		sources.WAL, sources.Storage, sources.Network, sources.Broker = b.wal.Stats, b.storage.Stats, b.server.Stats, b.describe
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
	return telemetry.Node{Cluster: s.cfg.ClusterID, Roles: s.roles(), ID: s.cfg.NodeID, Topics: image.NumTopics(), Partitions: image.NumPartitions()}
}

// describe is a snapshot of the broker's counters.
func (b *Broker) describe() telemetry.Broker {
	m := &b.metrics
	out := telemetry.Broker{
		Rejected: m.rejected.Load(), WALFull: m.walFull.Load(), ProducedBatches: m.producedBatches.Load(), ProducedBytes: m.producedBytes.Load(),
		FetchedBytes: m.fetchedBytes.Load(), ParkedClients: b.parked.count(),
	}
	for _, a := range b.apis {
		if a != nil {
			out.Requests = append(out.Requests, telemetry.Requests{API: a.name, Count: m.requests[a.key].Load()})
		}
	}
	for _, s := range b.topics.all() {
		if s.open.Load() != nil {
			out.OpenPartitions++
		}
	}
	return out
}
