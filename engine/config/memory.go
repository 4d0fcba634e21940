package config

import (
	"os"
	"strconv"
	"strings"
)

// machineMemory returns the bytes that this process may use: the smaller of the machine's memory and of its control group's limit.
// 1 GiB if neither can be read.
func machineMemory() int64 {
	total := int64(1 << 30)
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
				if f := strings.Fields(rest); len(f) > 0 {
					if kb, err := strconv.ParseInt(f[0], 10, 64); err == nil && kb > 0 {
						total = kb << 10
					}
				}
				break
			}
		}
	}
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if b, err := os.ReadFile(file); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n > 0 {
				total = min(total, n)
			}
		}
	}
	return total
}

// Automatic sizes, as shares of the memory that the process may use. All of it is taken only when it is needed.
//
// The log cache must hold a few upload batches; what tail readers need beyond that is little, since they are seconds behind at most.
// Small shares keep a loaded broker at a few hundred megabytes on an ordinary machine, and leave the rest to the clients and the object
// store beside it; who has a machine for the broker alone sets s3.wal.cache.size and s3.block.cache.size.
func autoWALCache(memory int64) int64   { return clamp(memory/96, 64<<20, 4<<30) }
func autoBlockCache(memory int64) int64 { return clamp(memory/192, 32<<20, 2<<30) }
func autoRequests(memory int64) int64   { return clamp(memory/96, 64<<20, 512<<20) }

// autoUpload is a third of the smaller of write-ahead log and its memory, at most 500 MiB: one batch can be uploading and one waiting
// while a third fills.
func autoUpload(walCapacity, walCache int64) int64 {
	return max(1<<20, min(walCapacity/3, walCache/3, 500<<20))
}

func clamp(v, low, high int64) int64 { return max(low, min(v, high)) }
