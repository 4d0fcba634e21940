package engine

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ringmq/ringmq/engine/kproto"
)

// API.md is made of the table of served APIs (apis.go), of what Kafka 4.3 serves (kproto.APIs) and of the notes here; TestAPIPage fails when it differs, and
// writes it anew with -update.

// apiNotes say what is deliberately different from Kafka 4.3, by key: in what an API does, or why it is not served, or not in every version.
var apiNotes = map[int16]string{
	kproto.KeyProduce:                     "acks=1 is as strong as acks=all; min.insync.replicas never refuses.",
	kproto.KeyFetch:                       "Whole batches only, 8 MiB at most beside larger single batches; the leader serves, whatever the rack.",
	kproto.KeyMetadata:                    "A topic created on demand is waited for and answered at once.",
	kproto.KeyCreateTopics:                "A replication factor above the number of brokers is accepted, and reported as it is.",
	kproto.KeyInitProducerId:              "Version 6, of two-phase commits, is not released in Kafka 4.3 either: it does not advertise it.",
	kproto.KeyAlterReplicaLogDirs:         "Partitions lie in the object store: nothing moves.",
	kproto.KeyDescribeLogDirs:             "One directory, the first of log.dirs.",
	kproto.KeyAlterPartitionReassignments: "A reassignment names one broker, which leads at once; a fenced broker cannot be the target.",
	kproto.KeyAlterClientQuotas:           "Addresses are literal: names are not looked up. A kind of entity that is named twice is refused.",
	kproto.KeyAddRaftVoter:                "Always waits until the voter has caught up and the change is committed.",
	kproto.KeyRemoveRaftVoter:             "A voter that leads hands its leadership over first.",
	kproto.KeyGetTelemetrySubscriptions:   "Served when there is a metrics page to show what clients push. After a refused push a client may ask at once.",
	kproto.KeyPushTelemetry:               "Served when there is a metrics page to show what clients push; numbers are kept, histograms are not.",
	kproto.KeyListConfigResources:         "Groups are listed when something is configured for them.",
	kproto.KeyUpdateFeatures:              "metadata.version and kraft.version, of the format of Kafka's metadata log, are not known.",
	kproto.KeyShareFetch:                  "Whole batches only, 8 MiB at most beside larger single batches.",
	kproto.KeyStreamsGroupHeartbeat:       "A topology whose copartition groups name topics that it does not have, or with a subtopology twice, is STREAMS_INVALID_TOPOLOGY, where Kafka answers UNKNOWN_SERVER_ERROR.",
}

// apiPage is the text of API.md.
func apiPage() string {
	var b strings.Builder
	b.WriteString(`# APIs

What a broker's listeners serve, beside what Kafka 4.3 serves there. Made from the tables of the program by
` + "`go test ./engine -run TestAPIPage -update`" + `; a test fails when it is not up to date.

| key | name | here | Kafka 4.3 | different |
|----:|------|------|-----------|-----------|
`)
	table := newAPITable()
	kproto.APIs(func(k *kproto.API) bool {
		own := table.byKey(k.Key)
		there := k.Listeners&kproto.BrokerListener != 0
		if own == nil && !there {
			return true
		}
		here, kafka := "—", "—"
		if own != nil {
			here = versions(own.min, own.max)
		}
		if there {
			low := k.Min
			if k.Key == kproto.KeyProduce {
				low = kproto.ProduceMinServed
			}
			kafka = versions(low, k.Max)
		}
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %s |\n", k.Key, k.Name, here, kafka, apiNotes[k.Key])
		return true
	})
	return b.String()
}

func versions(low, high int16) string {
	if low == high {
		return fmt.Sprint(low)
	}
	return fmt.Sprintf("%d–%d", low, high)
}

var update = flag.Bool("update", false, "write generated pages anew")

// TestAPIPage: API.md says what the program does, and every difference from Kafka in what is served has its reason there.
func TestAPIPage(t *testing.T) {
	want := apiPage()
	if *update {
		if err := os.WriteFile("API.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile("API.md"); err != nil || string(have) != want {
		t.Errorf("API.md is not what the tables say (%v): go test ./engine -run TestAPIPage -update", err)
	}
	table := newAPITable()
	kproto.APIs(func(k *kproto.API) bool {
		own := table.byKey(k.Key)
		there := k.Listeners&kproto.BrokerListener != 0
		low := k.Min
		if k.Key == kproto.KeyProduce {
			low = kproto.ProduceMinServed
		}
		same := own != nil && there && own.min == low && own.max == k.Max
		if (own != nil || there) && !same && apiNotes[k.Key] == "" {
			t.Errorf("%s is not served as by Kafka, and apiNotes does not say why", k.Name)
		}
		if own != nil && strings.HasPrefix(apiNotes[k.Key], "Not served") {
			t.Errorf("%s is served, and apiNotes says that it is not", k.Name)
		}
		if own != nil && own.name != k.Name {
			t.Errorf("key %d is called %s here, %s there", k.Key, own.name, k.Name)
		}
		return true
	})
}
