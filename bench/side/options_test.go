package side

import (
	"context"
	"strings"
	"testing"
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
		"rounds":         func(o *Options) { o.Rounds = 0 },
		"must be given":  func(o *Options) { o.Work = "" },
		"no targets":     func(o *Options) { o.Targets = nil },
		"ringmq-minio":   func(o *Options) { o.Targets = []string{"redpanda"} },
		"twice":          func(o *Options) { o.Targets = []string{"kafka", "kafka"} },
		"archives":       func(o *Options) { o.ClassPath = "" },
		"Kafka's tools":  func(o *Options) { o.Tool = nil },
		"no case begins": func(o *Options) { o.Cases = []string{"probe", "nothing"} },
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
	for _, c := range []struct {
		target, name string
		want         bool
	}{
		{"ringmq", "probe-64", true}, {"ringmq", "java-max", true}, {"ringmq", "idle", false}, {"kafka", "probe-1", true}, {"kafka", "probe-1000", true},
		{"kafka", "probe-64", false}, {"kafka", "idle", false},
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
