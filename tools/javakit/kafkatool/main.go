// Command kafkatool runs Kafka's own command line tools and brokers without a Kafka distribution:
//
//	kafkatool resolve                                       fetch the Java artifacts, once
//	kafkatool kafka-topics --bootstrap-server :9092 --list   any of Kafka's scripts, with or without .sh
//	kafkatool broker DIR [key=value]...                      a whole Apache Kafka node with its data in DIR, until interrupted
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/ringmq/ringmq/tools/javakit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	code, err := run(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "kafkatool:", err)
	}
	os.Exit(code)
}

func run(ctx context.Context, args []string) (int, error) {
	if len(args) == 0 {
		return 2, fmt.Errorf("no tool given; allowed: resolve, broker, %s", strings.Join(javakit.Tools(), ", "))
	}
	kit, err := javakit.Open(ctx)
	if err != nil {
		return 1, err
	}
	switch args[0] {
	case "resolve":
		if _, err := javakit.OpenSet(ctx, javakit.AppSet); err != nil {
			return 1, err
		}
		return 0, nil
	case "broker":
		return broker(ctx, kit, args[1:])
	}
	steady := strings.Contains(args[0], "perf-test") || strings.Contains(args[0], "latency")
	heap := 256
	if steady {
		heap = 512
	}
	r, err := kit.Run(ctx, javakit.Command{Tool: args[0], Args: args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Steady: steady, HeapMB: heap})
	if err != nil {
		return 1, err
	}
	return r.ExitCode, nil
}

func broker(ctx context.Context, kit *javakit.Kit, args []string) (int, error) {
	if len(args) == 0 {
		return 2, fmt.Errorf("broker: no directory given")
	}
	props := map[string]string{}
	for _, a := range args[1:] {
		key, value, ok := strings.Cut(a, "=")
		if !ok {
			return 2, fmt.Errorf("broker: %q is not key=value", a)
		}
		props[key] = value
	}
	n, err := kit.StartKafka(ctx, javakit.KafkaOptions{Dir: args[0], Properties: props, HeapMB: 1024})
	if err != nil {
		return 1, err
	}
	fmt.Printf("Apache Kafka %s: bootstrap %s, process %d, log %s\n", javakit.KafkaVersion, n.Bootstrap, n.PID(), n.LogFile)
	<-ctx.Done()
	n.Stop()
	return 0, nil
}
