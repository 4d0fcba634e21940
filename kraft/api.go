package kraft

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Errors that callers of a Controller act on.
var (
	// ErrNotController: this node is not the active controller and does not know who is; try again.
	ErrNotController = errors.New("kraft: no active controller")
	// ErrTimeout: the outcome is unknown: the change may still be applied.
	ErrTimeout = errors.New("kraft: timed out waiting for the quorum")
	// ErrClosed: the node is shutting down.
	ErrClosed = errors.New("kraft: closed")
)

// Controller is the one way in which brokers and tools change metadata: Kafka's own controller requests (CreateTopics, DeleteTopics, CreatePartitions,
// AlterConfigs, IncrementalAlterConfigs, BrokerRegistration, BrokerHeartbeat, AllocateProducerIDs, ...) and the private stream requests of this package.
// A call returns after the change is committed; the caller's image follows (see Node.WaitApplied).
type Controller interface {
	Do(ctx context.Context, req kmsg.Request) (kmsg.Response, error)
}
