package loglevel_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/ringmq/ringmq/engine/loglevel"
)

func TestLevel(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(loglevel.New(slog.LevelInfo, func(o *slog.HandlerOptions) slog.Handler { return slog.NewTextHandler(&out, o) }))
	derived := log.With("a", 1).WithGroup("g")
	level := loglevel.Of(derived)
	if level == nil || level != loglevel.Of(log) || loglevel.Of(slog.New(slog.DiscardHandler)) != nil {
		t.Fatal("the level of a logger is not that of its log")
	}
	for _, tc := range []struct {
		set, is string
		written []string
	}{
		{"", "INFO", []string{"INFO", "WARN", "ERROR"}},
		{"DEBUG", "DEBUG", []string{"DEBUG", "INFO", "WARN", "ERROR"}},
		{"TRACE", "TRACE", []string{"DEBUG", "INFO", "WARN", "ERROR"}},
		{"WARN", "WARN", []string{"WARN", "ERROR"}},
		{"ERROR", "ERROR", []string{"ERROR"}},
		{"FATAL", "FATAL", nil},
	} {
		if tc.set != "" && !level.Set(tc.set) {
			t.Errorf("%s cannot be set", tc.set)
		}
		out.Reset()
		for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
			derived.Log(t.Context(), l, "m")
		}
		var written []string
		for line := range strings.Lines(out.String()) {
			_, rest, _ := strings.Cut(line, "level=")
			word, _, _ := strings.Cut(rest, " ")
			written = append(written, word)
		}
		if got := strings.Join(written, " "); level.String() != tc.is || got != strings.Join(tc.written, " ") {
			t.Errorf("after %q the level is %v and lines are of %s, want %s and %v", tc.set, level, got, tc.is, tc.written)
		}
	}
	if level.Set("debug") || level.Set("OFF") || level.String() != "FATAL" {
		t.Error("a name that is none was taken")
	}
}
