package resilience

import (
	"testing"
	"time"
)

// TestFailingDeviceUnderWAL has a block device under the WAL fail for good, in the kernel, in the middle of a load: it is backed by a sparse file whose
// file system fills up. The node ends with status 1 and says why; whoever produces gets no acknowledgement that is not kept: when the device is in
// order again, everything acknowledged is there.
func TestFailingDeviceUnderWAL(t *testing.T) {
	short(t)
	disk := smallDisk(t, "96m")
	device := loopDeviceIn(t, disk, 128*mib)
	n := newNode(t, t.TempDir(), "s3.wal.path="+device, "s3.wal.upload.interval.ms=60000", "s3.wal.upload.threshold=67108864")
	n.start()
	l := startLoad(t, n, "failing", 4, 3000, 1024)
	l.awaitAcks(30*time.Second, 3000)
	free := fillDisk(t, disk)
	began := time.Now()
	select {
	case <-n.Exited():
	case <-time.After(30 * time.Second):
		t.Fatal("the device under the WAL fails and the node goes on")
	}
	took := time.Since(began)
	if status := n.ExitStatus(); status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
	t.Log(n.awaitLine(time.Second, "level=ERROR", "wal: the device failed, the log is stopped", device))
	t.Log(n.awaitLine(time.Second, "wal: device failed", "node 1 failed"))
	acked := l.acked()
	free()
	recovery := n.start()
	l.awaitAcks(30*time.Second, 3000)
	l.stop()
	l.check()
	note(t, map[string]any{"exit_after": took.String(), "acked_before": acked, "start_after": recovery.String()})
}
