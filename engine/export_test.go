package engine

import (
	"context"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/acl"
	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/wal"
)

// LaunchOn returns a Launch whose write-ahead log lies on device.
func LaunchOn(device wal.Device) func(context.Context, *config.Config, *slog.Logger) (*Server, error) {
	return func(ctx context.Context, cfg *config.Config, log *slog.Logger) (*Server, error) {
		return launch(ctx, cfg, log, device)
	}
}

// ServedAPIs are the keys of the APIs that a broker serves.
func ServedAPIs() []int16 {
	var keys []int16
	for _, a := range newAPITable() {
		if a != nil {
			keys = append(keys, a.key)
		}
	}
	return keys
}

// Allows says whether the authorizer allows an operation.
func (b *Broker) Allows(principal string, op kmsg.ACLOperation, kind kmsg.ACLResourceType, name string) bool {
	return b.authorizer.Allowed(acl.Subject{Principal: principal, Host: "127.0.0.1"}, op, kind, name)
}

// HasQuotas says whether quotas count.
func (b *Broker) HasQuotas() bool { return b.quotas.Table() != nil }
