package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/engine/telemetry"
	"github.com/ringmq/ringmq/engine/tlsconf"
	"github.com/ringmq/ringmq/kraft"
	"github.com/ringmq/ringmq/wal"
)

// Server is one node with the roles that its configuration gives it: a metadata node, and a broker on top of it.
type Server struct {
	cfg     *config.Config
	log     *slog.Logger
	node    *kraft.Node
	broker  *Broker           // nil without the broker role
	metrics *telemetry.Server // nil without a metrics endpoint
	secure  *tlsconf.Set
	changes mutationQuota
	failed  chan error
}

// Launch starts a node. cfg.ClusterID must be known (see config.OpenDirs). It returns when the node serves, or an error with
// everything closed again.
func Launch(ctx context.Context, cfg *config.Config, log *slog.Logger) (*Server, error) {
	return launch(ctx, cfg, log, nil)
}

func launch(ctx context.Context, cfg *config.Config, log *slog.Logger, device wal.Device) (*Server, error) {
	begun := time.Now()
	s := &Server{cfg: cfg, log: log, changes: newMutationQuota(cfg.Quotas), failed: make(chan error, 2)}
	fail := func(err error) {
		select {
		case s.failed <- err:
		default:
		}
	}
	var err error
	if s.secure, err = tlsconf.OpenSet(cfg, log); err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	if s.node, err = startNode(cfg, s.secure, s.changes, log, fail); err != nil {
		s.secure.Close()
		return nil, err
	}
	metadataUp := time.Since(begun)
	if cfg.Broker {
		if s.broker, err = Start(ctx, Options{Config: cfg, Node: s.node, TLS: s.secure, Logger: log, OnFailure: fail, walDevice: device}); err != nil {
			stop, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			s.secure.Close()
			return nil, errors.Join(err, s.node.Stop(stop))
		}
	}
	if err := s.serveMetrics(); err != nil {
		stop, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		return nil, errors.Join(err, s.Close(stop))
	}
	s.summary(metadataUp, time.Since(begun))
	return s, nil
}

// leaveTime is how much of the time for a shutdown the broker leaves to the metadata node. An object store that is away would use up all of it, and the
// controllers would not hear that this broker goes.
const leaveTime = 2 * time.Second

// brokerDeadline is when the broker has to be closed if the node has to be at the time end.
func brokerDeadline(now, end time.Time) time.Time {
	return end.Add(-min(leaveTime, max(0, end.Sub(now)/4)))
}

// closeBroker closes the broker, and hurries when no controller has confirmed it for the time of a session: nobody can take its partitions or note its
// objects then.
func (s *Server) closeBroker(ctx context.Context) error {
	within, hurry := context.WithCancel(ctx)
	closed := make(chan struct{})
	var alone bool
	var watch sync.WaitGroup
	watch.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-closed:
				return
			case <-tick.C:
			}
			if !s.node.Confirmed() {
				alone = true
				s.log.Warn("no controller answers: not waiting for one; what is not uploaded stays in the write-ahead log for the next start")
				hurry()
				return
			}
		}
	})
	err := s.broker.Close(within)
	close(closed)
	watch.Wait()
	hurry()
	if alone && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// summary logs what runs where, in one line.
func (s *Server) summary(metadataUp, total time.Duration) {
	attrs := []any{"node", s.cfg.NodeID, "cluster", s.cfg.ClusterID, "roles", s.roles(), "log_dir", s.cfg.LogDirs[0]}
	if a := s.node.Addr(); a != nil {
		attrs = append(attrs, "controller", a.String())
	}
	if s.broker != nil {
		var listeners []string
		for _, l := range s.cfg.AdvertisedListeners {
			listeners = append(listeners, fmt.Sprintf("%s://%s:%d", l.Name, l.Host, s.advertisedPort(l)))
		}
		st := s.broker.wal.Stats()
		attrs = append(attrs, "clients", strings.Join(listeners, ","), "wal", s.cfg.WAL.Path, "wal_bytes", st.Capacity, "wal_mode", st.Mode,
			"bucket", s.cfg.DataBuckets[0].String(), "topics", s.node.Image().NumTopics(), "partitions", s.node.Image().NumPartitions())
	}
	s.log.Info("ready", append(attrs, "metadata_after", metadataUp.Round(time.Millisecond/10), "ready_after", total.Round(time.Millisecond/10))...)
}

func (s *Server) roles() string {
	switch {
	case s.cfg.Broker && s.cfg.Controller:
		return "broker,controller"
	case s.cfg.Broker:
		return "broker"
	}
	return "controller"
}

func (s *Server) advertisedPort(l config.Listener) int32 {
	if l.Port != 0 {
		return l.Port
	}
	return int32(s.broker.Addr(l.Name).Port)
}

// Addr is the bound address of a broker listener, nil if there is none of that name.
func (s *Server) Addr(listener string) *net.TCPAddr { return s.broker.Addr(listener) }

// Broker is the node's broker, nil without the role.
func (s *Server) Broker() *Broker { return s.broker }

// MetricsAddr is the bound address of the metrics endpoint, nil if there is none.
func (s *Server) MetricsAddr() *net.TCPAddr {
	if s.metrics == nil {
		return nil
	}
	return s.metrics.Addr()
}

// Node is the metadata node.
func (s *Server) Node() *kraft.Node { return s.node }

// Failed gives the error that ends the node. After it nothing is acknowledged; the process should exit without a clean shutdown.
func (s *Server) Failed() <-chan error { return s.failed }

// Close shuts the node down cleanly, within the context: broker first, then the metadata node. A broker that no controller answers any more, as
// happens to the last ones when a whole cluster is stopped, does not use up the time: its tail stays in the write-ahead log.
func (s *Server) Close(ctx context.Context) error {
	var err error
	if s.broker != nil {
		within, cancel := context.WithCancel(ctx)
		if at, ok := ctx.Deadline(); ok {
			within, cancel = context.WithDeadline(ctx, brokerDeadline(time.Now(), at))
		}
		err = s.closeBroker(within)
		cancel()
	}
	err = errors.Join(err, s.node.Stop(ctx))
	s.secure.Close()
	if s.metrics != nil { // last: a slow shutdown can be watched
		err = errors.Join(err, s.metrics.Close(ctx))
	}
	return err
}
