package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is a running server.
type Process struct {
	Name    string
	LogPath string
	cmd     *exec.Cmd
	exited  chan struct{}
	begun   time.Time
	err     error // valid after exited
}

// Start runs a command whose output goes to logPath, appended. The child dies with us: the kernel sends its death signal when the thread
// that started it ends, so that thread stays and waits for it.
func Start(name, logPath string, cmd *exec.Cmd) (*Process, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("proc: log of %s: %w", name, err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p := &Process{Name: name, LogPath: logPath, cmd: cmd, exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		p.begun = time.Now()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		log.Close()
		close(p.exited)
	}()
	if err := <-started; err != nil {
		return nil, errors.Join(fmt.Errorf("proc: start %s: %w", name, err), log.Close())
	}
	return p, nil
}

// Pid is the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Begun is when the process was started, zero if it was not.
func (p *Process) Begun() time.Time {
	if p == nil {
		return time.Time{}
	}
	return p.begun
}

// Exited is closed when the process is gone.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// ExitStatus is the status with which the process ended, -1 when a signal ended it. REQUIRES: Exited is closed.
func (p *Process) ExitStatus() int { return p.cmd.ProcessState.ExitCode() }

// Signal sends a signal.
func (p *Process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// Kill ends the process with SIGKILL and waits until it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// Stop sends SIGTERM and waits; a process that does not end within the context is killed. The error says how it ended.
func (p *Process) Stop(ctx context.Context) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
		if p.err != nil {
			return fmt.Errorf("proc: %s ended with %w, see %s", p.Name, p.err, p.LogPath)
		}
		return nil
	case <-ctx.Done():
		p.Kill()
		return fmt.Errorf("proc: %s did not stop: %w, see %s", p.Name, ctx.Err(), p.LogPath)
	}
}

// WaitReady calls probe until it succeeds, the process ends or the context does.
func (p *Process) WaitReady(ctx context.Context, probe func(context.Context) error) error {
	for {
		err := probe(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("proc: %s ended while starting (%v): %s", p.Name, p.err, p.tail())
		case <-ctx.Done():
			return fmt.Errorf("proc: %s not ready: %w, last: %v; %s", p.Name, ctx.Err(), err, p.tail())
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// tail is the end of the log, for error messages.
func (p *Process) tail() string {
	b, err := os.ReadFile(p.LogPath)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-2000):])
}

// Usage is what a process has consumed.
type Usage struct {
	CPU                 time.Duration // user and system
	RSSBytes, PeakBytes int64
	// At the block layer; what was written into the page cache counts at once, and no longer when it was removed before it reached a disk.
	ReadBytes, WriteBytes int64
}

// Total is what the process used in all its life: processor time, and bytes written at the block layer.
//
// REQUIRES: Exited is closed.
func (p *Process) Total() Usage {
	u := Usage{CPU: p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()}
	if r, ok := p.cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		u.PeakBytes, u.ReadBytes, u.WriteBytes = r.Maxrss<<10, r.Inblock*512, r.Oublock*512
	}
	return u
}

// clockTick is the unit of CPU time in /proc, 100 Hz on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// Usage reads the process's counters.
func (p *Process) Usage() (u Usage, err error) {
	dir := "/proc/" + strconv.Itoa(p.Pid())
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return u, fmt.Errorf("proc: usage of %s: %w", p.Name, err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	u.CPU = time.Duration(user+system) * clockTick
	status, _ := os.ReadFile(dir + "/status")
	u.RSSBytes, u.PeakBytes = 1024*number(status, "VmRSS:"), 1024*number(status, "VmHWM:")
	io, _ := os.ReadFile(dir + "/io")
	u.ReadBytes, u.WriteBytes = number(io, "read_bytes:"), number(io, "write_bytes:")-number(io, "cancelled_write_bytes:")
	return u, nil
}

func number(b []byte, key string) int64 {
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n
		}
	}
	return 0
}
