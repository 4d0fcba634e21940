package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ringmq/ringmq/kraft"
)

// TestWALState: a log may be replaced when nothing remained in the old one, or when that was rescued or given up, and not otherwise.
func TestWALState(t *testing.T) {
	none, first, second := [16]byte{}, [16]byte{1}, [16]byte{2}
	note := func(log [16]byte, state string, epoch int64) string {
		return fmt.Sprintf("%x %s %d\n", log, state, epoch)
	}
	line := func(log [16]byte, state string) string { return fmt.Sprintf("%x %s\n", log, state) }
	rescued := func(log [16]byte, epoch int64) *kraft.Broker {
		return &kraft.Broker{RescuedWAL: log, RescuedEpoch: epoch}
	}
	using := func(log [16]byte) *kraft.Broker { return &kraft.Broker{WAL: log} }
	for name, c := range map[string]struct {
		note    string // "": none
		known   *kraft.Broker
		log     [16]byte
		missing [16]byte
	}{
		"the first start":                         {"", nil, first, none},
		"after a crash":                           {note(first, walOpen, 3), using(first), first, none},
		"another log after a crash":               {note(first, walOpen, 3), using(first), second, first},
		"the same, of an earlier version":         {line(first, walOpen), nil, second, first},
		"another log after a clean stop":          {note(first, walEmpty, 3), using(none), second, none},
		"the controller did not hear of the stop": {note(first, walEmpty, 3), using(first), second, none},
		"a new host in the place of a dead one":   {"", using(first), second, first},
		"the same, its log rescued":               {"", rescued(first, 5), second, none},
		"rescued elsewhere":                       {note(first, walOpen, 3), rescued(first, 5), second, none},
		"rescued elsewhere, and back emptied":     {note(first, walOpen, 3), rescued(first, 5), first, none},
		"rescued once, and used since":            {note(first, walOpen, 7), &kraft.Broker{WAL: first, RescuedWAL: first, RescuedEpoch: 5}, second, first},
		"another one was rescued":                 {note(first, walOpen, 3), rescued(second, 5), second, first},
		"given up":                                {line(first, walLost), using(first), second, none},
		"another one was given up":                {line(second, walLost), using(first), second, first},
		"the first one back, the second in use":   {note(second, walOpen, 4), using(second), first, second},
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, walStateName)
		if c.note != "" {
			if err := os.WriteFile(file, []byte(c.note), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		s, err := openWALState(dir, c.log, "target", 9, c.known)
		if c.missing != none {
			if want := fmt.Sprintf("log %x may still", c.missing); !errors.Is(err, ErrWALMissing) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) {
				t.Errorf("%s: %v, want ErrWALMissing with %q that names %s", name, err, want, file)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if b, _ := os.ReadFile(file); string(b) != note(c.log, walOpen, 9) {
			t.Errorf("%s: the file holds %q", name, b)
		}
		if err := s.empty(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if b, _ := os.ReadFile(file); string(b) != note(c.log, walEmpty, 9) {
			t.Errorf("%s: after a clean stop the file holds %q", name, b)
		}
	}
}

// TestWALStateDamaged: what is not a state is refused, by name.
func TestWALStateDamaged(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, walStateName)
	for _, text := range []string{"", "garbage", "00 open\n", strings.Repeat("0", 32) + " full\n", strings.Repeat("0", 32) + " open x\n"} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := openWALState(dir, [16]byte{}, "target", 1, nil); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("state %q: %v, want an error that names %s", text, err, file)
		}
	}
}
