package side

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Options of a Runner.
type Options struct {
	// Out is the directory for side.json and side.md. Work is where the servers keep their data while they run: it decides on the device.
	Out, Work string
	// MinIODir is where MinIO keeps its data; empty: in Work, on the device of the write-ahead log.
	MinIODir string
	Rounds   int
	// Targets are names of known targets or of their variants, KIND@LABEL, in the order of the table's columns.
	Targets []string
	// Cases restricts to cases whose name begins with one of these; empty: all of the profile.
	Cases   []string
	Profile Profile
	// Binary is bin/ringmq, Tools the directory with the programs probe, load and floor.
	Binary, Tools string
	// Binaries are of targets that have another one than Binary, by name.
	Binaries map[string]string
	// Java, ClassPath and Tool come from whoever knows where Kafka's archives are. Tool runs one of Kafka's scripts and returns what it
	// printed; a script that fails is an error.
	Java, ClassPath string
	Tool            func(ctx context.Context, name string, args ...string) (stdout string, err error)
	// Settings are further settings of the servers, key=value, by kind of server ("ringmq", "kafka") or by name of a target. They are shown in
	// the output.
	Settings map[string][]string
	// Versions is shown in the output.
	Versions map[string]string
	Progress io.Writer
}

// Profile says how long everything takes. The fields are the same for all targets.
type Profile struct {
	Name          string        `json:"name"`
	IdleFor       time.Duration `json:"idle_for_ns"`
	FloorFor      time.Duration `json:"floor_for_ns"`
	Warmup        time.Duration `json:"warmup_ns"`
	ProbeFor      time.Duration `json:"probe_for_ns"`
	Java5kRecords int           `json:"java_5k_records"`
	JavaRecords   int           `json:"java_records"`       // unlimited, default settings
	BatchRecords  int           `json:"java_batch_records"` // unlimited, large batches; read back by the consumer
	E2ERecords    int           `json:"java_e2e_records"`
	LoadFor       time.Duration `json:"load_for_ns"`
	LoadMB        float64       `json:"load_mb_per_second"`
	SweepMB       []float64     `json:"sweep_mb_per_second,omitempty"`
	SweepFor      time.Duration `json:"sweep_for_ns,omitempty"`
	Cold          bool          `json:"cold"`       // read once more after a restart with cold caches
	SettleMin     time.Duration `json:"settle_min"` // how long to watch a server after a throughput case for work that it put off
	SettleMax     time.Duration `json:"settle_max"`
	CaseTimeout   time.Duration `json:"case_timeout_ns"`
	// Partitions is how many the case partitions makes; 0: it is left out. BesideFor is how long the probes of cases with several take.
	Partitions int           `json:"partitions"`
	BesideFor  time.Duration `json:"beside_for_ns"`
	// MinIOLoadFor and MinIOLoadMB are of the load with everything running; 0: it is left out.
	MinIOLoadFor time.Duration `json:"minio_load_for_ns"`
	MinIOLoadMB  float64       `json:"minio_load_mb_per_second"`
	// Reduced names targets for which only some cases are run, Skip those for which some are not. Both hold for variants too.
	Reduced map[string][]string `json:"reduced,omitempty"`
	Skip    map[string][]string `json:"skip,omitempty"`
}

