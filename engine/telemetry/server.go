package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Options configures a Server.
type Options struct {
	Addr    string            // host:port to listen on
	Labels  map[string]string // put on every metric
	Sources Sources
	Logger  *slog.Logger
}

// Server is the metrics endpoint.
type Server struct {
	listener net.Listener
	http     *http.Server
	done     chan struct{}
}

// scrapes bounds the scrapes that run at the same time; more are refused with 503.
const scrapes = 4

// Listen serves metrics until Close.
func Listen(o Options) (*Server, error) {
	registry := prometheus.NewRegistry()
	labelled := prometheus.WrapRegistererWith(o.Labels, registry)
	for _, c := range []prometheus.Collector{
		&collector{o.Sources},
		collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(
			collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile(`^/(sched/pauses/.*|sched/latencies|sched/gomaxprocs|gc/(cycles|heap|gomemlimit|gogc).*|cpu/classes/gc/total.*|memory/classes/total.*):.*`)},
		)),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector(),
	} {
		if err := labelled.Register(c); err != nil {
			return nil, fmt.Errorf("telemetry: labels %v: %w", o.Labels, err)
		}
	}
	l, err := net.Listen("tcp", o.Addr)
	if err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: scrapes,
	}))
	mux.Handle("GET /{$}", http.RedirectHandler("/metrics", http.StatusFound)) // who opens the address finds the page
	s := &Server{listener: l, done: make(chan struct{}), http: &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			o.Logger.Warn("telemetry: the metrics endpoint ended", "cause", err)
		}
	}()
	return s, nil
}

// Addr is the bound address.
func (s *Server) Addr() *net.TCPAddr { return s.listener.Addr().(*net.TCPAddr) }

// Close ends the endpoint; scrapes that have begun are answered while ctx lasts.
func (s *Server) Close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	<-s.done
	return err
}
