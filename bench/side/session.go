package side

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ringmq/ringmq/bench/host"
	"github.com/ringmq/ringmq/bench/measure"
	"github.com/ringmq/ringmq/bench/proc"
	"github.com/ringmq/ringmq/bench/wire"
)

// session is one target in one round: a server on fresh data, and what was produced into it so far.
type session struct {
	o        Options
	target   string
	round    int
	dir      string // of the server's data
	in       *instance
	own      *ownServer   // not nil: the server is there for one case
	cert     *certificate // not nil: its listener speaks TLS
	produced float64      // bytes of values acknowledged, all cases
	// afterReady is the usage when the server had acknowledged its first record.
	afterReady proc.Usage
}

// measured runs fn and notes what the machine and the server did meanwhile.
func (s *session) measured(ctx context.Context, rec *Record, fn func() error) error {
	before, err := s.in.Usage()
	if err != nil {
		return err
	}
	minio := s.minioCPU()
	h, err := host.Take()
	if err != nil {
		return err
	}
	ferr := fn()
	now, err := host.Take()
	if err != nil {
		return errors.Join(ferr, err)
	}
	rec.Host = now.Since(h)
	after, err := s.in.Usage()
	if err != nil {
		return errors.Join(ferr, err)
	}
	rec.Server = usage(before, after)
	rec.Server.MinIOCPUSeconds = (s.minioCPU() - minio).Seconds()
	return errors.Join(ferr, ctx.Err())
}

func usage(before, after proc.Usage) ServerUsage {
	return ServerUsage{CPUSeconds: (after.CPU - before.CPU).Seconds(), WrittenBytes: after.WriteBytes - before.WriteBytes,
		ReadBytes: after.ReadBytes - before.ReadBytes, ResidentBytes: after.RSSBytes, PeakBytes: after.PeakBytes}
}

func (s *session) minioCPU() time.Duration {
	if s.in.minio == nil || s.in.minio.Process == nil {
		return 0
	}
	u, _ := s.in.minio.Usage() // gone: then the case fails for a better reason
	return u.CPU
}

// settle waits until the server has nothing more to do for what was produced, and adds what it used meanwhile: it shall not gain from
// putting work off. It is quiet when in half a second it used less than a twentieth of a processor and wrote nothing.
func (s *session) settle(ctx context.Context, rec *Record) (ServerUsage, error) {
	const step = 500 * time.Millisecond
	begun, total, minio := time.Now(), rec.Server, s.minioCPU()
	for {
		before, err := s.in.Usage()
		if err != nil {
			return total, err
		}
		if err := sleep(ctx, step); err != nil {
			return total, err
		}
		after, err := s.in.Usage()
		if err != nil {
			return total, err
		}
		total.CPUSeconds += (after.CPU - before.CPU).Seconds()
		total.WrittenBytes += after.WriteBytes - before.WriteBytes
		quiet := after.CPU-before.CPU < step/20 && after.WriteBytes == before.WriteBytes
		total.MinIOCPUSeconds = rec.Server.MinIOCPUSeconds + (s.minioCPU() - minio).Seconds()
		if waited := time.Since(begun); (quiet && waited >= s.o.Profile.SettleMin) || waited >= s.o.Profile.SettleMax {
			return total, nil
		}
	}
}

// program runs one of our own programs that prints JSON.
func (s *session) program(ctx context.Context, into any, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(s.o.Tools, name), args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %q: %w: %s", name, args, err, bytes.TrimSpace(stderr.Bytes()))
	}
	if err := json.Unmarshal(out.Bytes(), into); err != nil {
		return fmt.Errorf("%s: what it printed: %w", name, err)
	}
	return nil
}

// start launches the server and returns the time from then to its first acknowledgement of a record, in a topic made for it.
func (s *session) start(ctx context.Context) (time.Duration, error) {
	if err := s.in.Launch(); err != nil {
		return 0, err
	}
	took, err := s.firstAck(ctx)
	if err != nil {
		s.in.Kill()
		return 0, err
	}
	s.afterReady, err = s.in.Usage()
	return took, err
}

// firstAck tries until a record is acknowledged.
func (s *session) firstAck(ctx context.Context) (time.Duration, error) {
	// Every 2 ms: exact enough for the fast one, and next to no load for the slow one.
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.tryAck(ctx)
		if err == nil {
			return time.Since(s.in.Begun()), nil
		}
		select {
		case <-tick.C:
		case <-s.in.Exited():
			return 0, fmt.Errorf("side: the server ended while starting: %w", err)
		case <-ctx.Done():
			return 0, fmt.Errorf("side: no acknowledgement: %w, last: %w", ctx.Err(), err)
		}
	}
}

// tryAck connects, makes the topic and produces one record.
func (s *session) tryAck(ctx context.Context) error {
	c, err := wire.Dial(ctx, s.in.Seed(), "start")
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := wire.CreateTopic(ctx, s.in.Seed(), "start", 1, nil); err != nil {
		return err
	}
	var b wire.Batch
	b.Reset(time.Now())
	b.Add([]byte("first"))
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if err := c.Send(wire.ProduceFrame(nil, "start", "start", 0, -1, b.Bytes())); err != nil {
		return err
	}
	return c.ReceiveProduced(0)
}

// dropCaches makes the kernel forget what it has cached of files. It needs root.
func dropCaches() error {
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("1"), 0); err != nil {
		return fmt.Errorf("side: page cache not dropped: %w", err)
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// latency notes a distribution and its percentiles under a prefix.
func (r *Record) latency(name, prefix string, l measure.Latency) {
	if r.Latencies == nil {
		r.Latencies = map[string]measure.Latency{}
	}
	r.Latencies[name] = l
	r.set(prefix+"p50_us", l.P50)
	r.set(prefix+"p99_us", l.P99)
	r.set(prefix+"p999_us", l.P999)
	r.set(prefix+"p9999_us", l.P9999)
	r.set(prefix+"max_us", l.Max)
}

func (r *Record) set(key string, v float64) {
	if r.Values == nil {
		r.Values = map[string]float64{}
	}
	r.Values[key] = v
}

func (s *session) createTopic(ctx context.Context, topic string, partitions int) error {
	return wire.CreateTopic(ctx, s.in.Seed(), topic, partitions, nil)
}
