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
	Rounds    int
	// Targets are names of known targets, in the order of the table's columns.
	Targets []string
	// Cases restricts to cases whose name begins with one of these; empty: all of the profile.
	Cases   []string
	Profile Profile
	// Binary is bin/ringmq, Tools the directory with the programs probe, load and floor.
	Binary, Tools string
	// Java, ClassPath and Tool come from whoever knows where Kafka's archives are. Tool runs one of Kafka's scripts and returns what it
	// printed; a script that fails is an error.
	Java, ClassPath string
	Tool            func(ctx context.Context, name string, args ...string) (stdout string, err error)
	// Settings are further settings of the servers, key=value, by kind of server ("ringmq", "kafka"). They are shown in the output.
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
	// Reduced names targets for which only some cases are run.
	Reduced map[string][]string `json:"reduced,omitempty"`
}

// Short takes some minutes, Full hours.
var (
	Short = Profile{Name: "short", IdleFor: time.Second, FloorFor: time.Second, Warmup: time.Second, ProbeFor: 3 * time.Second, Java5kRecords: 20_000,
		JavaRecords: 150_000, BatchRecords: 250_000, E2ERecords: 1000, LoadFor: 4 * time.Second, LoadMB: 20, SettleMin: 2500 * time.Millisecond, SettleMax: 8 * time.Second,
		CaseTimeout: 2 * time.Minute, Reduced: map[string][]string{"ringmq-loop": {"start", "floor", "probe", "java-batch"}, "kafka-synced": {"start", "floor", "probe", "java-max", "java-batch", "java-e2e"}}}
	Full = Profile{Name: "full", IdleFor: 5 * time.Second, FloorFor: 5 * time.Second, Warmup: 5 * time.Second, ProbeFor: 30 * time.Second, Java5kRecords: 300_000,
		JavaRecords: 2_000_000, BatchRecords: 3_000_000, E2ERecords: 10_000, LoadFor: 60 * time.Second, LoadMB: 50, SweepMB: []float64{5, 10, 20, 40, 60, 80, 120},
		SweepFor: 15 * time.Second, Cold: true, SettleMin: 5 * time.Second, SettleMax: 30 * time.Second, CaseTimeout: 15 * time.Minute}
	// Smoke checks the machinery; its numbers mean nothing.
	Smoke = Profile{Name: "smoke", IdleFor: 200 * time.Millisecond, FloorFor: 200 * time.Millisecond, Warmup: 200 * time.Millisecond, ProbeFor: 500 * time.Millisecond,
		Java5kRecords: 2000, JavaRecords: 5000, BatchRecords: 10_000, E2ERecords: 100, LoadFor: time.Second, LoadMB: 2, SweepMB: []float64{1}, SweepFor: time.Second,
		Cold: true, SettleMin: 200 * time.Millisecond, SettleMax: time.Second, CaseTimeout: time.Minute}
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
		if _, ok := targets[t]; !ok {
			return fmt.Errorf("side: no target %q; known: %s", t, strings.Join(TargetNames(), ", "))
		}
		if slices.Contains(o.Targets[:i], t) {
			return fmt.Errorf("side: target %q twice", t)
		}
		if strings.HasPrefix(t, "kafka") && (o.Java == "" || o.ClassPath == "") {
			return fmt.Errorf("side: target %q needs Java and Kafka's archives", t)
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

// wants reports whether a case is to be run for a target.
func (o Options) wants(target, name string) bool {
	in := func(list []string) bool {
		return len(list) == 0 || slices.ContainsFunc(list, func(p string) bool { return strings.HasPrefix(name, p) })
	}
	return in(o.Cases) && in(o.Profile.Reduced[target])
}
