package e2e

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/ringmq/ringmq/tools/javakit"
	"github.com/ringmq/ringmq/tools/waittest"
)

// TestCompactedTopicTools: Kafka's tools make a compacted topic, write it and read what compaction leaves, on each store; it is the same after kill -9.
func TestCompactedTopicTools(t *testing.T) {
	kit := javakit.ForTest(t)
	kcat, err := exec.LookPath("kcat")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("SKIPPED: compacted topics with kcat, which is missing: %v", err)
	}
	for _, store := range stores {
		t.Run(store.name, func(t *testing.T) {
			dir := t.TempDir()
			n := startNode(t, dir, append(store.start(t, dir), "s3.wal.upload.interval.ms=100", "log.cleaner.backoff.ms=100"))
			k := tools{t, kit, n.Seed()}
			k.run("kafka-topics", "", []string{"--create", "--topic", "c", "--config", "cleanup.policy=compact", "--config", "segment.ms=100", "--config", "min.cleanable.dirty.ratio=0.01"}, "Created topic c.")
			k.run("kafka-topics", "", []string{"--describe", "--topic", "c"}, "cleanup.policy=compact")
			keyed := []string{"--topic", "c", "--reader-property", "parse.key=true", "--reader-property", "key.separator=:", "--command-property", "acks=all"}
			k.run("kafka-console-producer", "a:1\nb:1\na:2\nc:1\n", keyed)
			k.run("kafka-console-producer", "a:3\nb:2\nd:1\n", keyed)
			read := func() string {
				out, err := exec.CommandContext(t.Context(), kcat, "-b", n.Seed(), "-C", "-t", "c", "-o", "beginning", "-e", "-q", "-f", `%o %k=%s\n`).Output()
				if err != nil {
					t.Fatalf("kcat: %v", err)
				}
				return string(out)
			}
			const want = "3 c=1\n4 a=3\n5 b=2\n6 d=1\n"
			waittest.Until(t, time.Minute, "the topic is compacted", func() bool { return read() == want })
			n.Kill()
			restart(t, n)
			if got := read(); got != want {
				t.Fatalf("after kill -9: %q, want %q", got, want)
			}
			k.run("kafka-console-consumer", "", []string{"--topic", "c", "--from-beginning", "--max-messages", "4", "--timeout-ms", "60000"}, "1\n3\n2\n1\n")
			k.run("kafka-get-offsets", "", []string{"--topic", "c"}, "c:0:7")
		})
	}
}
