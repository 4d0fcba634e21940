package resilience

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// loopDevice makes a block device of a file. Where that is not allowed the test is skipped.
func loopDevice(t *testing.T, size int64) string { return loopDeviceIn(t, t.TempDir(), size) }

// loopDeviceIn keeps the file in a directory. It is sparse: the device fails when the directory's file system is full.
func loopDeviceIn(t *testing.T, dir string, size int64) string {
	t.Helper()
	image := filepath.Join(dir, "device")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, size); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "--find", "--show", image).CombinedOutput()
	if err != nil {
		t.Skipf("SKIPPED: what runs on a block device; it needs a loop device: %v: %s", err, strings.TrimSpace(string(out)))
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", device).CombinedOutput(); err != nil {
			t.Errorf("detach %s: %v: %s", device, err, out)
		}
	})
	return device
}

// TestBlockDevice keeps the WAL on a raw block device: a node is killed under load, recovers from the device, and everything is there. Then a
// node of another cluster is refused, and so is this one after the device was changed for an empty one.
func TestBlockDevice(t *testing.T) {
	short(t)
	device := loopDevice(t, 256*mib)
	n := newNode(t, t.TempDir(), "s3.wal.path="+device, "s3.wal.upload.interval.ms=60000")
	n.start()
	if ready := n.awaitLine(time.Second, "msg=ready"); !strings.Contains(ready, "wal="+device+" ") {
		t.Errorf("the node does not say that it uses the device: %s", ready)
	}
	l := startLoad(t, n, "device", 4, 4000, 1024)
	var starts []string
	for range 3 {
		l.awaitAcks(30*time.Second, 3000)
		n.Kill()
		starts = append(starts, n.start().String())
	}
	l.awaitAcks(30*time.Second, 3000)
	l.stop()
	r := l.check()
	note(t, map[string]any{"device": device, "records": r.Records, "starts_after_kill": starts})
	n.Kill()

	t.Run("another cluster", func(t *testing.T) {
		other := newNode(t, t.TempDir(), "s3.wal.path="+device)
		refusal(t, other, device, "cluster")
	})
	t.Run("file system", func(t *testing.T) {
		mkfs, err := exec.LookPath("mkfs.ext4")
		if err != nil {
			t.Skipf("SKIPPED: the refusal of a file system: %v", err)
		}
		formatted := loopDevice(t, 64*mib)
		command(t, mkfs, "-q", formatted)
		refusal(t, newNode(t, t.TempDir(), "s3.wal.path="+formatted), formatted, "ext")
		if kind := command(t, "blkid", "-o", "value", "-s", "TYPE", formatted); kind != "ext4" {
			t.Errorf("after the refusal the device holds %q, want the ext4 that was there", kind)
		}
	})
	t.Run("empty device after a kill", func(t *testing.T) {
		swapped := *n.RingMQ
		swapped.Overrides = append(swapped.Overrides[:len(swapped.Overrides):len(swapped.Overrides)], "s3.wal.path="+loopDevice(t, 64*mib))
		refusal(t, &node{RingMQ: &swapped, t: t}, "wal.state", "may still have acknowledged records")
	})
	n.start()
	l.check()
}

// refusal expects a start to fail, with a last line that holds the texts and exit status 1.
func refusal(t *testing.T, n *node, texts ...string) {
	t.Helper()
	line := n.refused()
	t.Log(line)
	for _, text := range texts {
		if !strings.Contains(line, text) {
			t.Errorf("the refusal does not hold %q: %s", text, line)
		}
	}
	if status := n.ExitStatus(); status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
}
