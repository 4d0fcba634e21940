package wal

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ringmq/ringmq/wal/waltest"
)

// TestForeign shows targets that are not this node's log: each is refused by name and left as it is.
func TestForeign(t *testing.T) {
	type change struct {
		at   int64
		data string
	}
	cases := map[string]change{
		"ext2, ext3 or ext4": {0x438, "\x53\xef"},
		"XFS":                {0, "XFSB"},
		"btrfs":              {0x10040, "_BHRfS_M"},
		"LUKS":               {0, "LUKS\xba\xbe"},
		"LVM":                {0x200, "LABELONE"},
		"swap":               {0xff6, "SWAPSPACE2"},
		"ZFS":                {128<<10 + 4096, "\x0c\xb1\xba\x00\x00\x00\x00\x00"},
		"GPT":                {0x200, "EFI PART"},
		"backup of a GPT":    {2<<20 - 512, "EFI PART"},
		"MBR":                {0x1fe, "\x55\xaa"},
		"unknown data (first byte that is not zero at 70000)": {70000, "x"},
		"a damaged write-ahead log":                           {0, superMagic},
	}
	for want, c := range cases {
		d := waltest.New(2 << 20)
		copy(d.Bytes()[c.at:], c.data)
		before := bytes.Clone(d.Bytes())
		o := testOptions(t)
		o.Path, o.Device = "", d
		_, err := Open(o)
		if !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
		if err := Format(o, false); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: format without force: %v", want, err)
		}
		if !bytes.Equal(before, d.Bytes()) {
			t.Errorf("%s: the refused device was written to", want)
		}
		if err := Format(o, true); err != nil {
			t.Errorf("%s: format with force: %v", want, err)
		}
		if found, err := inventory(d); err != nil || !strings.HasPrefix(found, "the write-ahead log of cluster") {
			t.Errorf("%s: after the format: %q, %v", want, found, err)
		}
		if c.at >= ringStart && c.at < probeBytes && !bytes.Contains(d.Bytes()[c.at:c.at+8], make([]byte, 8)) {
			t.Errorf("%s: its signature is still there", want)
		}
		l, all := recovered(t, o)
		if len(all) != 0 {
			t.Errorf("%s: %d records after the format", want, len(all))
		}
		l.Close(true)
	}
}

