package proc

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// RingMQ is a RingMQ node as a process. Start, Kill, Start again: it stays on its ports and its directory.
type RingMQ struct {
	Binary    string   // path of bin/ringmq
	Dir       string   // holds everything of the node
	Overrides []string // further key=value settings; they win
	Args      []string // further arguments of "server start"
	Env       []string // further environment

	port, controllerPort int
	*Process
}

// Seed is the address for clients.
func (r *RingMQ) Seed() string { return fmt.Sprintf("127.0.0.1:%d", r.port) }

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
	if r.port == 0 {
		var err error
		if r.port, err = FreePort(); err != nil {
			return err
		}
		if r.controllerPort, err = FreePort(); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(r.Dir, "objects"), 0o755); err != nil {
		return fmt.Errorf("proc: %w", err)
	}
	args := []string{"server", "start"}
	for _, o := range append([]string{
		"node.id=1", "process.roles=broker,controller", "controller.listener.names=CONTROLLER",
		fmt.Sprintf("listeners=PLAINTEXT://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d", r.port, r.controllerPort),
		fmt.Sprintf("controller.quorum.voters=1@127.0.0.1:%d", r.controllerPort),
		"log.dirs=" + filepath.Join(r.Dir, "log"),
		"s3.data.buckets=0@file://" + filepath.Join(r.Dir, "objects"),
		"s3.wal.path=0@file://" + filepath.Join(r.Dir, "wal"),
	}, r.Overrides...) {
		args = append(args, "--override", o)
	}
	cmd := exec.Command(r.Binary, append(args, r.Args...)...)
	cmd.Env = append(os.Environ(), r.Env...)
	p, err := start("ringmq", filepath.Join(r.Dir, "server.log"), cmd)
	if err != nil {
		return err
	}
	r.Process = p
	return nil
}

// probe asks for metadata: a node that answers it serves.
func (r *RingMQ) probe(ctx context.Context) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.Seed()), kgo.RequestRetries(0), kgo.DialTimeout(time.Second))
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return cl.Ping(ctx)
}
