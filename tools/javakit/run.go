package javakit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// mains are the classes behind the names of Kafka's scripts.
var mains = map[string]string{
	"kafka-acls":                       "org.apache.kafka.tools.AclCommand",
	"kafka-broker-api-versions":        "org.apache.kafka.tools.BrokerApiVersionsCommand",
	"kafka-client-metrics":             "org.apache.kafka.tools.ClientMetricsCommand",
	"kafka-cluster":                    "org.apache.kafka.tools.ClusterTool",
	"kafka-configs":                    "kafka.admin.ConfigCommand",
	"kafka-console-consumer":           "org.apache.kafka.tools.consumer.ConsoleConsumer",
	"kafka-console-producer":           "org.apache.kafka.tools.ConsoleProducer",
	"kafka-console-share-consumer":     "org.apache.kafka.tools.consumer.ConsoleShareConsumer",
	"kafka-consumer-groups":            "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
	"kafka-consumer-perf-test":         "org.apache.kafka.tools.ConsumerPerformance",
	"kafka-delete-records":             "org.apache.kafka.tools.DeleteRecordsCommand",
	"kafka-delegation-tokens":          "org.apache.kafka.tools.DelegationTokenCommand",
	"kafka-dump-log":                   "org.apache.kafka.tools.DumpLogSegments",
	"kafka-e2e-latency":                "org.apache.kafka.tools.EndToEndLatency",
	"kafka-features":                   "org.apache.kafka.tools.FeatureCommand",
	"kafka-get-offsets":                "org.apache.kafka.tools.GetOffsetShell",
	"kafka-groups":                     "org.apache.kafka.tools.GroupsCommand",
	"kafka-leader-election":            "org.apache.kafka.tools.LeaderElectionCommand",
	"kafka-log-dirs":                   "org.apache.kafka.tools.LogDirsCommand",
	"kafka-metadata-quorum":            "org.apache.kafka.tools.MetadataQuorumCommand",
	"kafka-producer-perf-test":         "org.apache.kafka.tools.ProducerPerformance",
	"kafka-reassign-partitions":        "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
	"kafka-replica-verification":       "org.apache.kafka.tools.ReplicaVerificationTool",
	"kafka-share-groups":               "org.apache.kafka.tools.consumer.group.ShareGroupCommand",
	"kafka-storage":                    "kafka.tools.StorageTool",
	"kafka-streams-application-reset":  "org.apache.kafka.tools.StreamsResetter",
	"kafka-streams-groups":             "org.apache.kafka.tools.streams.StreamsGroupCommand",
	"kafka-topics":                     "org.apache.kafka.tools.TopicCommand",
	"kafka-transactions":               "org.apache.kafka.tools.TransactionsCommand",
	"kafka-verifiable-consumer":        "org.apache.kafka.tools.VerifiableConsumer",
	"kafka-verifiable-producer":        "org.apache.kafka.tools.VerifiableProducer",
	"kafka-server-start":               "kafka.Kafka",
	"kafka-transactional-copier":       "org.apache.kafka.tools.TransactionalMessageCopier",
	"kafka-share-consumer-performance": "org.apache.kafka.tools.ShareConsumerPerformance",
}