// TestIdentity opens a log as somebody else.
func TestIdentity(t *testing.T) {
	o := testOptions(t)
	o.NodeEpoch = 5
	l, _ := recovered(t, o)
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	other := o
	other.ClusterID = "another"
	if _, err := Open(other); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), `cluster "test-cluster", node 7`) {
		t.Errorf("other cluster: %v", err)
	}
	other = o
	other.NodeID = 8
	if _, err := Open(other); !errors.Is(err, ErrForeign) {
		t.Errorf("other node: %v", err)
	}
	other = o
	other.NodeEpoch = 4
	if _, err := Open(other); !errors.Is(err, ErrFenced) {
		t.Errorf("older epoch: %v", err)
	}
	for _, epoch := range []int64{0, 6} {
		o.NodeEpoch = epoch
		l, _ = recovered(t, o)
		if want := max(5, epoch); l.super.NodeEpoch != want {
			t.Errorf("epoch %d, want %d", l.super.NodeEpoch, want)
		}
		if err := l.Close(true); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOneSuperblockIsEnough damages either slot in turn, between lives with trims.
func TestOneSuperblockIsEnough(t *testing.T) {
	d := waltest.New(2 << 20)
	o := testOptions(t)
	o.Path, o.Device, o.Logger = "", d, nil
	space := notifier(&o)
	var want []got
	l, _ := recovered(t, o)
	for life := range 12 {
		w := newWaiter()
		appended := 0
		for i := range 30 {
			data := record(life<<8+i, 30000)
			e, err := l.Append(w, nil, data)
			if err == ErrFull {
				w.wait(appended)
				want = want[len(want)/2:]
				if err := l.Trim(want[0].pos); err != nil {
					t.Fatal(err)
				}
				<-space
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			e.Mem.Unref()
			appended++
			want = append(want, got{e.Pos, data})
		}
		w.wait(appended)
		if err := l.Close(life%3 == 0); err != nil {
			t.Fatal(err)
		}
		for slot := range int64(2) { // either copy alone leads to the same records
			damaged := waltest.FromImage(bytes.Clone(d.Bytes()))
			clear(damaged.Bytes()[slot*slotStride:][:pageBytes])
			p := o
			p.Device = damaged
			l, all := recovered(t, p)
			for len(all) > 0 && all[0].pos < want[0].pos {
				all = all[1:]
			}
			check(t, all, want)
			l.Close(false)
			damaged.Reopen()
			if _, faults, err := loadSuperblocks(damaged); err != nil || faults[0] != nil || faults[1] != nil {
				t.Fatalf("the damaged slot was not repaired: %v, %v", faults, err)
			}
		}
		d.Reopen()
		l, _ = recovered(t, o)
	}
	l.Close(false)
}

func TestFileCreation(t *testing.T) {
	o := testOptions(t)
	// An empty file is like none; what an interrupted creation left is overwritten.
	for _, name := range []string{o.Path, o.Path + ".new"} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(o.Path+".new", bytes.Repeat([]byte("left over"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	l, _ := recovered(t, o)
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(o.Path + ".new"); !os.IsNotExist(err) {
		t.Errorf("the temporary file is still there: %v", err)
	}
	st, err := os.Stat(o.Path)
	if err != nil || st.Size() != o.CapacityBytes {
		t.Fatalf("%v, %v", st.Size(), err)
	}
	// A later change of the option does not resize the file.
	o.CapacityBytes *= 2
	l, _ = recovered(t, o)
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	if again, _ := os.Stat(o.Path); again.Size() != st.Size() {
		t.Errorf("the file has %d bytes now", again.Size())
	}
	if err := Format(o, false); !errors.Is(err, ErrForeign) {
		t.Errorf("format of a log without force: %v", err)
	}
	if err := Format(o, true); err != nil {
		t.Error(err)
	}
	if again, _ := os.Stat(o.Path); again.Size() != o.CapacityBytes {
		t.Errorf("the formatted file has %d bytes", again.Size())
	}
}

func TestNotATarget(t *testing.T) {
	o := testOptions(t)
	o.Path = t.TempDir()
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "neither") {
		t.Errorf("a directory: %v", err)
	}
	o.Path = filepath.Join(o.Path, "no", "such", "place")
	if _, err := Open(o); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing directory: %v", err)
	}
	o = testOptions(t)
	if err := os.WriteFile(o.Path, make([]byte, 100), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "100 bytes") && !strings.Contains(err.Error(), "0 bytes") {
		t.Errorf("a tiny file: %v", err)
	}
	if err := os.WriteFile(o.Path, make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(o); !errors.Is(err, ErrForeign) {
		t.Errorf("a file of zeroes: %v", err)
	}
}

func TestBusy(t *testing.T) {
	o := testOptions(t)
	o.lockWait = time.Millisecond
	l, _ := recovered(t, o)
	if _, err := Open(o); !errors.Is(err, ErrBusy) {
		t.Errorf("a second open: %v", err)
	}
	if err := Format(o, true); !errors.Is(err, ErrBusy) {
		t.Errorf("a format of an open log: %v", err)
	}
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	l, _ = recovered(t, o)
	l.Close(true)
}

func TestOptions(t *testing.T) {
	for want, change := range map[string]func(*Options){
		"Path":          func(o *Options) { o.Path = "" },
		"CapacityBytes": func(o *Options) { o.CapacityBytes = 1<<20 + 1 },
		"MemoryBytes":   func(o *Options) { o.MemoryBytes = 1 },
		"QueueDepth":    func(o *Options) { o.QueueDepth = 17 },
		"BlockBytes":    func(o *Options) { o.BlockBytes = 5000 },
		"ClusterID":     func(o *Options) { o.ClusterID = strings.Repeat("x", 65) },
		"Mode":          func(o *Options) { o.Mode = "fast" },
	} {
		o := testOptions(t)
		change(&o)
		if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "Options."+want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// TestBlockDevice runs the log on a loop device, which stands in for a raw disk.
func TestBlockDevice(t *testing.T) {
	backing := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(backing, make([]byte, 16<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "--find", "--show", "--direct-io=on", backing).CombinedOutput()
	if err != nil {
		t.Skipf("SKIPPED: no loop device is allowed here: %v: %s", err, bytes.TrimSpace(out))
	}
	dev := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", dev).CombinedOutput(); err != nil {
			t.Errorf("losetup --detach %s: %v: %s", dev, err, out)
		}
	})
	modes(t, func(t *testing.T, o Options) {
		o.Path = dev
		if err := Format(o, true); err != nil {
			t.Fatal(err)
		}
		l, _ := recovered(t, o)
		if st := l.Stats(); st.Capacity != 16<<20-ringStart {
			t.Errorf("ring of %d bytes on a device of 16 MiB", st.Capacity)
		}
		w := newWaiter()
		var want []got
		for i := range 50 {
			data := record(i, 50<<10)
			e, err := l.Append(w, nil, data)
			if err != nil {
				t.Fatal(err)
			}
			e.Mem.Unref()
			want = append(want, got{e.Pos, data})
		}
		w.wait(len(want))
		busy := o
		busy.lockWait = time.Millisecond
		if _, err := Open(busy); !errors.Is(err, ErrBusy) {
			t.Errorf("a second open: %v", err)
		}
		if err := l.Close(false); err != nil {
			t.Fatal(err)
		}
		l, all := recovered(t, o)
		check(t, all, want)
		if err := l.Close(true); err != nil {
			t.Fatal(err)
		}
	})
	// A file system on it is refused, mounted or not.
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		t.Skip("SKIPPED in part: no mkfs.ext4 here")
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", dev).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
	o := testOptions(t)
	o.Path, o.lockWait = dev, time.Millisecond
	if _, err := Open(o); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "ext4") {
		t.Errorf("a device with a file system: %v", err)
	}
	at := t.TempDir()
	if out, err := exec.Command("mount", dev, at).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED in part: mount is not allowed here: %v: %s", err, out)
	}
	defer func() {
		if out, err := exec.Command("umount", at).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	}()
	if err := Format(o, true); !errors.Is(err, ErrBusy) {
		t.Errorf("format of a mounted device, with force: %v", err)
	}
}
