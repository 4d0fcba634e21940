// Command workload lets random clients loose on servers that fail, records everything that they see, and has package checker judge it.
//
//	go run ./bench/workload -binary bin/ringmq -nodes 3 -for 2m -seed 7 -history history.jsonl
//	go run ./bench/workload -analyze history.jsonl
//
// Clients send outside of transactions and in them, commit and abort, copy from one topic to another with their offsets in the transaction, and consume with
// an assignment of their own and as a group, all records and committed ones. Meanwhile nodes are killed, paused, and partitions moved between them. An
// anomaly, or a final read that does not come to its end, ends it with status 1. A seed repeats the decisions, not the timing.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/ringmq/ringmq/bench/checker"
)

type options struct {
	binary, dir, history string
	nodes                int
	duration             time.Duration
	seed                 uint64
	quiet                bool // no faults
}

func main() {
	var o options
	var analyze string
	flag.StringVar(&o.binary, "binary", "bin/ringmq", "path of the server")
	flag.StringVar(&o.dir, "dir", "", "directory for the nodes (default: a temporary one)")
	flag.StringVar(&o.history, "history", "", "file for the history (default: history.jsonl in the directory)")
	flag.IntVar(&o.nodes, "nodes", 1, "number of nodes")
	flag.DurationVar(&o.duration, "for", time.Minute, "how long the clients run")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "of all decisions")
	flag.BoolVar(&o.quiet, "quiet", false, "nothing fails")
	flag.StringVar(&analyze, "analyze", "", "judge this history again, and do nothing else")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var report *checker.Report
	var err error
	if analyze != "" {
		report, err = judge(analyze)
	} else {
		fmt.Printf("seed %d\n", o.seed)
		report, err = run(ctx, o)
	}
	if report != nil {
		fmt.Println(report)
	}
	if err == nil && len(report.Anomalies) > 0 {
		err = fmt.Errorf("%d anomalies", len(report.Anomalies))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "workload:", err)
		stop()
		os.Exit(1)
	}
}

func judge(path string) (*checker.Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	ops, err := checker.Read(f)
	if err != nil {
		return nil, err
	}
	return checker.Analyze(ops), nil
}
