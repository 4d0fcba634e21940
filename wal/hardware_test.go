package wal

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestDiskOf reads a made-up sysfs: an NVMe drive with a partition, a device mapper volume, a loop device.
func TestDiskOf(t *testing.T) {
	sys := t.TempDir()
	files := map[string]string{
		"devices/pci/nvme0/nvme0n1/device/model":                  "Some  Drive 960GB   \n",
		"devices/pci/nvme0/nvme0n1/queue/write_cache":             "write back\n",
		"devices/pci/nvme0/nvme0n1/queue/fua":                     "1\n",
		"devices/pci/nvme0/nvme0n1/queue/rotational":              "0\n",
		"devices/pci/nvme0/nvme0n1/queue/logical_block_size":      "4096\n",
		"devices/pci/nvme0/nvme0n1/nvme0n1p2/partition":           "2\n",
		"devices/virtual/block/dm-3/queue/write_cache":            "write through\n",
		"devices/virtual/block/dm-3/queue/fua":                    "0\n",
		"devices/virtual/block/dm-3/queue/rotational":             "1\n",
		"devices/virtual/block/dm-3/queue/logical_block_size":     "512\n",
		"devices/virtual/block/loop7/queue/logical_block_size":    "512\n",
		"devices/virtual/block/loop7/loop/backing_file":           "/srv/disk\n",
		"dev/block/this-directory-holds-links-to-devices/ignored": "",
	}
	for name, content := range files {
		path := filepath.Join(sys, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{
		"259:0": "../../devices/pci/nvme0/nvme0n1", "259:2": "../../devices/pci/nvme0/nvme0n1/nvme0n1p2",
		"252:3": "../../devices/virtual/block/dm-3", "7:7": "../../devices/virtual/block/loop7",
	} {
		if err := os.Symlink(to, filepath.Join(sys, "dev/block", link)); err != nil {
			t.Fatal(err)
		}
	}
	nvme := Hardware{Device: "nvme0n1", Model: "Some Drive 960GB", WriteCache: "write back", FUA: true, Sector: 4096}
	for _, c := range []struct {
		major, minor uint32
		want         Hardware
	}{
		{259, 0, nvme},
		{259, 2, nvme},
		{252, 3, Hardware{Device: "dm-3", WriteCache: "write through", Rotational: true, Sector: 512}},
		{7, 7, Hardware{Device: "loop7", Backing: "/srv/disk", WriteCache: "unknown", Sector: 512}},
		{0, 42, Hardware{}}, // a file system without a disk
	} {
		if have := diskOf(sys, c.major, c.minor); have != c.want {
			t.Errorf("%d:%d: %+v, want %+v", c.major, c.minor, have, c.want)
		}
	}
	if have, want := nvme.String(), "nvme0n1 (Some Drive 960GB), write cache: write back, FUA: true, rotational: false, sectors of 4096 bytes"; have != want {
		t.Errorf("%q, want %q", have, want)
	}
}

// TestHardwareIsTold: the disk is in one log line of an opening, in Stats and in Inspect.
func TestHardwareIsTold(t *testing.T) {
	var lines strings.Builder
	o := testOptions(t)
	o.Logger = slog.New(slog.NewTextHandler(&lines, nil))
	l, _ := recovered(t, o)
	h := l.Stats().Hardware
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(lines.String(), `msg="wal: device"`); n != 1 {
		t.Errorf("%d lines about the device:\n%s", n, lines.String())
	}
	info, err := Inspect(t.Context(), o.Path)
	if err != nil || info.Hardware != h {
		t.Errorf("%+v, %v; want %+v", info.Hardware, err, h)
	}
	if h.Device == "" {
		t.Skip("SKIPPED in part: what is told of a real disk; sysfs knows no block device under the test's file system")
	}
	if h.WriteCache != "write back" && h.WriteCache != "write through" || h.Sector < 512 {
		t.Errorf("%+v", h)
	}
}

// TestSectors: a log works on a device with sectors of 4096 bytes, and is refused on one with larger ones, which its pages do not fit.
func TestSectors(t *testing.T) {
	dev := loopDevice(t, filepath.Join(t.TempDir(), "disk"), 8<<20, "--sector-size=4096")
	d, err := openFile(dev, 0, SyncDSync)
	if err != nil {
		t.Fatal(err)
	}
	var sx unix.Statx_t
	err = unix.Statx(d.fd, "", unix.AT_EMPTY_PATH, unix.STATX_DIOALIGN, &sx)
	h := d.hardware()
	d.Close()
	if err == nil && sx.Mask&unix.STATX_DIOALIGN != 0 && sx.Dio_offset_align != 4096 {
		t.Errorf("direct I/O is aligned to %d bytes", sx.Dio_offset_align)
	}
	if h.Sector != 4096 || h.Device != filepath.Base(dev) || h.Backing == "" {
		t.Errorf("%+v", h)
	}
	modes(t, func(t *testing.T, o Options) {
		o.Path = dev
		if err := Format(o, true); err != nil {
			t.Fatal(err)
		}
		l, _ := recovered(t, o)
		f := &filler{t: t}
		f.around(l)
		if err := l.Close(false); err != nil {
			t.Fatal(err)
		}
		l, all := recovered(t, o)
		check(t, behind(all, f.want), f.want)
		l.Close(true)
	})
	large := loopDevice(t, filepath.Join(t.TempDir(), "disk"), 8<<20, "--sector-size=8192")
	o := testOptions(t)
	o.Path = large
	if l, err := Open(o); err == nil || !strings.Contains(err.Error(), "8192") {
		if err == nil {
			l.Close(false)
		}
		t.Errorf("sectors of 8192 bytes: %v", err)
	}
}

func TestDiscards(t *testing.T) {
	const mounts = `21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard,errors=remount-ro
22 21 254:16 / /data rw,noatime - xfs /dev/vdb rw,nodiscard,attr2
23 21 0:40 / /b rw - btrfs /dev/vdc rw,discard=async
24 21 0:41 / /t rw - tmpfs
`
	for _, c := range []struct {
		major, minor uint32
		want         bool
	}{{254, 0, true}, {254, 16, false}, {0, 40, true}, {0, 41, false}, {9, 9, false}} {
		if have := discards(mounts, c.major, c.minor); have != c.want {
			t.Errorf("%d:%d: %t, want %t", c.major, c.minor, have, c.want)
		}
	}
}
