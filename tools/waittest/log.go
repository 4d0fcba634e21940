package waittest

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// Log keeps what is written to it, for a test that reads the log of what it tests. The zero value is empty. All methods may be called from any
// goroutine, except Await.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String is everything that was written.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Logger writes lines of text to the log, from a level on.
func (l *Log) Logger(least slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: least}))
}

// With returns the lines that hold all of the words.
func (l *Log) With(words ...string) []string { return LinesWith(l.String(), words...) }

// Await waits for a line that holds all of the words; a failure shows the whole log. Call it from the test's own goroutine.
func (l *Log) Await(t testing.TB, limit time.Duration, words ...string) {
	t.Helper()
	UntilNil(t, limit, fmt.Sprintf("a line with %q", words), func() error {
		if text := l.String(); len(LinesWith(text, words...)) == 0 {
			return fmt.Errorf("the log is:\n%s", text)
		}
		return nil
	})
}

// LinesWith returns the lines of a text that hold all of the words, without their ends.
func LinesWith(text string, words ...string) (lines []string) {
next:
	for line := range strings.Lines(text) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue next
			}
		}
		lines = append(lines, strings.TrimRight(line, "\n"))
	}
	return lines
}
