package clients

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringmq/ringmq/tools/javakit"
	"github.com/ringmq/ringmq/tools/waittest"
)

// application is a Java program that runs beside the test.
type application struct {
	t      *testing.T
	cancel context.CancelFunc
	done   chan struct{}
	result javakit.Result // valid after done
	output syncBuffer
	stdin  *os.File // its other end; the program may end when it is closed
}

// startApplication starts a program. It ends with the test at the latest.
func startApplication(t *testing.T, kit *javakit.Kit, c javakit.Command) *application {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	a := &application{t: t, cancel: cancel, done: make(chan struct{}), stdin: w}
	c.Stdin, c.Stdout, c.Stderr = r, &a.output, &a.output
	if c.HeapMB == 0 {
		c.HeapMB = 512
	}
	go func() {
		defer close(a.done)
		a.result, _ = kit.Run(ctx, c)
		r.Close()
	}()
	t.Cleanup(func() {
		a.end()
		if t.Failed() {
			t.Logf("%s%s said:\n%s", c.Tool, c.Main, a.said())
		}
	})
	return a
}

// end sends SIGTERM and waits.
func (a *application) end() {
	a.cancel()
	<-a.done
	a.stdin.Close()
}

// closeInput tells a program that listens to its standard input to end in good order, and waits.
func (a *application) closeInput() javakit.Result {
	a.stdin.Close()
	<-a.done
	return a.result
}

// said is the end of what it printed.
func (a *application) said() string {
	s := a.output.String()
	return s[max(0, len(s)-8000):]
}

// patience bounds every wait for what a program does.
const patience = 2 * time.Minute

// waitFor waits until ok holds, and fails the test with what the last try says when it does not within two minutes, or when the program has ended.
func (a *application) waitFor(what string, ok func() (bool, string)) {
	a.t.Helper()
	waittest.UntilNil(a.t, patience, what, func() error {
		ended := false
		select { // asked first: what a program says before its end counts
		case <-a.done:
			ended = true
		default:
		}
		good, state := ok()
		switch {
		case good:
			return nil
		case ended:
			a.t.Fatalf("%s: the program has ended: %s", what, state)
		}
		return errors.New(state)
	})
}

// properties writes a properties file.
func properties(t *testing.T, name string, p map[string]string) string {
	t.Helper()
	var lines []string
	for k, v := range p {
		lines = append(lines, k+"="+v)
	}
	sort.Strings(lines)
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// syncBuffer is a buffer for several writers.
type syncBuffer struct {
	mu struct {
		sync.Mutex
		b strings.Builder
	}
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.b.String()
}
