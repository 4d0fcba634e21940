package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestValidateAccess: a log that the user of the node may not write is an error before the node runs, and a directory that it cannot make is told. Root may
// do everything, so the tests of paths are made of what nobody can use.
func TestValidateAccess(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := accessible(filepath.Join(file, "wal")); err == nil || !strings.Contains(err.Error(), "s3.wal.path: "+file) {
		t.Errorf("a log below a file: %v", err)
	}
	if err := accessible(file); err != nil {
		t.Error(err)
	}
	if err := accessible(file + "-missing"); err != nil {
		t.Errorf("a log that is not there yet: %v", err)
	}
	if got := closedParent(filepath.Join(file, "a", "b")); got != filepath.Join(file, "a", "b") {
		t.Errorf("below a file: %q", got)
	}
	if got := closedParent(filepath.Join(filepath.Dir(file), "a", "b")); got != "" {
		t.Errorf("below a directory that may be written: %q", got)
	}
	if os.Geteuid() == 0 {
		return
	}
	if got := closedParent("/not-there/x"); got != "/" {
		t.Errorf("below the root: %q", got)
	}
	if err := os.Chmod(file, 0o400); err != nil {
		t.Fatal(err)
	}
	if err := accessible(file); err == nil {
		t.Error("a log that may not be written passes")
	}
}
