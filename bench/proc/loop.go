package proc

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Loop is a loop device: a file that stands in for a raw disk. Direct I/O to the file is asked for, so that the page cache is not written
// twice.
type Loop struct{ Device, File string }

// NewLoop makes a file of zeros and a loop device on it. The error says when the machine does not allow loop devices.
func NewLoop(file string, bytes int64) (*Loop, error) {
	f, err := os.Create(file)
	if err != nil {
		return nil, fmt.Errorf("proc: %w", err)
	}
	defer f.Close()
	// Written, not only allocated: a device has all its blocks.
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < bytes; at += int64(len(zeros)) {
		if _, err := f.Write(zeros[:min(int64(len(zeros)), bytes-at)]); err != nil {
			os.Remove(file)
			return nil, fmt.Errorf("proc: %w", err)
		}
	}
	if err := f.Sync(); err != nil {
		os.Remove(file)
		return nil, fmt.Errorf("proc: %w", err)
	}
	out, err := exec.Command("losetup", "--find", "--show", "--direct-io=on", file).CombinedOutput()
	if err != nil {
		os.Remove(file)
		return nil, fmt.Errorf("proc: losetup: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return &Loop{strings.TrimSpace(string(out)), file}, nil
}

// Close detaches the device and removes its file.
func (l *Loop) Close() error {
	out, err := exec.Command("losetup", "--detach", l.Device).CombinedOutput()
	if err != nil {
		return fmt.Errorf("proc: losetup --detach %s: %w: %s", l.Device, err, strings.TrimSpace(string(out)))
	}
	return os.Remove(l.File)
}
