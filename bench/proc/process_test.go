package proc

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestProcess: what a process uses is seen while it runs and after, and its end is told as it was.
func TestProcess(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	p, err := Start("busy", log, exec.Command("sh", "-c", "echo started; while :; do :; done"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := p.WaitReady(ctx, func(context.Context) error {
		u, err := p.Usage()
		if err == nil && u.CPU < 3*clockTick {
			err = errors.New("not busy yet")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	u, err := p.Usage()
	if err != nil || u.RSSBytes <= 0 || u.PeakBytes < u.RSSBytes || time.Since(p.Begun()) < u.CPU-clockTick {
		t.Errorf("%+v %v", u, err)
	}
	err = p.Stop(ctx)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("stopped with %v", err)
	}
	if total := p.Total(); total.CPU < u.CPU-2*clockTick || total.PeakBytes <= 0 {
		t.Errorf("%+v, but %+v before", total, u)
	}
	if _, err := p.Usage(); err == nil {
		t.Error("a process that ended has a usage")
	}
}

func TestProcessThatEndsEarly(t *testing.T) {
	p, err := Start("short", filepath.Join(t.TempDir(), "log"), exec.Command("sh", "-c", "echo the reason; exit 3"))
	if err != nil {
		t.Fatal(err)
	}
	err = p.WaitReady(t.Context(), func(context.Context) error { return errors.New("never") })
	if err == nil || !errors.As(p.err, new(*exec.ExitError)) {
		t.Errorf("got %v", err)
	}
	if _, err := Start("none", filepath.Join(t.TempDir(), "log"), exec.Command("/no/such/program")); err == nil {
		t.Error("a program that does not exist was started")
	}
	if !(*Process)(nil).Begun().IsZero() {
		t.Error("a process that was never started has begun")
	}
}

func TestLoop(t *testing.T) {
	l, err := NewLoop(filepath.Join(t.TempDir(), "device"), 3<<20)
	if err != nil {
		t.Skipf("SKIPPED: loop devices; they are not allowed here: %v", err)
	}
	out, err := exec.Command("blockdev", "--getsize64", l.Device).Output()
	if err != nil || string(out) != "3145728\n" {
		t.Errorf("size %q, %v", out, err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err == nil {
		t.Error("detached twice")
	}
}
