package proc

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/tools/freeport"
)

// RingMQ is a RingMQ node as a process. Start, Kill, Start again: it stays on its ports and its directory.
type RingMQ struct {
	Binary    string   // path of bin/ringmq
	Dir       string   // holds everything of the node
	Overrides []string // further key=value settings; they win
	Args      []string // further arguments of "server start"
	Env       []string // further environment

	// A node of a cluster. The zero values are those of a single node.
	NodeID int      // default 1
	Roles  string   // process.roles, default broker,controller
	Voters []string // controller.quorum.voters, default: the node itself
	Host   string   // the address that it listens on, default 127.0.0.1
	Wrap   []string // put before the command, to run it on a host of package lab
	// ClientTLS has the clients' listener be SSL, and so what brokers say to each other; the node is asked with it. Overrides give the stores. nil: plaintext.
	ClientTLS *tls.Config
	// The ports of clients and controllers; 0: free ones are chosen at the first Launch.
	Port, ControllerPort int

	*Process
}

// Seed is the address for clients.
func (r *RingMQ) Seed() string { return fmt.Sprintf("%s:%d", r.host(), r.Port) }

// Voter is the node's entry in controller.quorum.voters. REQUIRES: ControllerPort and NodeID are set.
func (r *RingMQ) Voter() string { return fmt.Sprintf("%d@%s:%d", r.NodeID, r.host(), r.ControllerPort) }

// Broker reports whether the node has the broker role.
func (r *RingMQ) Broker() bool { return strings.Contains(r.roles(), "broker") }

// Controller reports whether the node has the controller role.
func (r *RingMQ) Controller() bool { return strings.Contains(r.roles(), "controller") }

func (r *RingMQ) host() string { return cmp.Or(r.Host, "127.0.0.1") }

func (r *RingMQ) roles() string { return cmp.Or(r.Roles, "broker,controller") }

// Start starts the node and waits until it answers. It returns how long that took from the start of the process.
func (r *RingMQ) Start(ctx context.Context) (time.Duration, error) {
	begun := time.Now()
	if err := r.Launch(); err != nil {
		return 0, err
	}
	if err := r.WaitReady(ctx, r.probe); err != nil {
		r.Kill()
		return 0, err
	}
	return time.Since(begun), nil
}

// Launch starts the process and does not wait.
func (r *RingMQ) Launch() error {
	r.NodeID = cmp.Or(r.NodeID, 1)
	for _, port := range []*int{&r.Port, &r.ControllerPort} {
		if *port != 0 {
			continue
		}
		var err error
		if *port, err = freeport.Get(); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(r.Dir, "objects"), 0o755); err != nil {
		return fmt.Errorf("proc: %w", err)
	}
	args := []string{"server", "start"}
	for _, o := range r.Settings() {
		args = append(args, "--override", o)
	}
	args = append(append(slices.Clone(r.Wrap), r.Binary), append(args, r.Args...)...)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), r.Env...)
	p, err := Start("ringmq", filepath.Join(r.Dir, "server.log"), cmd)
	if err != nil {
		return err
	}
	r.Process = p
	return nil
}

// Settings are the node's key=value settings, as Launch gives them. Its ports have to be known: Launch chooses those that are 0.
func (r *RingMQ) Settings() []string {
	var listeners []string
	protocol := "PLAINTEXT"
	if r.ClientTLS != nil {
		protocol = "SSL"
	}
	if r.Broker() {
		listeners = append(listeners, protocol+"://"+r.Seed())
	}
	if r.Controller() {
		listeners = append(listeners, fmt.Sprintf("CONTROLLER://%s:%d", r.host(), r.ControllerPort))
	}
	voters := r.Voters
	if len(voters) == 0 {
		voters = []string{r.Voter()}
	}
	settings := []string{
		fmt.Sprintf("node.id=%d", r.NodeID), "process.roles=" + r.roles(), "controller.listener.names=CONTROLLER",
		"listeners=" + strings.Join(listeners, ","), "controller.quorum.voters=" + strings.Join(voters, ","),
		"log.dirs=" + filepath.Join(r.Dir, "log"),
		"s3.data.buckets=0@file://" + filepath.Join(r.Dir, "objects"),
		"s3.wal.path=0@file://" + filepath.Join(r.Dir, "wal"),
	}
	if r.ClientTLS != nil {
		settings = append(settings, "security.inter.broker.protocol="+protocol)
	}
	return append(settings, r.Overrides...)
}

// Answers asks the node once whether it serves.
func (r *RingMQ) Answers(ctx context.Context) error { return r.probe(ctx) }

// probe asks what the node serves: a broker that answers is ready. A controller that does not serve clients answers for itself.
func (r *RingMQ) probe(ctx context.Context) error {
	addr := r.Seed()
	if !r.Broker() {
		addr = fmt.Sprintf("%s:%d", r.host(), r.ControllerPort)
	}
	opts := []kgo.Opt{kgo.SeedBrokers(addr), kgo.RequestRetries(0), kgo.DialTimeout(time.Second)}
	if r.ClientTLS != nil && r.Broker() {
		opts = append(opts, kgo.DialTLSConfig(r.ClientTLS))
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if !r.Broker() {
		_, err := cl.SeedBrokers()[0].Request(ctx, kmsg.NewPtrApiVersionsRequest())
		return err
	}
	return cl.Ping(ctx)
}
