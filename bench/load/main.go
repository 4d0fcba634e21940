// Command load drives a Kafka-protocol broker in an open loop and prints produce and end-to-end latency in microseconds; package loadgen
// says how. It understands the flags of automq-perf-test.sh that make sense here.
//
//	go run ./bench/load -B 127.0.0.1:9092 --send-rate 5000 --test-duration 30s            latency at a rate
//	go run ./bench/load -B 127.0.0.1:9092 --send-throughput 50 --producer-configs batch.size=131072 linger.ms=1
//	go run ./bench/load -B 127.0.0.1:9092 --send-rate 0 --groups-per-topic -1              maximum produce throughput
//	go run ./bench/load -B 127.0.0.1:9092 --send-rate 20000 --backlog-duration 60          catch-up reading
//	go run ./bench/load -B 127.0.0.1:9092 --format kafka                                   for scripts that read Kafka's perf tools
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/ringmq/ringmq/bench/loadgen"
	"github.com/ringmq/ringmq/bench/wire"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// extra are the flags that are not options of loadgen.
type extra struct {
	topicConfigs, producerConfigs, consumerConfigs []string
	throughput                                     float64
	json                                           bool
	format                                         string
	jsonFile, hdr                                  string
	quiet, reset                                   bool
}

func command() *cobra.Command {
	// The flags' defaults are automq-perf-test.sh's, but for the times, which are short here.
	o := loadgen.Options{Bootstrap: "localhost:9092", Client: "raw", Rate: 1000, Topics: 1, Partitions: 1, Groups: 1, Consumers: 1, Producers: 1, RecordBytes: 1024,
		RandomRatio: 1, Warmup: 2 * time.Second, Duration: 10 * time.Second, Interval: time.Second, Drain: 30 * time.Second}
	var x extra
	cmd := &cobra.Command{Use: "load", Short: "Drive a Kafka-protocol broker and measure latency", Args: cobra.NoArgs, SilenceErrors: true, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, rest []string) error {
			if err := apply(&o, x); err != nil {
				return err
			}
			return run(cmd.Context(), o, x, cmd.OutOrStdout())
		}}
	f := cmd.Flags()
	f.StringVarP(&o.Bootstrap, "bootstrap-server", "B", o.Bootstrap, "broker, host:port")
	f.StringVar(&o.Client, "client", o.Client, "raw: own requests over plain sockets; kgo: franz-go")
	f.StringVarP(&o.TopicPrefix, "topic-prefix", "X", "", "prefix of the topics' names; default: new ones")
	f.IntVarP(&o.Topics, "topics", "t", o.Topics, "topics")
	f.IntVarP(&o.Partitions, "partitions-per-topic", "n", o.Partitions, "partitions of each topic")
	f.IntVarP(&o.Producers, "producers-per-topic", "p", o.Producers, "producers of each topic")
	f.IntVarP(&o.Groups, "groups-per-topic", "g", o.Groups, "consumer groups of each topic; -1: none")
	f.IntVarP(&o.Consumers, "consumers-per-group", "c", o.Consumers, "consumers of each group")
	f.IntVarP(&o.RecordBytes, "record-size", "s", o.RecordBytes, "bytes of a record's value, at least 24")
	f.Float64VarP(&o.RandomRatio, "random-ratio", "R", o.RandomRatio, "part of a value that does not compress, 0 to 1")
	f.IntVarP(&o.PoolSize, "random-pool-size", "S", 0, "different values of each producer; 0: 256, at most 4 MiB of them")
	f.Float64VarP(&o.Rate, "send-rate", "r", o.Rate, "records a second over everything; 0: as fast as it goes")
	f.Float64VarP(&x.throughput, "send-throughput", "f", 0, "the rate in MB (MiB) a second instead")
	f.Float64VarP(&o.CatchupRate, "send-rate-during-catchup", "a", 0, "records a second while consumers catch up; default: the same; -1: none")
	f.VarP(&amount{&o.Backlog, time.Second}, "backlog-duration", "b", "time to produce before consumers start, seconds or with a unit; 0: no backlog")
	f.VarP(&amount{&o.GroupStartDelay, time.Second}, "group-start-delay", "G", "time between the starts of groups after a backlog, seconds or with a unit")
	f.VarP(&amount{&o.Warmup, time.Minute}, "warmup-duration", "w", "time before it counts, minutes or with a unit")
	f.VarP(&amount{&o.Duration, time.Minute}, "test-duration", "d", "measured time, minutes or with a unit; after a backlog: the most to wait for consumers")
	f.VarP(&amount{&o.Interval, time.Second}, "reporting-interval", "i", "time between lines of progress, seconds or with a unit")
	f.Var(&amount{&o.Drain, time.Second}, "drain", "how long to wait for what is outstanding in the end, seconds or with a unit")
	f.StringSliceVarP(&x.topicConfigs, "topic-configs", "T", nil, "key=value for new topics")
	f.StringSliceVarP(&x.producerConfigs, "producer-configs", "P", nil, "key=value: acks, batch.size, linger.ms, max.in.flight.requests.per.connection, compression.type")
	f.StringSliceVarP(&x.consumerConfigs, "consumer-configs", "C", nil, "key=value: fetch.min.bytes, fetch.max.bytes, fetch.max.wait.ms, max.partition.fetch.bytes")
	f.BoolVar(&x.reset, "reset", false, "delete the topics of --topic-prefix first")
	f.String("await-topic-ready", "true", "accepted: topics are always waited for")
	f.Bool("reuse-topics", false, "accepted: topics that exist are always used as they are")
	f.BoolVar(&x.json, "json", false, "print JSON; the same as --format json")
	f.StringVar(&x.format, "format", "text", "text; json; kafka: the lines of kafka-producer-perf-test and kafka-consumer-perf-test; automq: the columns of automq-perf-test.sh")
	f.StringVar(&x.jsonFile, "json-file", "", "write JSON to this file too")
	f.StringVar(&x.hdr, "hdr", "", "NAME.hgrm or NAME.hlog: write the distributions to NAME-produce and NAME-e2e in that format of HdrHistogram")
	f.BoolVar(&x.quiet, "quiet", false, "no progress")
	return cmd
}

