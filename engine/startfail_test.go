package engine_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ringmq/ringmq/engine"
	"github.com/ringmq/ringmq/engine/config"
)

// TestFailedStart: a broker that cannot start says why and leaves nothing running; the next start on the same directories and ports works.
func TestFailedStart(t *testing.T) {
	dir := t.TempDir()
	foreign := filepath.Join(dir, "foreign")
	if err := os.WriteFile(foreign, []byte(strings.Repeat("this is no log", 4<<20/14)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "objects"), 0o755); err != nil {
		t.Fatal(err)
	}
	launch := func(wal string) (*engine.Server, error) {
		cfg, _, err := config.Load(config.Source{Overrides: []string{
			"node.id=1", "process.roles=broker,controller", "controller.listener.names=CONTROLLER",
			"listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0", "controller.quorum.voters=1@127.0.0.1:1", "log.dirs=" + filepath.Join(dir, "log"),
			"s3.wal.path=0@file://" + wal + "?capacity=16777216", "s3.data.buckets=0@file://" + filepath.Join(dir, "objects"),
		}})
		if err != nil {
			t.Fatal(err)
		}
		return engine.Launch(t.Context(), cfg.WithClusterID("Y2x1c3Rlcg"), slog.New(slog.DiscardHandler))
	}
	if _, err := launch(foreign); err == nil || !strings.Contains(err.Error(), foreign) || !strings.Contains(err.Error(), "refused") {
		t.Fatalf("start with a foreign file as write-ahead log: %v, want a refusal by name", err)
	}
	s, err := launch(filepath.Join(dir, "wal"))
	if err != nil {
		t.Fatalf("start after a failed start: %v", err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestNoController: a broker that no controller takes in gives up after initial.broker.registration.timeout.ms, and says what has to be there.
func TestNoController(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "objects"), 0o755); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := config.Load(config.Source{Overrides: []string{
		"node.id=1", "process.roles=broker", "controller.listener.names=CONTROLLER", "listeners=PLAINTEXT://127.0.0.1:0", "controller.quorum.voters=9@127.0.0.1:1",
		"log.dirs=" + filepath.Join(dir, "log"), "s3.wal.path=0@file://" + filepath.Join(dir, "wal") + "?capacity=16777216",
		"s3.data.buckets=0@file://" + filepath.Join(dir, "objects"), "initial.broker.registration.timeout.ms=200",
	}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := engine.Launch(t.Context(), cfg.WithClusterID("Y2x1c3Rlcg"), slog.New(slog.DiscardHandler))
	if err == nil {
		_ = s.Close(t.Context())
		t.Fatal("a broker without a controller has started")
	}
	for _, part := range []string{"no active controller answered within 200ms", "initial.broker.registration.timeout.ms", "controller.quorum.voters"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v, want %q in it", err, part)
		}
	}
}
