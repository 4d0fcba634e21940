package streams

import (
	"slices"

	"github.com/ringmq/ringmq/engine/group/consumer"
)

// Member of a group. Owned by its Group; the fields are read by the coordinator between calls.
type Member struct {
	ID         string
	ClientID   string
	ClientHost string
	Instance   *string // only of records that a later version of Kafka wrote
	Rack       *string

	RebalanceMillis int32
	TopologyEpoch   int32
	Process         string    // members with the same are threads of one process, and share its state
	Endpoint        *Endpoint // where the process answers questions about its state; nil: it does not
	Tags            []Pair    // by key

	Epoch    int32
	Previous int32 // epoch before: the answer that told the present one may have been lost
	State    consumer.State
	Assigned Tasks
	Revoking Tasks // not given up yet

	bytes   int  // memory, as limited by Env.MaxBytes
	reached bool // the member has a current assignment record, or is to have one
}

// Endpoint is a host with a port.
type Endpoint struct {
	Host string
	Port uint16
}

// Reconciled reports whether the member has reached the target assignment of an epoch.
func (m *Member) Reconciled(assignmentEpoch int32) bool {
	return m.State == consumer.Stable && m.Epoch == assignmentEpoch
}

// memberOverhead is the memory of a member beside what it sends: the struct, its places in maps and timers.
const memberOverhead = 1024

func (m *Member) size() int {
	n := memberOverhead + len(m.ID) + len(m.ClientID) + len(m.ClientHost) + len(m.Process)
	if m.Endpoint != nil {
		n += len(m.Endpoint.Host)
	}
	for _, t := range m.Tags {
		n += len(t.Key) + len(t.Value) + 32
	}
	return n
}

// sameMetadata reports whether the metadata records of two states are equal.
func (m *Member) sameMetadata(o *Member) bool {
	return m.ClientID == o.ClientID && m.ClientHost == o.ClientHost && equal(m.Instance, o.Instance) && equal(m.Rack, o.Rack) &&
		m.RebalanceMillis == o.RebalanceMillis && m.TopologyEpoch == o.TopologyEpoch && m.Process == o.Process && equal(m.Endpoint, o.Endpoint) &&
		slices.Equal(m.Tags, o.Tags)
}

func equal[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
