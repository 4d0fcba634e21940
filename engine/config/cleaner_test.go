package config

import (
	"errors"
	"testing"
	"time"
)

func TestCleaner(t *testing.T) {
	none := func(string) (string, bool) { return "", false }
	c := load(t, Source{})
	if got, want := c.Cleaner(none), (Cleaner{true, 1, 128 << 20, 0.9, 0, 15 * time.Second}); got != want {
		t.Errorf("defaults: %+v, want %+v", got, want)
	}
	c = load(t, Source{Overrides: []string{"log.cleaner.enable=false", "log.cleaner.threads=3", "log.cleaner.dedupe.buffer.size=4194304",
		"log.cleaner.io.max.bytes.per.second=1e6", "log.cleaner.backoff.ms=7", "log.cleaner.io.buffer.load.factor=0.5"}})
	if got, want := c.Cleaner(none), (Cleaner{false, 3, 4 << 20, 0.5, 1e6, 7 * time.Millisecond}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	set := map[string]string{"log.cleaner.threads": "2", "log.cleaner.backoff.ms": "not a number"}
	got := c.Cleaner(func(key string) (string, bool) { v, ok := set[key]; return v, ok })
	if got.Threads != 2 || got.Backoff != 7*time.Millisecond {
		t.Errorf("set at run time: %+v", got)
	}
	for _, bad := range []string{"log.cleaner.threads=-1", "log.cleaner.dedupe.buffer.size=1000", "log.cleaner.backoff.ms=-1", "log.cleaner.enable=maybe"} {
		if _, _, err := Load(Source{Overrides: []string{bad}}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if err := ValidateBroker("log.cleaner.threads", "2", false); err != nil {
		t.Errorf("threads cannot be changed at run time: %v", err)
	}
	if err := ValidateBroker("log.cleaner.enable", "false", false); !errors.Is(err, ErrReadOnly) {
		t.Errorf("log.cleaner.enable at run time: %v", err)
	}
}
