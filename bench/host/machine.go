package host

import (
	"bufio"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine describes where a measurement was made.
type Machine struct {
	Processor  string `json:"processor"`
	CPUs       int    `json:"cpus"`
	MemoryMB   int64  `json:"memory_mib"`
	Kernel     string `json:"kernel"`
	System     string `json:"system"`
	Device     string `json:"device"`      // block device under the data directory
	WriteCache string `json:"write_cache"` // what the kernel believes of it: "write back" needs flushes, "write through" does not
	Scheduler  string `json:"scheduler"`
	FileSystem string `json:"file_system"`
	Governor   string `json:"governor,omitempty"`
	Go         string `json:"go"`
}

// Describe describes the machine and what dir lies on.
func Describe(dir string) Machine {
	m := Machine{CPUs: runtime.NumCPU(), Go: runtime.Version(), Processor: value("/proc/cpuinfo", "model name", ":"),
		System: strings.Trim(value("/etc/os-release", "PRETTY_NAME", "="), `"`), Governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")}
	if kb, _, ok := strings.Cut(value("/proc/meminfo", "MemTotal", ":"), " "); ok {
		n, _ := strconv.ParseInt(kb, 10, 64)
		m.MemoryMB = n >> 10
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	m.Device, m.FileSystem = mount(dir)
	queue := filepath.Join("/sys/class/block", filepath.Base(m.Device), "queue")
	if _, err := os.Stat(queue); err != nil { // a partition has its disk's queue
		if target, err := filepath.EvalSymlinks(filepath.Join("/sys/class/block", filepath.Base(m.Device))); err == nil {
			queue = filepath.Join(filepath.Dir(target), "queue")
		}
	}
	m.WriteCache, m.Scheduler = read(filepath.Join(queue, "write_cache")), read(filepath.Join(queue, "scheduler"))
	return m
}

func read(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// value finds the line that begins with key and returns what follows the separator.
func value(path, key, separator string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if k, v, ok := strings.Cut(s.Text(), separator); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// mount finds the device and the file system, with its options, under a directory: the longest mount point that contains it.
func mount(dir string) (device, fs string) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", ""
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	longest := -1
	for line := range strings.Lines(read("/proc/self/mounts")) {
		f := strings.Fields(line)
		if len(f) < 4 {
			continue
		}
		point := strings.TrimSuffix(f[1], "/")
		if (dir == point || strings.HasPrefix(dir, point+"/")) && len(point) > longest {
			longest, device, fs = len(point), f[0], f[2]+" ("+f[3]+")"
		}
	}
	if real, err := filepath.EvalSymlinks(device); err == nil && strings.HasPrefix(device, "/dev/") {
		device = real
	}
	return device, fs
}
