package javakit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ringmq/ringmq/tools/freeport"
)

// KafkaOptions describe a whole Apache Kafka node for side-by-side questions.
type KafkaOptions struct {
	// Dir holds its configuration, data and log. Required; created when missing.
	Dir string
	// HeapMB is its heap. Default 512.
	HeapMB int
	// Properties replace or add to the node's server.properties.
	Properties map[string]string
	// Bootstrap is the host:port of a listener that Properties define. Default: that of a PLAINTEXT listener on a free port.
	Bootstrap string
	// JVM are further options of the virtual machine.
	JVM []string
	// StartTimeout bounds the time from start to the first answer. Default 90 s.
	StartTimeout time.Duration
}

// Kafka is a running Apache Kafka node: broker and controller in one, on free ports of the loopback address.
type Kafka struct {
	Bootstrap string // host:port
	LogFile   string // what the process printed
	process   *process
	log       *os.File
}

// StartKafka formats and starts a node, and returns when it answers. Stop must be called.
func (k *Kit) StartKafka(ctx context.Context, o KafkaOptions) (*Kafka, error) {
	if o.HeapMB == 0 {
		o.HeapMB = 512
	}
	if o.StartTimeout == 0 {
		o.StartTimeout = 90 * time.Second
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("javakit: %w", err)
	}
	// Another process may take a port between our finding it and the node's binding it; then the node ends, and we try again.
	var errs []error
	for range 3 {
		n, err := k.startKafka(ctx, o)
		if err == nil {
			return n, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil || !errors.Is(err, errEnded) {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// errEnded: the node ended before it answered.
var errEnded = errors.New("javakit: Apache Kafka ended while starting")

func (k *Kit) startKafka(ctx context.Context, o KafkaOptions) (*Kafka, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	client, controller := fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1])
	props := map[string]string{
		"process.roles": "broker,controller", "node.id": "1", "controller.listener.names": "CONTROLLER", "inter.broker.listener.name": "PLAINTEXT",
		"listeners":            "PLAINTEXT://" + client + ",CONTROLLER://" + controller,
		"advertised.listeners": "PLAINTEXT://" + client, "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"controller.quorum.voters": "1@" + controller, "log.dirs": filepath.Join(o.Dir, "data"),
		"offsets.topic.replication.factor": "1", "transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1",
		"share.coordinator.state.topic.replication.factor": "1", "share.coordinator.state.topic.min.isr": "1",
		"group.initial.rebalance.delay.ms": "0", "offsets.topic.num.partitions": "5", "transaction.state.log.num.partitions": "5",
	}
	for key, value := range o.Properties {
		props[key] = value
	}
	file := filepath.Join(o.Dir, "server.properties")
	if err := writeProperties(file, props); err != nil {
		return nil, err
	}
	formatted, err := k.Run(ctx, Command{Tool: "kafka-storage", Args: []string{"format", "--ignore-formatted", "-t", "cmluZ21xLWphdmFraXQtMQ", "-c", file}})
	if err != nil {
		return nil, err
	}
	if formatted.ExitCode != 0 {
		return nil, fmt.Errorf("javakit: kafka-storage format: %s", formatted)
	}
	args, err := k.arguments(Command{Tool: "kafka-server-start", Args: []string{file}, HeapMB: o.HeapMB, Steady: true, LogLevel: "WARN",
		JVM: append([]string{"-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"}, o.JVM...)})
	if err != nil {
		return nil, err
	}
	if o.Bootstrap != "" {
		client = o.Bootstrap
	}
	n := &Kafka{Bootstrap: client, LogFile: filepath.Join(o.Dir, "kafka.log")}
	if n.log, err = os.Create(n.LogFile); err != nil {
		return nil, fmt.Errorf("javakit: %w", err)
	}
	if n.process, err = start(k.Java, args, nil, nil, n.log, n.log); err != nil {
		n.log.Close()
		return nil, err
	}
	if err := n.waitReady(ctx, o.StartTimeout); err != nil {
		n.Stop()
		return nil, err
	}
	return n, nil
}

// waitReady returns when the broker answers a metadata request with itself in it.
func (n *Kafka) waitReady(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		cl, err := kgo.NewClient(kgo.SeedBrokers(n.Bootstrap), kgo.RetryTimeout(time.Second))
		if err != nil {
			return fmt.Errorf("javakit: %w", err)
		}
		err = cl.Ping(ctx)
		cl.Close()
		if err == nil {
			return nil
		}
		select {
		case <-n.process.done:
			text, _ := os.ReadFile(n.LogFile)
			return fmt.Errorf("%w: %s", errEnded, tail(string(text), 2000))
		case <-ctx.Done():
			text, _ := os.ReadFile(n.LogFile)
			return fmt.Errorf("javakit: Apache Kafka did not answer within %s: %w: %s", timeout, ctx.Err(), tail(string(text), 2000))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// PID is the process id, for measuring.
func (n *Kafka) PID() int { return n.process.cmd.Process.Pid }

// Stop ends the node, cleanly if it ends within 30 s. It may be called again.
func (n *Kafka) Stop() {
	n.process.stop(30 * time.Second)
	n.log.Close()
}

func writeProperties(path string, props map[string]string) error {
	var lines []string
	for k, v := range props {
		lines = append(lines, k+"="+v)
	}
	slices.Sort(lines)
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		return fmt.Errorf("javakit: %w", err)
	}
	return nil
}

// freePorts returns n different ports.
func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		var err error
		if ports[i], err = freeport.Get(); err != nil {
			return nil, fmt.Errorf("javakit: %w", err)
		}
	}
	return ports, nil
}

func tail(s string, n int) string {
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}
