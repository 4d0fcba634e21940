package side

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ringmq/ringmq/bench/proc"
)

// server is a target that runs.
type server interface {
	// Launch starts the process, again after a stop, and does not wait.
	Launch() error
	Seed() string
	Begun() time.Time
	Exited() <-chan struct{}
	Usage() (proc.Usage, error)
	Stop(ctx context.Context) error
	Total() proc.Usage
	Kill()
}

// instance is a server with what stands beside it.
type instance struct {
	server
	minio *proc.MinIO
	loop  *proc.Loop
	aside string // a directory outside of the server's, which goes with it
}

// close ends everything.
func (i *instance) close() error {
	var errs []error
	if i.minio != nil && i.minio.Process != nil {
		i.minio.Kill()
	}
	if i.aside != "" {
		errs = append(errs, os.RemoveAll(i.aside))
	}
	if i.loop != nil {
		errs = append(errs, i.loop.Close())
	}
	return errors.Join(errs...)
}

// setup is what a server is made from.
type setup struct {
	dir      string   // empty
	binary   string   // of RingMQ
	settings []string // key=value
	args     []string // further arguments of RingMQ's command line
	env      []string // further environment of RingMQ
}

// target is a kind of server in one setting.
type target struct {
	title    string
	kind     string // whose Settings apply
	settings []string
	// make prepares a server.
	make func(ctx context.Context, o Options, u setup) (*instance, error)
}

// common are settings of both servers. Without them consumers would wait for three seconds for other members, and the first group would
// pay for fifty partitions of the offsets topic.
var common = []string{"group.initial.rebalance.delay.ms=0", "offsets.topic.num.partitions=5"}

// uploads makes RingMQ upload every two seconds instead of every minute: a short run shall contain the work that a long one does.
const uploads = "s3.wal.upload.interval.ms=2000"

var targets = map[string]target{
	"ringmq":       {title: "RingMQ", kind: "ringmq", settings: []string{uploads}, make: makeRingMQ},
	"ringmq-loop":  {title: "RingMQ, WAL on a loop device", kind: "ringmq", settings: []string{uploads}, make: makeRingMQLoop},
	"ringmq-minio": {title: "RingMQ, objects in MinIO", kind: "ringmq", settings: []string{uploads}, make: makeRingMQMinIO},
	"kafka":        {title: "Kafka, not synced", kind: "kafka", make: makeKafka},
	"kafka-synced": {title: "Kafka, synced", kind: "kafka", settings: []string{"log.flush.interval.messages=1"}, make: makeKafka},
}

// TargetNames are the known targets, sorted.
func TargetNames() []string {
	var names []string
	for n := range targets {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// settingsOf are all settings of a target that differ from the server's defaults, but for ports and directories.
func (o Options) settingsOf(name string) []string {
	t, _ := targetOf(name)
	all := slices.Concat(common, t.settings, o.Settings[t.kind])
	if name != t.kind {
		all = append(all, o.Settings[name]...)
	}
	return all
}

func makeRingMQ(_ context.Context, _ Options, u setup) (*instance, error) {
	return &instance{server: &proc.RingMQ{Binary: u.binary, Dir: u.dir, Overrides: u.settings, Args: u.args, Env: u.env}}, nil
}

// loopBytes is the size of the loop device.
const loopBytes = 1 << 30

func makeRingMQLoop(ctx context.Context, o Options, u setup) (*instance, error) {
	l, err := proc.NewLoop(filepath.Join(u.dir, "device"), loopBytes)
	if err != nil {
		return nil, err
	}
	u.settings = append(slices.Clone(u.settings), "s3.wal.path=0@file://"+l.Device)
	i, err := makeRingMQ(ctx, o, u)
	i.loop = l
	return i, err
}

func makeRingMQMinIO(ctx context.Context, o Options, u setup) (*instance, error) {
	m := &proc.MinIO{Dir: filepath.Join(u.dir, "minio"), Bucket: "ringmq"}
	aside := ""
	if o.MinIODir != "" {
		var err error
		if aside, err = os.MkdirTemp(o.MinIODir, "minio-"); err != nil {
			return nil, fmt.Errorf("side: %w", err)
		}
		m.Dir = aside
	}
	if err := m.Start(ctx); err != nil {
		return nil, err
	}
	u.settings = append(slices.Clone(u.settings), "s3.data.buckets="+m.BucketURI())
	i, err := makeRingMQ(ctx, o, u)
	i.minio, i.aside = m, aside
	return i, err
}

func makeKafka(ctx context.Context, o Options, u setup) (*instance, error) {
	props := map[string]string{}
	for _, s := range u.settings {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			return nil, fmt.Errorf("side: setting %q is not key=value", s)
		}
		props[key] = value
	}
	k := &proc.Kafka{Java: o.Java, ClassPath: o.ClassPath, Dir: u.dir, Properties: props}
	return &instance{server: k}, k.Format(ctx)
}
