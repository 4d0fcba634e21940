package javakit

import (
	"archive/zip"
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestApacheKafka: a whole node is formatted, started, written to with franz-go, read with Kafka's own console consumer, and stopped.
func TestApacheKafka(t *testing.T) {
	kit := ForTest(t)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	n, err := kit.StartKafka(ctx, KafkaOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Stop()
	cl, err := kgo.NewClient(kgo.SeedBrokers(n.Bootstrap), kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(20))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for _, v := range []string{"one", "two", "three"} {
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "t", Value: []byte(v)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	r, err := kit.Tool(ctx, "kafka-console-consumer.sh", "--bootstrap-server", n.Bootstrap, "--topic", "t", "--from-beginning", "--max-messages", "3", "--timeout-ms", "30000")
	if err != nil || r.ExitCode != 0 || r.Stdout != "one\ntwo\nthree\n" {
		t.Fatalf("console consumer: %v %s", err, r)
	}
	pid := n.PID()
	n.Stop()
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d after Stop: %v", pid, err)
	}
}

func TestToolExitAndStdin(t *testing.T) {
	kit := ForTest(t)
	r, err := kit.Tool(t.Context(), "kafka-topics", "--no-such-option")
	if err != nil || r.ExitCode == 0 || !strings.Contains(r.Stdout+r.Stderr, "no-such-option") {
		t.Errorf("%v %s", err, r)
	}
	if _, err := kit.Tool(t.Context(), "kafka-frobnicate"); err == nil || !strings.Contains(err.Error(), "kafka-topics") {
		t.Errorf("unknown tool: %v", err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	kit := ForTest(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	// Nobody listens there: the tool would try for a minute.
	_, err := kit.Tool(ctx, "kafka-topics", "--bootstrap-server", "127.0.0.1:1", "--list")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestMissingJava(t *testing.T) {
	t.Setenv("JAVA_HOME", t.TempDir())
	if _, err := Open(t.Context()); !errors.Is(err, ErrNoJava) {
		t.Errorf("got %v", err)
	}
	t.Setenv("JAVA_HOME", "")
	t.Setenv("PATH", t.TempDir())
	if _, err := Open(t.Context()); !errors.Is(err, ErrNoJava) {
		t.Errorf("got %v", err)
	}
}

// TestMissingMaven: without Maven and without a cached class path the error says what to install.
func TestMissingMaven(t *testing.T) {
	java, err := findJava(t.Context())
	if err != nil {
		t.Skipf("SKIPPED: the message about missing Maven; it needs Java: %v", err)
	}
	bin := t.TempDir()
	if err := os.Symlink(java, bin+"/java"); err != nil {
		t.Fatal(err)
	}
	t.Setenv("JAVA_HOME", "")
	t.Setenv("PATH", bin)
	t.Setenv("RINGMQ_CACHE", t.TempDir())
	if _, err := Open(t.Context()); !errors.Is(err, ErrNoMaven) || !strings.Contains(err.Error(), "install Maven") {
		t.Errorf("got %v", err)
	}
}

// TestMainsExist: every tool's class is on the class path.
func TestMainsExist(t *testing.T) {
	kit := ForTest(t)
	classes := map[string]bool{}
	for jar := range strings.SplitSeq(kit.ClassPath, ":") {
		z, err := zip.OpenReader(jar)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range z.File {
			classes[f.Name] = true
		}
		z.Close()
	}
	for tool, class := range mains {
		if !classes[strings.ReplaceAll(class, ".", "/")+".class"] {
			t.Errorf("%s: no class %s", tool, class)
		}
	}
}
