package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ringmq/ringmq/tools/freeport"
)

// Kafka is an Apache Kafka node, broker and controller in one, as a process with the options of its own start script. Launch, Stop and
// Launch again keep ports and data.
type Kafka struct {
	Java, ClassPath string // the virtual machine, and Kafka's archives
	Dir             string // holds everything of the node
	HeapMB          int    // default 1024, as kafka-server-start.sh has it
	// Properties replace or add to server.properties.
	Properties map[string]string

	port, controllerPort int
	*Process
}

// Seed is the address for clients.
func (k *Kafka) Seed() string { return fmt.Sprintf("127.0.0.1:%d", k.port) }

// JVMOptions are what Kafka's scripts give the virtual machine.
var JVMOptions = []string{"-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
	"-XX:+ExplicitGCInvokesConcurrent", "-XX:MaxInlineLevel=15", "-Djava.awt.headless=true"}

// Format writes the configuration and formats the storage.
func (k *Kafka) Format(ctx context.Context) (err error) {
	if k.port, err = freeport.Get(); err != nil {
		return err
	}
	if k.controllerPort, err = freeport.Get(); err != nil {
		return err
	}
	if err := os.MkdirAll(k.Dir, 0o755); err != nil {
		return fmt.Errorf("proc: %w", err)
	}
	if err := os.WriteFile(k.file("log4j2.properties"), []byte(kafkaLog), 0o644); err != nil {
		return fmt.Errorf("proc: %w", err)
	}
	client, controller := k.Seed(), fmt.Sprintf("127.0.0.1:%d", k.controllerPort)
	props := map[string]string{
		"process.roles": "broker,controller", "node.id": "1", "controller.listener.names": "CONTROLLER", "inter.broker.listener.name": "PLAINTEXT",
		"listeners":            "PLAINTEXT://" + client + ",CONTROLLER://" + controller,
		"advertised.listeners": "PLAINTEXT://" + client, "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"controller.quorum.voters": "1@" + controller, "log.dirs": k.file("data"),
		"offsets.topic.replication.factor": "1", "transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1",
	}
	for key, value := range k.Properties {
		props[key] = value
	}
	var lines []string
	for key, value := range props {
		lines = append(lines, key+"="+value)
	}
	slices.Sort(lines)
	if err := os.WriteFile(k.file("server.properties"), []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		return fmt.Errorf("proc: %w", err)
	}
	cmd := exec.CommandContext(ctx, k.Java, k.arguments(256, "kafka.tools.StorageTool", "format", "-t", "cmluZ21xLXNpZGUtYnktMQ", "-c", k.file("server.properties"))...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("proc: format Kafka's storage: %w: %s", err, bytes.TrimSpace(out.Bytes()))
	}
	return nil
}

// Launch starts the process and does not wait.
//
// REQUIRES: Format.
func (k *Kafka) Launch() error {
	heap := k.HeapMB
	if heap == 0 {
		heap = 1024
	}
	p, err := Start("kafka", k.file("server.log"), exec.Command(k.Java, k.arguments(heap, "kafka.Kafka", k.file("server.properties"))...))
	if err != nil {
		return err
	}
	k.Process = p
	return nil
}

// Stop is Process.Stop; a virtual machine that ended in good order after SIGTERM exits with 143.
func (k *Kafka) Stop(ctx context.Context) error {
	err := k.Process.Stop(ctx)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 143 {
		return nil
	}
	return err
}

func (k *Kafka) file(name string) string { return filepath.Join(k.Dir, name) }

func (k *Kafka) arguments(heap int, main string, args ...string) []string {
	size := strconv.Itoa(heap) + "M"
	out := append([]string{"-Xmx" + size, "-Xms" + size}, JVMOptions...)
	out = append(out, "-Dlog4j2.configurationFile="+k.file("log4j2.properties"), "-cp", k.ClassPath, main)
	return append(out, args...)
}

const kafkaLog = `status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = [%d] %p %m (%c)%n
rootLogger.level = WARN
rootLogger.appenderRef.out.ref = out
`