// Tools returns the known names of Kafka's scripts, without .sh, sorted.
func Tools() []string {
	var names []string
	for n := range mains {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Main is the class behind one of Kafka's scripts, with or without .sh.
func Main(tool string) (string, error) {
	class, ok := mains[strings.TrimSuffix(tool, ".sh")]
	if !ok {
		return "", fmt.Errorf("javakit: no tool %q; known: %s", tool, strings.Join(Tools(), ", "))
	}
	return class, nil
}

// Command is one run of a Java program.
type Command struct {
	// Tool is the name of one of Kafka's scripts, with or without .sh. Or Main is a class.
	Tool, Main string
	Args       []string
	Stdin      io.Reader // default: empty
	// Stdout and Stderr receive the output as it comes, besides the Result. Optional.
	Stdout, Stderr io.Writer
	// HeapMB bounds the heap. Default 256.
	HeapMB int
	// Steady lets the compiler optimise fully: for measurements. The default starts faster.
	Steady bool
	// JVM are further options of the virtual machine.
	JVM []string
	// LogLevel of the program's own log. Default WARN.
	LogLevel string
	// Env are further variables of its environment, key=value.
	Env []string
}

// Result is what a program printed and how it ended.
type Result struct {
	Stdout, Stderr string
	ExitCode       int
	Duration       time.Duration
}

// String is for test failures.
func (r Result) String() string {
	return fmt.Sprintf("exit status %d after %s\nstdout:\n%s\nstderr:\n%s", r.ExitCode, r.Duration.Round(time.Millisecond), r.Stdout, r.Stderr)
}

// maxOutput bounds each stream of a Result; the rest is counted, not kept.
const maxOutput = 16 << 20

// Run runs the command to its end. The error is nil whenever the program ran, whatever its exit status; it is not nil when it could not be
// started or the context ended, in which case it was terminated.
func (k *Kit) Run(ctx context.Context, c Command) (Result, error) {
	args, err := k.arguments(c)
	if err != nil {
		return Result{}, err
	}
	var stdout, stderr limited
	p, err := start(k.Java, args, c.Env, c.Stdin, tee(&stdout, c.Stdout), tee(&stderr, c.Stderr))
	if err != nil {
		return Result{}, err
	}
	begun := time.Now()
	err = p.wait(ctx)
	r := Result{Stdout: stdout.String(), Stderr: stderr.String(), ExitCode: p.exitCode(), Duration: time.Since(begun)}
	if err != nil {
		return r, fmt.Errorf("javakit: %s%s: %w", c.Tool, c.Main, err)
	}
	return r, nil
}

// Tool runs one of Kafka's scripts by name.
func (k *Kit) Tool(ctx context.Context, name string, args ...string) (Result, error) {
	return k.Run(ctx, Command{Tool: name, Args: args})
}

func (k *Kit) arguments(c Command) ([]string, error) {
	main := c.Main
	if c.Tool != "" {
		var err error
		if main, err = Main(c.Tool); err != nil {
			return nil, err
		}
	}
	heap := c.HeapMB
	if heap == 0 {
		heap = 256
	}
	level := c.LogLevel
	if level == "" {
		level = "WARN"
	}
	args := []string{"-Xmx" + strconv.Itoa(heap) + "m", "-Xms16m", "-Xss512k", "-XX:-UsePerfData", "-Djava.awt.headless=true",
		"-Dlog4j2.configurationFile=" + k.logConfig, "-Djavakit.level=" + level}
	if !c.Steady {
		args = append(args, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
	}
	args = append(args, c.JVM...)
	args = append(args, "-cp", k.ClassPath, main)
	return append(args, c.Args...), nil
}

// process is a child that dies with this process.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the child has ended
	err  error         // valid after done
}

// start runs the child from a locked thread: the kernel sends the death signal when the thread that started it ends, so that thread
// waits for the child.
func start(path string, args, env []string, stdin io.Reader, stdout, stderr io.Writer) (*process, error) {
	p := &process{cmd: exec.Command(path, args...), done: make(chan struct{})}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = stdin, stdout, stderr
	if len(env) > 0 {
		p.cmd.Env = append(os.Environ(), env...)
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.WaitDelay = 5 * time.Second
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("javakit: %w", err)
	}
	return p, nil
}

// wait returns when the child has ended; when the context ends first, the child is stopped and the context's error returned.
func (p *process) wait(ctx context.Context) error {
	select {
	case <-p.done:
	case <-ctx.Done():
		p.stop(5 * time.Second)
		return ctx.Err()
	}
	var exit *exec.ExitError
	if p.err != nil && !errors.As(p.err, &exit) {
		return p.err
	}
	return nil
}

// stop asks the child to end, and kills it after the grace time.
func (p *process) stop(grace time.Duration) {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(grace):
		p.cmd.Process.Kill()
		<-p.done
	}
}

func (p *process) exitCode() int {
	<-p.done
	return p.cmd.ProcessState.ExitCode()
}

// limited keeps the first maxOutput bytes.
type limited struct {
	b       bytes.Buffer
	dropped int
}

func (l *limited) Write(p []byte) (int, error) {
	keep := min(len(p), maxOutput-l.b.Len())
	l.b.Write(p[:keep])
	l.dropped += len(p) - keep
	return len(p), nil
}

func (l *limited) String() string {
	if l.dropped > 0 {
		return l.b.String() + fmt.Sprintf("\n... %d more bytes", l.dropped)
	}
	return l.b.String()
}

func tee(l *limited, w io.Writer) io.Writer {
	if w == nil {
		return l
	}
	return io.MultiWriter(l, w)
}
