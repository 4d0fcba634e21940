package loglevel

import (
	"log/slog"
	"maps"
	"slices"
)

// Nothing is written at the two levels that slog has no name for: FATAL silences a log, TRACE is as good as DEBUG.
var levels = map[string]slog.Level{"TRACE": slog.LevelDebug - 4, "DEBUG": slog.LevelDebug, "INFO": slog.LevelInfo, "WARN": slog.LevelWarn, "ERROR": slog.LevelError, "FATAL": slog.LevelError + 4}

// Names are the levels that can be set, by the alphabet.
var Names = slices.Sorted(maps.Keys(levels))

// Level is the level of a log and of all loggers that come from it. Any goroutine may use it.
type Level struct{ v slog.LevelVar }

// Set makes it the named level, and reports whether there is one.
func (l *Level) Set(name string) bool {
	level, ok := levels[name]
	if ok {
		l.v.Set(level)
	}
	return ok
}

// String is the name of the level.
func (l *Level) String() string {
	now, best := l.v.Level(), "TRACE"
	for name, level := range levels {
		if level <= now && level > levels[best] {
			best = name
		}
	}
	return best
}

// Valid reports whether there is a level of the name.
func Valid(name string) bool {
	_, ok := levels[name]
	return ok
}

// handler writes what its level lets through.
type handler struct {
	slog.Handler
	level *Level
}

// New returns a handler whose level can be changed; open makes the one that writes, with options that have the level.
func New(level slog.Level, open func(*slog.HandlerOptions) slog.Handler) slog.Handler {
	l := &Level{}
	l.v.Set(level)
	return handler{open(&slog.HandlerOptions{Level: &l.v}), l}
}

// Of returns the level of a logger, nil when it cannot be changed.
func Of(log *slog.Logger) *Level {
	if h, ok := log.Handler().(handler); ok {
		return h.level
	}
	return nil
}

// WithAttrs is slog.Handler's.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(attrs), h.level}
}

// WithGroup is slog.Handler's.
func (h handler) WithGroup(name string) slog.Handler {
	return handler{h.Handler.WithGroup(name), h.level}
}
