package resilience

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ringmq/ringmq/tools/waittest"
)

// smallDisk mounts a file system of a size. Where that is not allowed the test is skipped.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("SKIPPED: full disks; they need the right to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		// A server that was just killed may hold it for a moment.
		waittest.Until(t, 10*time.Second, "unmount of "+dir, func() bool { return syscall.Unmount(dir, 0) == nil })
	})
	return dir
}

// fillDisk takes all space that is left in a directory's file system, and returns what gives it back.
func fillDisk(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for chunk := make([]byte, 64<<10); len(chunk) > 0; {
		if _, err := f.Write(chunk); errors.Is(err, syscall.ENOSPC) {
			chunk = chunk[:len(chunk)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// TestFullDiskUnderObjects fills the disk under a file:// object store. To producers that is an outage like any other: nothing fails, and what
// waits in the WAL is uploaded when there is space.
func TestFullDiskUnderObjects(t *testing.T) {
	short(t)
	disk := smallDisk(t, "96m")
	n := newNode(t, t.TempDir(), "s3.data.buckets=0@file://"+disk)
	n.start()
	l := startLoad(t, n, "full", 4, 3000, 1024)
	n.await(30*time.Second, "object on the disk", func() bool { return used(t, disk) > mib })
	free := fillDisk(t, disk)
	line := n.awaitLine(30*time.Second, "level=ERROR", "upload failed: records stay in the write-ahead log")
	t.Log(line)
	if !strings.Contains(line, "no space") && !strings.Contains(line, "full") {
		t.Errorf("the line does not say that the disk is full: %s", line)
	}
	l.awaitAcks(30*time.Second, 3000)
	free()
	n.awaitLine(30*time.Second, "uploads succeed again")
	l.awaitAcks(30*time.Second, 3000)
	if stall := l.stop(); stall > longestStall {
		t.Errorf("producers were without an acknowledgement for %v, allowed are %v", stall, longestStall)
	}
	l.check()
	n.stop()
	n.start()
	l.check()
}

// TestFullDiskUnderMetadata fills the disk under the metadata log. Without metadata no upload is committed and no topic created; whatever the node does
// about it, it must say why, and what it has acknowledged is there when it runs again.
func TestFullDiskUnderMetadata(t *testing.T) {
	short(t)
	disk := smallDisk(t, "96m")
	n := newNode(t, t.TempDir(), "metadata.log.dir="+filepath.Join(disk, "meta"), "metadata.log.max.record.bytes.between.snapshots=2097152")
	n.start()
	l := startLoad(t, n, "full", 4, 3000, 1024)
	l.awaitAcks(30*time.Second, 3000)
	free := fillDisk(t, disk)
	// Files of the metadata log are made before they are needed: large settings fill what there is, so that it needs another one.
	cl := n.client(kgo.RetryTimeout(3*time.Second), kgo.RequestRetries(1))
	admin := kadm.NewClient(cl)
	long := strings.Repeat("0:1,", 8_000) + "0:1"
	changed := 0
	waittest.Until(t, time.Minute, "end of what the metadata log takes", func() bool {
		changes, err := admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "leader.replication.throttled.replicas", Value: kadm.StringPtr(fmt.Sprint(changed, ":1,", long))}}, "full")
		if err == nil && changes[0].Err == nil {
			changed++
			return false
		}
		return true
	})
	t.Log(n.awaitLine(time.Second, "level=ERROR", "kraft: node stops", "no space left on device"))
	select {
	case <-n.Exited():
	case <-time.After(30 * time.Second):
		t.Fatal("the node cannot write its metadata log and goes on")
	}
	if n.ExitStatus() != 1 {
		t.Errorf("a node whose metadata log failed ended with status %d, want 1", n.ExitStatus())
	}
	free()
	n.start()
	l.awaitAcks(30*time.Second, 3000)
	l.stop()
	l.check()
	note(t, map[string]any{"changes_until_the_end": changed})
}

// TestFullDiskUnderWAL: a WAL file that does not fit is refused at the start, by name and with the sizes, and leaves nothing half made; after that a disk
// without space does not disturb the WAL, which is written full when it is created.
func TestFullDiskUnderWAL(t *testing.T) {
	short(t)
	disk := smallDisk(t, "48m")
	dir := t.TempDir()
	target := filepath.Join(disk, "wal")
	n := newNode(t, dir, "s3.wal.path=0@file://"+target+"?capacity=134217728")
	refusal(t, n, target, "no space left on device")
	if _, err := os.Stat(target); err == nil {
		t.Error("a half made log was left behind")
	}
	n.Overrides = append(n.Overrides, "s3.wal.path=0@file://"+target+"?capacity=33554432", "s3.wal.upload.threshold=4194304")
	n.start()
	free := fillDisk(t, disk)
	defer free()
	l := startLoad(t, n, "full", 4, 0, 1024)
	l.awaitAcks(60*time.Second, 100_000) // three times around the log
	n.Kill()
	n.start()
	l.awaitAcks(30*time.Second, 1000)
	l.stop()
	l.check()
}

// used is how many bytes the files of a directory tree hold.
func used(t *testing.T, dir string) (bytes int64) {
	t.Helper()
	_ = filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if info, err := e.Info(); err == nil {
				bytes += info.Size()
			}
		}
		return nil
	})
	return bytes
}
