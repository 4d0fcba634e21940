package side

import (
	"context"
	"strings"
	"testing"
	"time"
)

func valid() Options {
	return Options{Out: "o", Work: "w", Rounds: 1, Targets: []string{"ringmq", "kafka"}, Profile: Short, Binary: "b", Tools: "t", Java: "j", ClassPath: "c",
		Tool: func(context.Context, string, ...string) (string, error) { return "", nil }}
}

func TestValidate(t *testing.T) {
	if err := valid().validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Options){
		"rounds":          func(o *Options) { o.Rounds = 0 },
		"must be given":   func(o *Options) { o.Work = "" },
		"no targets":      func(o *Options) { o.Targets = nil },
		"ringmq-minio":    func(o *Options) { o.Targets = []string{"redpanda"} },
		"twice":           func(o *Options) { o.Targets = []string{"kafka", "kafka"} },
		"archives":        func(o *Options) { o.ClassPath = "" },
		"Kafka's tools":   func(o *Options) { o.Tool = nil },
		"is not a RingMQ": func(o *Options) { o.Binaries = map[string]string{"kafka": "b"} },
		"which is not":    func(o *Options) { o.Binaries = map[string]string{"ringmq@x": "b"} },
		"neither":         func(o *Options) { o.Settings = map[string][]string{"ringmq@x": {"a=1"}} },
		"@LABEL":          func(o *Options) { o.Targets = []string{"ringmq@a/b"} },
		"no case begins":  func(o *Options) { o.Cases = []string{"probe", "nothing"} },
	} {
		o := valid()
		change(&o)
		if err := o.validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

func TestWants(t *testing.T) {
	o := valid()
	o.Cases = []string{"probe", "java-max"}
	o.Profile.Reduced = map[string][]string{"kafka": {"probe-1", "idle"}}
	o.Profile.Skip = map[string][]string{"ringmq": {"probe-5"}}
	for _, c := range []struct {
		target, name string
		want         bool
	}{
		{"ringmq", "probe-64", true}, {"ringmq", "java-max", true}, {"ringmq", "idle", false}, {"kafka", "probe-1", true}, {"kafka", "probe-1000", true},
		{"kafka", "probe-64", false}, {"kafka", "idle", false}, {"ringmq", "probe-5000", false}, {"ringmq@x", "probe-5000", false}, {"kafka@x", "probe-64", false},
	} {
		if got := o.wants(c.target, c.name); got != c.want {
			t.Errorf("%s %s: %v", c.target, c.name, got)
		}
	}
}

// TestSettings: what the user sets comes last and so wins, and only for its kind of server.
func TestSettings(t *testing.T) {
	o := valid()
	o.Settings = map[string][]string{"ringmq": {"a=1"}, "kafka": {"b=2"}}
	if got := strings.Join(o.settingsOf("kafka-synced"), " "); !strings.HasSuffix(got, "log.flush.interval.messages=1 b=2") || strings.Contains(got, "a=1") {
		t.Errorf("got %s", got)
	}
	if got := strings.Join(o.settingsOf("ringmq"), " "); !strings.HasSuffix(got, uploads+" a=1") {
		t.Errorf("got %s", got)
	}
}

func TestVariants(t *testing.T) {
	names, binaries := ParseTargets("ringmq, ringmq@old=/b/ringmq,kafka")
	if strings.Join(names, " ") != "ringmq ringmq@old kafka" || len(binaries) != 1 || binaries["ringmq@old"] != "/b/ringmq" {
		t.Errorf("%v %v", names, binaries)
	}
	o := valid()
	o.Targets, o.Binaries, o.Settings = names, binaries, map[string][]string{"ringmq": {"a=1"}, "ringmq@old": {"b=2"}}
	if err := o.validate(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(o.settingsOf("ringmq@old"), " "); !strings.HasSuffix(got, uploads+" a=1 b=2") {
		t.Errorf("settings %s", got)
	}
	if got := strings.Join(o.settingsOf("ringmq"), " "); !strings.HasSuffix(got, uploads+" a=1") {
		t.Errorf("settings %s", got)
	}
	if o.binaryOf("ringmq@old") != "/b/ringmq" || o.binaryOf("ringmq") != "b" {
		t.Error("wrong binary")
	}
	if k, ok := targetOf("ringmq-minio@x.1"); !ok || k.title != "RingMQ, objects in MinIO @x.1" || k.kind != "ringmq" {
		t.Errorf("%+v", k)
	}
	r := Result{Targets: []string{"ringmq@a", "ringmq@b", "ringmq-loop", "ringmq-loop@c"}}
	for name, want := range map[string]string{"ringmq@a": "", "ringmq@b": "ringmq@a", "ringmq-loop": "", "ringmq-loop@c": "ringmq-loop"} {
		if got := r.before(name); got != want {
			t.Errorf("%s is compared with %q, want %q", name, got, want)
		}
	}
}

// TestTimeLeft: in the second round the first target comes last; what was not run yet is thought to take as long as the others.
func TestTimeLeft(t *testing.T) {
	o := valid()
	o.Rounds, o.Targets = 2, []string{"ringmq", "kafka", "kafka-synced"}
	took := map[string]time.Duration{}
	if got := o.timeLeft(took, 0, 0, 0); got != "" {
		t.Errorf("before anything ran: %s", got)
	}
	took["ringmq"] = 2 * time.Minute
	if got := o.timeLeft(took, 0, 1, 2*time.Minute); got != "; 2m0s gone, about 10m0s left" {
		t.Error(got)
	}
	took["kafka"], took["kafka-synced"] = 5*time.Minute, 7*time.Minute
	if got := o.timeLeft(took, 1, 1, 19*time.Minute); got != "; 19m0s gone, about 9m0s left" {
		t.Error(got)
	}
}
