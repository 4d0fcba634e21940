package image

import "github.com/ringmq/ringmq/kraft/record"

// Delta says what differs between two images.
type Delta struct {
	// Full: anything may differ (first call of a subscriber, a snapshot, or a subscriber that fell far behind);
	// the lists are empty and the images have to be compared.
	Full bool

	Created    []*Topic                // topics that are new, as they were when created
	Deleted    []*Topic                // topics that are gone, as they were when deleted
	Partitions []PartitionRef          // partitions that are new or changed
	Brokers    []int32                 // brokers registered, fenced, unfenced, told to drain or not, or unregistered
	Configs    []record.ConfigResource // resources whose keys changed
	Streams    []record.StreamID       // streams opened, closed or trimmed (not: extended by a commit)
	Destroyed  int                     // number of objects that became destroyed
}

// PartitionRef names a partition of a topic.
type PartitionRef struct {
	Topic     record.TopicID
	Partition int32
}

// Empty says that nothing a subscriber could be interested in differs.
func (d *Delta) Empty() bool {
	return !d.Full && len(d.Created) == 0 && len(d.Deleted) == 0 && len(d.Partitions) == 0 && len(d.Brokers) == 0 &&
		len(d.Configs) == 0 && len(d.Streams) == 0 && d.Destroyed == 0
}

// maxDelta bounds the items that a merged delta carries; beyond it a delta becomes Full.
const maxDelta = 1 << 20

// Merge adds a later delta to d.
func (d *Delta) Merge(later *Delta) {
	n := d.items() + later.items()
	if d.Full || later.Full || n > maxDelta {
		*d = Delta{Full: true}
		return
	}
	d.Created = append(d.Created, later.Created...)
	d.Deleted = append(d.Deleted, later.Deleted...)
	d.Partitions = append(d.Partitions, later.Partitions...)
	d.Brokers = append(d.Brokers, later.Brokers...)
	d.Configs = append(d.Configs, later.Configs...)
	d.Streams = append(d.Streams, later.Streams...)
	d.Destroyed += later.Destroyed
}

func (d *Delta) items() int {
	return len(d.Created) + len(d.Deleted) + len(d.Partitions) + len(d.Brokers) + len(d.Configs) + len(d.Streams)
}
