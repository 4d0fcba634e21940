package host

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of processor time in /proc, 100 Hz on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// Sample is the state of the machine's counters at one time.
type Sample struct {
	At    time.Time
	Busy  time.Duration // all processors: user, nice, system, interrupts
	Idle  time.Duration // and waiting for disks
	Steal time.Duration // runnable, but the hypervisor ran somebody else
	// Written are bytes written per block device, partitions not counted.
	Written map[string]int64
}

// Take samples the machine.
func Take() (Sample, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return Sample{}, fmt.Errorf("host: %w", err)
	}
	s, err := parseStat(string(stat))
	if err != nil {
		return Sample{}, err
	}
	disks, err := os.ReadFile("/proc/diskstats")
	if err == nil {
		s.Written = parseDiskstats(string(disks))
	}
	s.At = time.Now()
	return s, nil
}

// parseStat reads the first line of /proc/stat: cpu user nice system idle iowait irq softirq steal guest guest_nice. Guest time is
// contained in user time.
func parseStat(text string) (Sample, error) {
	line, _, _ := strings.Cut(text, "\n")
	f := strings.Fields(line)
	if len(f) < 9 || f[0] != "cpu" {
		return Sample{}, fmt.Errorf("host: /proc/stat begins with %q", line)
	}
	var v [8]time.Duration
	for i := range v {
		n, err := strconv.ParseInt(f[i+1], 10, 64)
		if err != nil {
			return Sample{}, fmt.Errorf("host: /proc/stat: %w", err)
		}
		v[i] = time.Duration(n) * tick
	}
	return Sample{Busy: v[0] + v[1] + v[2] + v[5] + v[6], Idle: v[3] + v[4], Steal: v[7]}, nil
}

// parseDiskstats reads bytes written per device; a sector is 512 bytes there whatever the device says.
func parseDiskstats(text string) map[string]int64 {
	out := map[string]int64{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 10 {
			continue
		}
		if n, err := strconv.ParseInt(f[9], 10, 64); err == nil && n > 0 {
			out[f[2]] = n * 512
		}
	}
	return out
}

// Load is what the machine did between two samples.
type Load struct {
	Seconds     float64 `json:"seconds"`
	BusySeconds float64 `json:"busy_cpu_seconds"`
	// StealPercent is stolen time in percent of all processor time.
	StealPercent float64          `json:"steal_percent"`
	Written      map[string]int64 `json:"written_bytes,omitempty"`
}

// Since is what happened from an earlier sample to this one.
func (s Sample) Since(earlier Sample) Load {
	l := Load{Seconds: s.At.Sub(earlier.At).Seconds(), BusySeconds: (s.Busy - earlier.Busy).Seconds()}
	steal := s.Steal - earlier.Steal
	if all := s.Busy - earlier.Busy + s.Idle - earlier.Idle + steal; all > 0 {
		l.StealPercent = 100 * float64(steal) / float64(all)
	}
	for disk, n := range s.Written {
		if d := n - earlier.Written[disk]; d > 0 {
			if l.Written == nil {
				l.Written = map[string]int64{}
			}
			l.Written[disk] = d
		}
	}
	return l
}

// settlePause and settleLimit are how long the disks have to be at rest, and how long is waited for that at most.
const (
	settlePause = 500 * time.Millisecond
	settleLimit = 30 * time.Second
)

// Settle writes out everything that is dirty and waits until the disks discard nothing and have nothing in flight any more: a file system that is mounted
// with the option discard gives the blocks of deleted files back to the disk some time after the deletion, and a disk that does so makes every flush wait for
// tens of milliseconds. It returns false when the disks were busy all the time, because of somebody else.
func Settle(ctx context.Context) bool {
	unix.Sync()
	quietSince := time.Now()
	last := ""
	for begun := time.Now(); time.Since(begun) < settleLimit && ctx.Err() == nil; {
		b, err := os.ReadFile("/proc/diskstats")
		if err != nil {
			return false
		}
		if now, busy := activity(string(b)); busy || now != last {
			last, quietSince = now, time.Now()
		}
		if time.Since(quietSince) >= settlePause {
			return true
		}
		select {
		case <-ctx.Done():
		case <-time.After(settlePause / 10):
		}
	}
	return false
}

// activity tells what changes while a disk discards: the counts of discards and of sectors discarded; and whether anything is in flight.
func activity(diskstats string) (counts string, inFlight bool) {
	for line := range strings.Lines(diskstats) {
		f := strings.Fields(line)
		if len(f) < 18 {
			continue // a kernel before 4.18 does not count discards
		}
		counts += f[2] + " " + f[14] + " " + f[16] + "\n"
		inFlight = inFlight || f[11] != "0"
	}
	return counts, inFlight
}
