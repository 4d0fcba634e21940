package enginetest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ringmq/ringmq/engine"
	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/engine/config/storagedir"
	"github.com/ringmq/ringmq/engine/loglevel"
	"github.com/ringmq/ringmq/tools/freeport"
)

// Options shape a node. The zero value is an embedded node in a temporary directory.
type Options struct {
	// Dir holds everything of the node; given again to another Start it is a restart. Default: a new temporary directory.
	Dir string
	// Overrides are further key=value settings; they win.
	Overrides []string
	// Launch replaces engine.Launch.
	Launch func(context.Context, *config.Config, *slog.Logger) (*engine.Server, error)
	// Logger defaults to the test's log, warnings and errors only.
	Logger *slog.Logger
}

// Node is a running node.
type Node struct {
	*engine.Server
	Dir  string
	opts Options
	t    testing.TB
	done bool

	storage *storagedir.Storage
}

// Start starts a node and stops it at the end of the test.
func Start(t testing.TB, o Options) *Node {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Launch == nil {
		o.Launch = engine.Launch
	}
	if o.Logger == nil {
		o.Logger = slog.New(loglevel.New(slog.LevelWarn, func(h *slog.HandlerOptions) slog.Handler { return slog.NewTextHandler(testWriter{t}, h) }))
	}
	port := freePort(t)
	base := []string{
		"node.id=1", "process.roles=broker,controller",
		"listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:" + port,
		"controller.quorum.voters=1@127.0.0.1:" + port,
		"controller.listener.names=CONTROLLER",
		"log.dirs=" + filepath.Join(o.Dir, "log"),
		"s3.wal.path=0@file://" + filepath.Join(o.Dir, "wal") + "?capacity=67108864",
		"s3.data.buckets=0@file://" + filepath.Join(o.Dir, "objects"),
		"group.initial.rebalance.delay.ms=0",
		"offsets.topic.num.partitions=4", "transaction.state.log.num.partitions=4",
	}
	cfg, warnings, err := config.Load(config.Source{Overrides: append(base, o.Overrides...)})
	if err != nil {
		t.Fatalf("configuration: %v", err)
	}
	for _, w := range warnings {
		t.Logf("configuration: %v", w)
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, "objects"), 0o755); err != nil {
		t.Fatal(err)
	}
	storage, err := storagedir.Open(storagedir.Options{Dirs: cfg.LogDirs, NodeID: cfg.NodeID, ClusterID: cfg.ClusterID})
	if err != nil {
		t.Fatalf("storage directories: %v", err)
	}
	identified := *cfg
	identified.ClusterID = storage.ClusterID
	cfg = &identified
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	server, err := o.Launch(ctx, cfg, o.Logger)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	n := &Node{Server: server, Dir: o.Dir, opts: o, t: t, storage: storage}
	t.Cleanup(func() { n.Stop() })
	return n
}

// Stop shuts the node down cleanly. Stopping twice is fine.
func (n *Node) Stop() {
	if n.done {
		return
	}
	n.done = true
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := errors.Join(n.Close(ctx), n.storage.Close()); err != nil {
		n.t.Errorf("stop: %v", err)
	}
}

// Abandon ends a node that has failed, as the end of its process would: nothing is waited for, nothing uploaded.
func (n *Node) Abandon() {
	if n.done {
		return
	}
	n.done = true
	broker, now := context.WithCancel(context.Background())
	now()
	_ = n.Broker().Close(broker)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := errors.Join(n.Node().Stop(ctx), n.storage.Close()); err != nil {
		n.t.Errorf("stop: %v", err)
	}
}

// Restart stops the node and starts it again on the same directory.
func (n *Node) Restart() *Node {
	n.t.Helper()
	n.Stop()
	o := n.opts
	o.Dir = n.Dir
	return Start(n.t, o)
}

// Seed is the address for clients.
func (n *Node) Seed() string { return n.Addr("PLAINTEXT").String() }

func freePort(t testing.TB) string {
	t.Helper()
	port, err := freeport.Get()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(port)
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Helper()
	w.t.Log(string(p))
	return len(p), nil
}