// Short stays below ten minutes with two rounds, Full somewhat above an hour with three.
var (
	Short = Profile{Name: "short", IdleFor: time.Second, FloorFor: 700 * time.Millisecond, Warmup: time.Second, ProbeFor: 3 * time.Second, Java5kRecords: 20_000,
		JavaRecords: 150_000, BatchRecords: 250_000, E2ERecords: 1000, LoadFor: 4 * time.Second, LoadMB: 20, Cold: true, SettleMin: 2500 * time.Millisecond, SettleMax: 8 * time.Second,
		CaseTimeout: 2 * time.Minute, Partitions: 10_000, BesideFor: 1500 * time.Millisecond, Reduced: map[string][]string{
			"ringmq-loop":  {"start", "floor", "probe"},
			"kafka-synced": {"start", "floor", "probe", "java-max", "java-batch"},
		}, Skip: map[string][]string{"ringmq": {"cleaning"}, "kafka": {"partitions", "fairness", "secure", "txn", "cleaning"}}}
	Full = Profile{Name: "full", IdleFor: 5 * time.Second, FloorFor: 2 * time.Second, Warmup: 2 * time.Second, ProbeFor: 15 * time.Second, Java5kRecords: 75_000,
		JavaRecords: 600_000, BatchRecords: 1_500_000, E2ERecords: 5000, LoadFor: 30 * time.Second, LoadMB: 50, SweepMB: []float64{5, 10, 20, 40, 60, 80, 120},
		SweepFor: 8 * time.Second, Cold: true, SettleMin: 3 * time.Second, SettleMax: 20 * time.Second, CaseTimeout: 4 * time.Minute, Partitions: 10_000,
		BesideFor: 5 * time.Second, MinIOLoadFor: 90 * time.Second, MinIOLoadMB: 50, Reduced: map[string][]string{
			"ringmq-loop":  {"start", "floor", "probe", "java-batch"},
			"ringmq-minio": {"start", "idle", "floor", "probe-1", "load", "sweep", "java-batch", "java-consume", "loaded", "life", "minio-load"},
			"kafka-synced": {"start", "floor", "probe", "java-max", "java-batch", "java-e2e"},
		}}
	// Smoke checks the machinery; its numbers mean nothing.
	Smoke = Profile{Name: "smoke", IdleFor: 200 * time.Millisecond, FloorFor: 200 * time.Millisecond, Warmup: 200 * time.Millisecond, ProbeFor: 500 * time.Millisecond,
		Java5kRecords: 2000, JavaRecords: 5000, BatchRecords: 10_000, E2ERecords: 100, LoadFor: time.Second, LoadMB: 2, SweepMB: []float64{1}, SweepFor: time.Second,
		Cold: true, SettleMin: 200 * time.Millisecond, SettleMax: time.Second, CaseTimeout: time.Minute, Partitions: 200, BesideFor: 500 * time.Millisecond,
		MinIOLoadFor: 2 * time.Second, MinIOLoadMB: 5}
)

// Profiles by name.
var Profiles = map[string]Profile{"smoke": Smoke, "short": Short, "full": Full}

func (o Options) validate() error {
	switch {
	case o.Rounds < 1:
		return fmt.Errorf("side: %d rounds", o.Rounds)
	case o.Out == "" || o.Work == "" || o.Binary == "" || o.Tools == "":
		return fmt.Errorf("side: output, work, binary and tools must be given")
	case len(o.Targets) == 0:
		return fmt.Errorf("side: no targets")
	}
	for i, t := range o.Targets {
		if _, ok := targetOf(t); !ok {
			return fmt.Errorf("side: no target %q; known: %s, and NAME@LABEL for variants of them", t, strings.Join(TargetNames(), ", "))
		}
		if slices.Contains(o.Targets[:i], t) {
			return fmt.Errorf("side: target %q twice", t)
		}
		if strings.HasPrefix(t, "kafka") && (o.Java == "" || o.ClassPath == "") {
			return fmt.Errorf("side: target %q needs Java and Kafka's archives", t)
		}
	}
	for name := range o.Binaries {
		if t, _ := targetOf(name); !slices.Contains(o.Targets, name) || t.kind != "ringmq" {
			return fmt.Errorf("side: a binary for %q, which is not a RingMQ that is run", name)
		}
	}
	for name := range o.Settings {
		if _, kind := kinds[name]; !kind && !slices.Contains(o.Targets, name) {
			return fmt.Errorf("side: settings for %q, which is neither ringmq, kafka nor a target that is run", name)
		}
	}
	if o.Tool == nil {
		return fmt.Errorf("side: no way to run Kafka's tools")
	}
	for _, c := range o.Cases {
		if !slices.ContainsFunc(o.Profile.cases(), func(k testCase) bool { return strings.HasPrefix(k.name, c) }) {
			return fmt.Errorf("side: no case begins with %q", c)
		}
	}
	return nil
}

var kinds = map[string]bool{"ringmq": true, "kafka": true}

// wants reports whether a case is to be run for a target.
func (o Options) wants(target, name string) bool {
	in := func(list []string) bool {
		return slices.ContainsFunc(list, func(p string) bool { return strings.HasPrefix(name, p) })
	}
	only := o.Profile.Reduced[baseOf(target)]
	return (len(o.Cases) == 0 || in(o.Cases)) && (len(only) == 0 || in(only)) && !in(o.Profile.Skip[baseOf(target)])
}
