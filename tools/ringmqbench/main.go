// Command ringmqbench runs RingMQ and Apache Kafka side by side; package bench/side says what is measured and how.
//
//	make bench                                    short: some minutes
//	make bench-full                               long: hours
//	bin/bench/ringmqbench -profile short -rounds 3 -targets ringmq,kafka -cases probe -out out/
//	bin/bench/ringmqbench -targets ringmq@old=/tmp/ringmq,ringmq@new,ringmq@deep -set ringmq@deep:s3.wal.path='0@file:///mnt/w?iodepth=4'
//
// It writes side.json and side.md into the directory of -out. The servers keep their data below -work while they run: that decides on the
// device that is measured. The programs probe, load and floor must lie beside it.
package main

import (
	"context"
	"debug/buildinfo"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/ringmq/ringmq/bench/proc"
	"github.com/ringmq/ringmq/bench/side"
	"github.com/ringmq/ringmq/tools/javakit"
)

type options struct {
	side.Options
	targets, cases, profile string
	ringmqSet, kafkaSet     list
	set                     list
}

// list is a flag that may be given many times.
type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

func main() {
	var o options
	flag.StringVar(&o.profile, "profile", "short", "how long everything takes: smoke, short, full")
	flag.IntVar(&o.Rounds, "rounds", 2, "how often every target is run")
	flag.StringVar(&o.targets, "targets", "ringmq,ringmq-loop,kafka,kafka-synced", "what to run: "+strings.Join(side.TargetNames(), ", ")+
		"; NAME@LABEL[=BINARY] for one of them beside another of its kind")
	flag.StringVar(&o.cases, "cases", "", "only cases whose names begin with one of these, separated by commas")
	flag.StringVar(&o.Out, "out", "", "directory for the results; default: .run/bench/<time>")
	flag.StringVar(&o.Work, "work", ".run/bench/work", "directory for the servers' data")
	flag.StringVar(&o.MinIODir, "minio-dir", "", "directory for MinIO's data, for example on a device of its own; default: in -work, on the device of the write-ahead log")
	flag.StringVar(&o.Binary, "binary", "bin/ringmq", "the RingMQ binary")
	flag.Var(&o.ringmqSet, "ringmq-set", "key=value for RingMQ, may be repeated")
	flag.Var(&o.kafkaSet, "kafka-set", "key=value for Kafka, may be repeated")
	flag.Var(&o.set, "set", "TARGET:key=value for one target, may be repeated")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "ringmqbench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	var ok bool
	if o.Profile, ok = side.Profiles[o.profile]; !ok {
		return fmt.Errorf("-profile %q; allowed smoke, short, full", o.profile)
	}
	o.Cases = split(o.cases)
	o.Targets, o.Binaries = side.ParseTargets(o.targets)
	if o.Out == "" {
		o.Out = filepath.Join(".run", "bench", time.Now().UTC().Format("20060102-150405"))
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	o.Tools = filepath.Dir(self)
	// Servers run elsewhere and put paths into their settings.
	for _, p := range []*string{&o.Work, &o.Out, &o.Binary} {
		if *p, err = filepath.Abs(*p); err != nil {
			return err
		}
	}
	for t, b := range o.Binaries {
		if o.Binaries[t], err = filepath.Abs(b); err != nil {
			return err
		}
	}
	if o.Settings, err = o.settings(); err != nil {
		return err
	}
	kit, err := javakit.Open(ctx)
	if err != nil {
		return err
	}
	o.Java, o.ClassPath = kit.Java, kit.ClassPath
	o.Tool = func(ctx context.Context, name string, args ...string) (string, error) {
		return tool(ctx, kit, name, args)
	}
	o.Versions = versions(ctx, o.Binary, kit)
	for t, b := range o.Binaries {
		o.Versions[t] = commit(ctx, b)
	}
	o.Progress = os.Stdout
	if _, err := side.Run(ctx, o.Options); err != nil {
		return err
	}
	table, err := os.ReadFile(filepath.Join(o.Out, "side.md"))
	if err != nil {
		return err
	}
	fmt.Printf("\n%s\nwritten to %s\n", table, o.Out)
	return nil
}

// settings are those of kinds of servers, and of single targets.
func (o options) settings() (map[string][]string, error) {
	all := map[string][]string{"ringmq": o.ringmqSet, "kafka": o.kafkaSet}
	for _, s := range o.set {
		target, setting, ok := strings.Cut(s, ":")
		if !ok || !strings.Contains(setting, "=") || target == "" {
			return nil, fmt.Errorf("-set %q is not TARGET:key=value", s)
		}
		all[target] = append(all[target], setting)
	}
	return all, nil
}

func split(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

// tool runs one of Kafka's scripts with the options of the virtual machine that the script has.
func tool(ctx context.Context, kit *javakit.Kit, name string, args []string) (string, error) {
	r, err := kit.Run(ctx, javakit.Command{Tool: name, Args: args, Steady: true, HeapMB: 512, LogLevel: "ERROR",
		JVM: append([]string{"-Duser.language=en", "-Duser.country=US"}, proc.JVMOptions...)})
	if err != nil {
		return r.Stdout, err
	}
	if r.ExitCode != 0 {
		return r.Stdout, fmt.Errorf("%s: %s", name, r)
	}
	return r.Stdout, nil
}

func versions(ctx context.Context, binary string, kit *javakit.Kit) map[string]string {
	v := map[string]string{"Apache Kafka and its tools": javakit.KafkaVersion, "RingMQ": commit(ctx, binary)}
	note := func(key, name string, args ...string) {
		out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
		if err != nil {
			v[key] = "unknown: " + err.Error()
			return
		}
		line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		v[key] = line
	}
	note("Java", kit.Java, "-version")
	if minio := os.Getenv("RINGMQ_MINIO"); minio != "" {
		note("MinIO", minio, "--version")
	}
	return v
}

// commit says from what a binary was built: what the build noted, else the commit that is checked out here.
func commit(ctx context.Context, binary string) string {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return "unknown: " + err.Error()
	}
	setting := map[string]string{}
	for _, s := range info.Settings {
		setting[s.Key] = s.Value
	}
	revision, modified := setting["vcs.revision"], setting["vcs.modified"] == "true"
	if revision == "" {
		head, err := exec.CommandContext(ctx, "git", "rev-parse", "HEAD").Output()
		if err != nil {
			return "unknown commit, built with " + info.GoVersion
		}
		changes, err := exec.CommandContext(ctx, "git", "status", "--porcelain", "--untracked-files=no").Output()
		revision, modified = strings.TrimSpace(string(head)), err != nil || len(changes) > 0
	}
	if modified {
		revision += " with changes that are not committed"
	}
	return "commit " + revision + ", built with " + info.GoVersion
}
