package wal

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Hardware is what the kernel tells of the disk under a target. It is told as it is: whether a drive with a volatile write cache keeps what is in it
// when power fails (a capacitor) does not show here. A durable write costs such a drive little and others much, which ringmq wal bench measures.
type Hardware struct {
	Device  string // the whole disk, as the kernel names it: nvme0n1, dm-3, loop0. "" when no disk is known, as on a network file system
	Model   string // "" when it has none
	Backing string // of a loop device: its file
	// WriteCache is "write back" when the disk has a volatile cache, so that every durable write carries a flush or FUA, "write through" when not.
	WriteCache string
	FUA        bool // the disk makes one write durable by itself, without a flush of the whole cache
	Rotational bool
	Sector     int // bytes of a logical sector, the least that it writes
	// Discards: the target is a file, and its file system gives the blocks of deleted files back to the disk at once (mount option discard).
	Discards bool
}

func (h Hardware) String() string {
	if h.Device == "" {
		return "unknown"
	}
	var b strings.Builder
	b.WriteString(h.Device)
	for _, s := range []string{h.Model, h.Backing} {
		if s != "" {
			fmt.Fprintf(&b, " (%s)", s)
		}
	}
	fmt.Fprintf(&b, ", write cache: %s, FUA: %t, rotational: %t, sectors of %d bytes", h.WriteCache, h.FUA, h.Rotational, h.Sector)
	if h.Discards {
		b.WriteString(", mounted with discard")
	}
	return b.String()
}

// log writes the line of an opening.
func (h Hardware) log(to *slog.Logger, path string) {
	if h.Device == "" {
		to.Info("wal: device", "path", path, "disk", "unknown")
		return
	}
	to.Info("wal: device", "path", path, "disk", h.Device, "model", h.Model, "write_cache", h.WriteCache, "fua", h.FUA, "rotational", h.Rotational,
		"sector", h.Sector)
	if h.Discards {
		to.Warn("wal: the file system is mounted with the option discard: removing large files from it holds up every durable write for tens of "+
			"milliseconds; mount it with nodiscard and run fstrim now and then, or give the log a device of its own", "path", path)
	}
}

// hardware looks a target's disk up.
func (d *fileDevice) hardware() Hardware {
	var st unix.Stat_t
	if err := unix.Fstat(d.fd, &st); err != nil {
		return Hardware{}
	}
	if d.block {
		return diskOf("/sys", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	}
	h := diskOf("/sys", unix.Major(st.Dev), unix.Minor(st.Dev))
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err == nil {
		h.Discards = discards(string(mounts), unix.Major(st.Dev), unix.Minor(st.Dev))
	}
	return h
}

// discards looks for the option in the list of mounts (proc_pid_mountinfo(5)): id, parent, major:minor, root, mount point, options, optional fields
// up to a dash, type, source, options of the file system.
func discards(mountinfo string, major, minor uint32) bool {
	dev := fmt.Sprintf("%d:%d", major, minor)
	for line := range strings.Lines(mountinfo) {
		f := strings.Fields(line)
		dash := slices.Index(f, "-")
		if len(f) < 6 || f[2] != dev || dash < 0 || dash+3 >= len(f) {
			continue
		}
		for option := range strings.SplitSeq(f[dash+3], ",") {
			if option == "discard" || strings.HasPrefix(option, "discard=") { // btrfs: discard=async
				return true
			}
		}
	}
	return false
}

// diskOf reads what sysfs tells of a block device. A partition leads to its disk.
func diskOf(sys string, major, minor uint32) Hardware {
	dir, err := filepath.EvalSymlinks(filepath.Join(sys, "dev", "block", fmt.Sprintf("%d:%d", major, minor)))
	if err != nil {
		return Hardware{}
	}
	if _, err := os.Stat(filepath.Join(dir, "partition")); err == nil {
		dir = filepath.Dir(dir)
	}
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return ""
		}
		return strings.Join(strings.Fields(string(b)), " ")
	}
	h := Hardware{
		Device: filepath.Base(dir), Model: read("device/model"), Backing: read("loop/backing_file"), WriteCache: read("queue/write_cache"),
		FUA: read("queue/fua") == "1", Rotational: read("queue/rotational") == "1",
	}
	if h.WriteCache == "" {
		h.WriteCache = "unknown"
	}
	h.Sector, _ = strconv.Atoi(read("queue/logical_block_size"))
	return h
}
