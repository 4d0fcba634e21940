package clients

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ringmq/ringmq/tools/javakit"
)

// TestProtocolMigration: a group under load goes from the classic protocol to the consumer protocol and back while its members consume, as each
// group.consumer.migration.policy has it, with the broker killed between the steps. Every record is taken once.
func TestProtocolMigration(t *testing.T) {
	notShort(t)
	kit := compiledOf(t, javakit.ToolSet, "java/members")
	for name, migrate := range migrations {
		t.Run(name, func(t *testing.T) {
			if name != "bidirectional" {
				wholeOnly(t)
			}
			on := modernNode(t, "group.consumer.migration.policy="+name)
			migrate(newBand(t, kit, on.seed), on)
		})
	}
}

// TestProtocolMigrationOfKafka: the same on Apache Kafka, which is not killed.
func TestProtocolMigrationOfKafka(t *testing.T) {
	wholeOnly(t)
	kit := compiledOf(t, javakit.ToolSet, "java/members")
	for name, migrate := range migrations {
		t.Run(name, func(t *testing.T) {
			on := modernKafka(t, kit, "group.consumer.migration.policy="+name)
			migrate(newBand(t, kit, on.seed), on)
		})
	}
}

const (
	migrant = "migrant" // the topic
	moving  = "moving"  // the group
)

// Members of either protocol. The classic ones know an assignor that gives nothing up for a rebalance, and notice as soon as those of the other protocol.
func (b *band) startOld(name string) {
	b.t.Helper()
	b.start(name, "group.id="+moving, "topics="+migrant, "session.timeout.ms=6000", "heartbeat.interval.ms=300",
		"partition.assignment.strategy=org.apache.kafka.clients.consumer.CooperativeStickyAssignor")
}

func (b *band) startNew(name string) {
	b.t.Helper()
	b.start(name, "group.id="+moving, "topics="+migrant, "group.protocol=consumer")
}

// awaitType waits until the group is of a type.
func (b *band) awaitType(want string) {
	b.t.Helper()
	b.await("the group is "+want, func() error {
		if got := b.groupType(moving); got != want {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
}

var migrations = map[string]func(b *band, on broker){
	"bidirectional": func(b *band, on broker) {
		b.create(6, migrant)
		w := startWriter(b.t, on.seed, migrant)
		b.startOld("old-1")
		b.startOld("old-2")
		b.awaitShares(6, "old-1", "old-2")
		b.awaitType("classic")
		on.fall()
		b.startNew("new-1")
		b.awaitShares(6, "old-1", "old-2", "new-1")
		b.awaitType("consumer")
		on.fall()
		b.awaitProgress()
		b.awaitShares(6, "old-1", "old-2", "new-1")
		b.close("old-1")
		b.startNew("new-2")
		b.awaitShares(6, "old-2", "new-1", "new-2")
		b.close("old-2")
		on.fall()
		b.awaitShares(6, "new-1", "new-2")
		b.awaitProgress()
		b.startOld("old-3")
		b.awaitShares(6, "new-1", "new-2", "old-3")
		b.awaitType("consumer")
		b.close("new-1")
		on.fall()
		b.awaitShares(6, "new-2", "old-3")
		b.close("new-2")
		b.awaitType("classic")
		on.fall()
		b.awaitShares(6, "old-3")
		b.startOld("old-4")
		b.awaitShares(6, "old-3", "old-4")
		b.awaitProgress()
		b.finish(w, moving, migrant)
	},
	"upgrade": func(b *band, on broker) {
		b.create(6, migrant)
		w := startWriter(b.t, on.seed, migrant)
		b.startOld("old-1")
		b.awaitShares(6, "old-1")
		b.startNew("new-1")
		b.awaitShares(6, "old-1", "new-1")
		on.fall()
		b.close("new-1")
		b.awaitType("consumer") // there is no way back while it has members
		if !on.kafka {          // 4.3.1 leaves the last classic member with what it has until somebody else joins
			b.awaitShares(6, "old-1")
			on.fall()
			b.awaitProgress()
		}
		b.close("old-1")
		b.startOld("old-2")
		b.awaitShares(6, "old-2")
		b.awaitType("classic")
		b.awaitProgress()
		b.finish(w, moving, migrant)
	},
	"downgrade": func(b *band, on broker) {
		b.create(6, migrant)
		w := startWriter(b.t, on.seed, migrant)
		b.startOld("old-1")
		b.awaitShares(6, "old-1")
		b.startNew("new-1")
		b.await("the member of the other protocol is refused", func() error {
			if failed := b.ended("new-1", "failed"); !strings.Contains(failed, "GroupIdNotFound") {
				return fmt.Errorf("it said %q and has %v", failed, b.has("new-1"))
			}
			return nil
		})
		b.close("old-1")
		b.startNew("new-2")
		b.awaitShares(6, "new-2")
		b.awaitType("consumer")
		b.startOld("old-2")
		b.awaitShares(6, "new-2", "old-2")
		on.fall()
		b.close("new-2")
		b.awaitType("classic")
		on.fall()
		b.awaitShares(6, "old-2")
		b.awaitProgress()
		b.finish(w, moving, migrant)
	},
}
