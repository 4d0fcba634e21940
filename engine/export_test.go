package engine

import (
	"context"
	"log/slog"

	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/wal"
)

// LaunchOn returns a Launch whose write-ahead log lies on device.
func LaunchOn(device wal.Device) func(context.Context, *config.Config, *slog.Logger) (*Server, error) {
	return func(ctx context.Context, cfg *config.Config, log *slog.Logger) (*Server, error) {
		return launch(ctx, cfg, log, device)
	}
}
