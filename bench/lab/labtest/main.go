package labtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Main is the TestMain of a package whose tests run the server as a process: it sets *binary to the server's path before the tests run, which is that of
// RINGMQ_BINARY, or else of a server that is built now, once, and removed afterwards. It does not return.
func Main(m *testing.M, binary *string) {
	os.Exit(func() int {
		if *binary = os.Getenv("RINGMQ_BINARY"); *binary != "" {
			return m.Run()
		}
		dir, err := os.MkdirTemp("", "ringmq-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		*binary = filepath.Join(dir, "ringmq")
		build := exec.Command("go", "build", "-ldflags=-checklinkname=0", "-o", *binary, "github.com/ringmq/ringmq/tools/ringmq")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build the server: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}