func run(ctx context.Context, o loadgen.Options, x extra, stdout io.Writer) error {
	format, other := loadgen.Formats[x.format]
	if !other && x.format != "text" && x.format != "json" {
		return fmt.Errorf("--format %s; allowed text, json, kafka, automq", x.format)
	}
	if !x.quiet {
		o.Progress = os.Stderr
		if other && !x.json { // as those tools have it
			o.Progress, o.ProgressLine = stdout, format.Line
		}
	}
	if x.reset {
		if o.TopicPrefix == "" {
			return fmt.Errorf("--reset needs --topic-prefix")
		}
		for i := range o.Topics {
			if err := wire.DeleteTopic(ctx, o.Bootstrap, fmt.Sprintf("%s-%d", o.TopicPrefix, i)); err != nil {
				return err
			}
		}
	}
	report, err := loadgen.Run(ctx, o)
	if err != nil {
		return explain(o, err)
	}
	if x.hdr != "" {
		dot := strings.LastIndexByte(x.hdr, '.')
		if dot < 0 {
			return fmt.Errorf("--hdr %s: allowed NAME.hgrm, NAME.hlog", x.hdr)
		}
		if err := report.WriteHistograms(x.hdr[:dot], x.hdr[dot+1:]); err != nil {
			return err
		}
	}
	if x.jsonFile != "" {
		b, err := json.MarshalIndent(report, "", " ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(x.jsonFile, append(b, '\n'), 0o644); err != nil {
			return err
		}
	}
	switch {
	case x.json || x.format == "json":
		err = json.NewEncoder(stdout).Encode(report)
	case other:
		report.PrintAs(format, stdout, os.Stderr)
	default:
		report.Print(stdout)
	}
	if err == nil && report.Missing > 0 {
		err = fmt.Errorf("%d acknowledged records were not consumed", report.Missing)
	}
	return err
}

// explain says of an error after which other clients would have gone on that this one does not, so that nobody takes it for the end of the broker.
func explain(o loadgen.Options, err error) error {
	if o.Client == "raw" && kerr.IsRetriable(err) {
		return fmt.Errorf("%w (the raw client retries nothing; --client kgo does)", err)
	}
	return err
}
