package netpoll

import (
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	logBurst    = 10          // lines of one kind in a row
	logInterval = time.Second // one more line of a kind per interval
)

// limitedLog writes lines that peers can cause, at most one per second and kind after a burst of ten. The line after a gap
// says how many were left out.
type limitedLog struct {
	log *slog.Logger
	now func() time.Time

	mu    sync.Mutex
	kinds map[string]*logKind
}

type logKind struct {
	tokens  int
	filled  time.Time
	skipped int
}

func newLimitedLog(l *slog.Logger) *limitedLog {
	return &limitedLog{log: l, now: time.Now, kinds: make(map[string]*logKind)}
}

func (l *limitedLog) warn(kind, msg string, args ...any) {
	l.mu.Lock()
	k, now := l.kinds[kind], l.now()
	if k == nil {
		k = &logKind{tokens: logBurst, filled: now}
		l.kinds[kind] = k
	}
	if n := int(now.Sub(k.filled) / logInterval); n > 0 {
		k.tokens = min(logBurst, k.tokens+n)
		k.filled = k.filled.Add(time.Duration(n) * logInterval)
	}
	if k.tokens == 0 {
		k.skipped++
		l.mu.Unlock()
		return
	}
	k.tokens--
	skipped := k.skipped
	k.skipped = 0
	l.mu.Unlock()
	if skipped > 0 {
		args = append(args, "similar_lines_left_out", skipped)
	}
	l.log.Warn(msg, args...)
}

// gnetLogger passes on what gnet has to say. gnet's logger is process-wide; with several servers the last one gets it.
type gnetLogger struct{ log *slog.Logger }

func (g gnetLogger) Debugf(format string, args ...any) {
	g.log.Debug("gnet: " + fmt.Sprintf(format, args...))
}
func (g gnetLogger) Infof(format string, args ...any) {
	g.log.Debug("gnet: " + fmt.Sprintf(format, args...))
}
func (g gnetLogger) Warnf(format string, args ...any) {
	g.log.Warn("gnet: " + fmt.Sprintf(format, args...))
}
func (g gnetLogger) Errorf(format string, args ...any) {
	g.log.Error("gnet: " + fmt.Sprintf(format, args...))
}
func (g gnetLogger) Fatalf(format string, args ...any) {
	g.log.Error("gnet: " + fmt.Sprintf(format, args...))
}
