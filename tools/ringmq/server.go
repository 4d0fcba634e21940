package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"time"

	"github.com/ringmq/ringmq/engine"
	"github.com/ringmq/ringmq/engine/config"
)

// shutdownTimeout bounds a clean shutdown. What is not uploaded by then stays in the write-ahead log and is recovered by the next start.
const shutdownTimeout = 30 * time.Second

// serve runs one node: until the context ends, then it is shut down cleanly, or until it fails.
func serve(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	if addr := os.Getenv(profileEnv); addr != "" {
		if err := serveProfiles(addr, log); err != nil {
			return err
		}
	}
	if os.Getenv("GOMAXPROCS") == "" {
		// The write-ahead log's thread and the event loops sleep in system calls of their own and need a P when they come back (see package
		// wal). While no other P is idle, the runtime's monitor takes theirs away and looks again every 20 µs. Measured with Kafka's
		// producer tool, unlimited: cores+1 cost more processor time per byte than cores+3, and cores+6 no less; a few runs each.
		runtime.GOMAXPROCS(runtime.NumCPU() + 3)
	}
	s, err := engine.Launch(ctx, cfg, log)
	if err != nil {
		return err
	}
	select {
	case err := <-s.Failed():
		// Nothing is acknowledged any more, and a clean shutdown would wait for what has failed.
		return fmt.Errorf("ringmq: node %d failed: %w", cfg.NodeID, err)
	case <-ctx.Done():
	}
	log.Info("stopping", "within", shutdownTimeout)
	begun := time.Now()
	stop, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if err := s.Close(stop); err != nil {
		return fmt.Errorf("ringmq: shutdown was not clean, the next start recovers what is in the write-ahead log: %w", err)
	}
	log.Info("stopped", "after", time.Since(begun).Round(time.Millisecond))
	return nil
}
