package wal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/ringmq/ringmq/tools/waittest"
	"github.com/ringmq/ringmq/wal/waltest"
)

var someChoice = SyncChoice{Method: SyncRWF, Origin: SyncMeasured, Figures: map[SyncMethod]SyncFigure{
	SyncDSync: {120 * time.Microsecond, 3 * time.Millisecond}, SyncRWF: {90 * time.Microsecond, time.Millisecond},
	SyncFdatasync: {100 * time.Microsecond, 10 * time.Second},
}}

// TestNote: a note is read back, for the disk that it was measured on; with any bit of it changed it is none.
func TestNote(t *testing.T) {
	disk := Hardware{Device: "nvme0n1", Model: "m", WriteCache: "write back"}
	page := make([]byte, pageBytes)
	if _, ok := decodeNote(page, disk); ok {
		t.Error("zeroes are a note")
	}
	encodeNote(page, someChoice, disk)
	c, ok := decodeNote(page, disk)
	if !ok || c.Method != SyncRWF || c.Origin != SyncMeasured || c.Figures[SyncRWF] != someChoice.Figures[SyncRWF] ||
		c.Figures[SyncFdatasync].P99 != 1<<32-1 {
		t.Errorf("%v, %v", c, ok)
	}
	for i := range 8 * pageBytes {
		page[i/8] ^= 1 << (i % 8)
		if _, ok := decodeNote(page, disk); ok {
			t.Fatalf("a note with bit %d changed is one", i)
		}
		page[i/8] ^= 1 << (i % 8)
	}
	other := disk
	other.Model = "n"
	if _, ok := decodeNote(page, other); ok {
		t.Error("a note of another disk is believed")
	}
	encodeNote(page, SyncChoice{Method: SyncFdatasync, Origin: SyncFormatted}, disk)
	if c, ok := decodeNote(page, other); !ok || c.Method != SyncFdatasync || c.Origin != SyncFormatted || c.Figures != nil {
		t.Errorf("set by format: %v, %v", c, ok)
	}
}

// TestRemembersSync: what a format measures or sets is used by openings, and options go before it. Whatever the method, all of them read the log.
func TestRemembersSync(t *testing.T) {
	o := testOptions(t)
	if err := Format(o, false); err != nil {
		t.Fatal(err)
	}
	info, err := Inspect(t.Context(), o.Path)
	if err != nil || info.Sync.Origin != SyncMeasured || len(info.Sync.Figures) != 3 {
		t.Fatalf("inspect: %v, %v", info.Sync, err)
	}
	for m, f := range info.Sync.Figures {
		if f.P50 <= 0 || f.P99 < f.P50 {
			t.Errorf("%s: %v", m, f)
		}
	}
	set := o
	set.Sync = SyncFdatasync
	if err := Format(set, true); err != nil {
		t.Fatal(err)
	}
	records := 0
	for _, x := range []struct {
		mode Mode
		ask  SyncMethod
		want SyncMethod
		from SyncOrigin
	}{
		{ModeURing, SyncAuto, SyncFdatasync, SyncFormatted}, {ModeURing, SyncRWF, SyncRWF, SyncConfigured}, {ModePWrite, SyncAuto, SyncFdatasync, SyncFormatted},
		{ModePWrite, SyncDSync, SyncDSync, SyncConfigured}, {ModePWrite, SyncRWF, SyncRWF, SyncConfigured},
	} {
		o.Mode, o.Sync = x.mode, x.ask
		l, all := recovered(t, o)
		if len(all) != records {
			t.Fatalf("%d records, want %d", len(all), records)
		}
		if s := l.Stats(); s.Sync.Method != x.want || s.Sync.Origin != x.from {
			t.Errorf("%s, asked for %q: %v", x.mode, x.ask, s.Sync)
		}
		w := newWaiter()
		mustAppend(t, l, w, 3000)
		w.wait(1)
		if s := l.Stats(); w.errs[0] != nil || s.Durable != l.Next() && s.Durable < w.pos[0] || (s.Flushes > 0) != (x.want == SyncFdatasync) {
			t.Errorf("%s: %v, durable up to %d, %d flushes", x.want, w.errs[0], s.Durable, s.Flushes)
		}
		records++
		if err := l.Close(records%2 == 0); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTrialBesideALog: a log whose target remembers nothing is measured when it is idle, while it goes on as it is, and the next opening uses what was
// found. What the target holds stays as it is.
func TestTrialBesideALog(t *testing.T) {
	o := testOptions(t)
	o.trialIdle = 5 * time.Millisecond
	l, _ := recovered(t, o)
	w := newWaiter()
	mustAppend(t, l, w, 3000)
	w.wait(1)
	waittest.Until(t, testTimeout, "the device is measured", func() bool {
		info, err := Inspect(t.Context(), o.Path)
		return err == nil && info.Sync.Origin == SyncMeasured
	})
	if s := l.Stats(); s.Sync.Method != SyncDSync || s.Sync.Origin != SyncDefault {
		t.Errorf("the open log says %v", s.Sync)
	}
	mustAppend(t, l, w, 3000)
	w.wait(2)
	if err := l.Close(false); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	if i := firstNonZero(before[pageBytes:noteOffset]); i >= 0 {
		t.Errorf("byte %d behind the superblock is not zero", i)
	}
	if i := firstNonZero(before[noteOffset+pageBytes : slotStride]); i >= 0 {
		t.Errorf("byte %d behind the note is not zero", i)
	}
	l, all := recovered(t, o)
	defer l.Close(false)
	if s := l.Stats(); s.Sync.Origin != SyncMeasured || len(all) != 2 {
		t.Errorf("opened again: %v, %d records", s.Sync, len(all))
	}
	if l.mu.trial != nil {
		t.Error("a target that remembers is measured again")
	}
	if _, err := trySync(l.dev.(*fileDevice), ModeAuto, func() bool { return true }); err != errDisturbed {
		t.Errorf("a trial that is disturbed: %v", err)
	}
}

// TestTrialRefusesAnotherFile: what lies at the path of an open log by now is not written to.
func TestTrialRefusesAnotherFile(t *testing.T) {
	o := testOptions(t)
	l, _ := recovered(t, o)
	defer l.Close(false)
	if err := os.Rename(o.Path, o.Path+".away"); err != nil {
		t.Fatal(err)
	}
	stranger := bytes.Repeat([]byte("x"), 1<<20)
	if err := os.WriteFile(o.Path, stranger, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := trySync(l.dev.(*fileDevice), ModeAuto, func() bool { return false }); err == nil {
		t.Error("another file was measured")
	}
	if now, err := os.ReadFile(o.Path); err != nil || !bytes.Equal(now, stranger) {
		t.Errorf("the other file was changed (%v)", err)
	}
}

func TestJudgeTrial(t *testing.T) {
	const us = time.Microsecond
	// turns makes n turns of base, every tenth of them ten times as long.
	turns := func(n int, base time.Duration) []time.Duration {
		took := slices.Repeat([]time.Duration{base}, n)
		for i := 0; i < n; i += 10 {
			took[i] = 10 * base
		}
		return took
	}
	for name, x := range map[string]struct {
		dsync, rwf, fdatasync []time.Duration
		want                  SyncMethod
	}{
		"equal":              {turns(100, 100*us), turns(100, 100*us), turns(100, 100*us), SyncDSync},
		"a little faster":    {turns(100, 100*us), turns(100, 96*us), turns(100, 96*us), SyncDSync},
		"faster":             {turns(100, 100*us), turns(100, 100*us), turns(100, 80*us), SyncFdatasync},
		"both, one more":     {turns(100, 100*us), turns(100, 90*us), turns(100, 80*us), SyncFdatasync},
		"both, the other":    {turns(100, 100*us), turns(100, 80*us), turns(100, 90*us), SyncRWF},
		"bad tail":           {turns(100, 100*us), turns(100, 100*us), append(turns(90, 80*us), turns(10, 2000*us)...), SyncDSync},
		"too few":            {turns(10, 100*us), turns(10, 50*us), turns(10, 50*us), SyncDSync},
		"half of the turns":  {append(turns(51, 100*us), turns(49, 300*us)...), turns(100, 100*us), append(turns(49, 300*us), turns(51, 90*us)...), SyncDSync},
		"does not work here": {turns(100, 100*us), nil, turns(100, 100*us), SyncDSync},
	} {
		all := []trialMethod{{how: SyncDSync, took: x.dsync}, {how: SyncRWF, took: x.rwf}, {how: SyncFdatasync, took: x.fdatasync}}
		c := judgeTrial(all)
		if c.Method != x.want || c.Origin != SyncMeasured || c.Figures[SyncDSync].P50 == 0 {
			t.Errorf("%s: %v", name, c)
		}
	}
}

// lazyLog is a stepped log by SyncFdatasync with up to four blocks in flight.
func lazyLog(t *testing.T, d *waltest.Disk, pick *func(n int) int) (*Log, Stepper, *waiter) {
	t.Helper()
	o := Options{ClusterID: "c", NodeID: 1, QueueDepth: 4, BlockBytes: pageBytes, GatherBytes: 1, Sync: SyncFdatasync}
	l, s, err := OpenStepped(o, d, func(n int) int { return (*pick)(n) })
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Recover(t.Context(), noEntries); err != nil {
		t.Fatal(err)
	}
	return l, s, newWaiter()
}

// picking lets the operations of a step end that are named, by their number among those under way, and then none.
func picking(pick *func(n int) int, order ...int) {
	*pick = func(int) int {
		if len(order) == 0 {
			return -1
		}
		next := order[0]
		order = order[1:]
		return next
	}
}

// TestFlushCoversWhatHadEnded: a block counts by a flush that began after its write had ended, not by one that was already under way, and only behind
// every block before it. A younger block alone brings no flush.
func TestFlushCoversWhatHadEnded(t *testing.T) {
	pick := one
	d := waltest.New(1 << 20)
	l, s, w := lazyLog(t, d, &pick)
	pick = none
	flushes := func() int { return d.Flushes() - 1 } // beside the one of the opening
	for range 3 {
		mustAppend(t, l, w, 3000)
		s.Step()
	}
	state := func(what string, acked, flushed int) {
		t.Helper()
		if len(w.pos) != acked || flushes() != flushed {
			t.Fatalf("%s: %d acknowledged, %d flushes begun; want %d, %d", what, len(w.pos), flushes(), acked, flushed)
		}
	}
	state("three under way", 0, 0)
	picking(&pick, 1) // the second block ends
	s.Step()
	s.Step()
	state("the second has ended", 0, 0)
	picking(&pick, 0) // the first
	s.Step()
	s.Step()
	state("the first has ended", 0, 1)
	picking(&pick, 0) // the third, while the flush is under way
	s.Step()
	s.Step()
	state("the third has ended, too", 0, 1)
	picking(&pick, 0) // the flush
	s.Step()
	s.Step()
	state("the flush has ended", 2, 2)
	if got := l.Stats().Durable; got != 2*pageBytes {
		t.Errorf("durable up to %d", got)
	}
	picking(&pick, 0)
	s.Step()
	s.Step()
	state("the next one, too", 3, 2)
	pick = one
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
}

// TestFailedFlush: a flush that fails stops the log. What it was to cover is not acknowledged, although its writes have succeeded, nothing is tried
// again, and an earlier block stays acknowledged.
func TestFailedFlush(t *testing.T) {
	for _, gone := range []bool{false, true} {
		pick, fail := one, false
		d := waltest.New(1 << 20)
		d.OnFlush = func(int) waltest.Fate {
			if fail {
				fail = false // were it tried again, it would succeed
				return waltest.Fate{Err: syscall.EIO, Gone: gone}
			}
			return waltest.Fate{}
		}
		l, s, w := lazyLog(t, d, &pick)
		mustAppend(t, l, w, 3000)
		for len(w.pos) < 1 {
			s.Step()
		}
		fail = true
		mustAppend(t, l, w, 3000)
		for len(w.pos) < 2 {
			s.Step()
		}
		if w.errs[0] != nil || !errors.Is(w.errs[1], ErrFailed) || !errors.Is(w.errs[1], syscall.EIO) {
			t.Fatalf("completions: %v", w.errs)
		}
		writes, flushes := d.Writes(), d.Flushes()
		if _, err := l.Append(w, nil, nil); !errors.Is(err, ErrFailed) {
			t.Errorf("append: %v", err)
		}
		s.Step()
		if err := l.Close(true); !errors.Is(err, ErrFailed) {
			t.Errorf("close: %v", err)
		}
		if d.Writes() != writes || d.Flushes() != flushes {
			t.Errorf("%d writes and %d flushes after the failure", d.Writes()-writes, d.Flushes()-flushes)
		}
		if used := l.pool.usage(); used != 0 {
			t.Errorf("%d bytes are still mapped", used)
		}
	}
}

// TestFailureBeforeAFlush: a younger block fails while a flush of an older one is under way, or just before it. In the first case the older one is
// acknowledged when the flush succeeds, in the second nobody can say that it is durable.
func TestFailureBeforeAFlush(t *testing.T) {
	for _, under := range []bool{true, false} {
		pick := one
		d := waltest.New(1 << 20)
		on, n := false, 0
		d.OnWrite = func(int, []byte, int64) waltest.Fate {
			if n++; on && n == 2 {
				return waltest.Fate{Err: syscall.EIO}
			}
			return waltest.Fate{}
		}
		l, s, w := lazyLog(t, d, &pick)
		pick, on, n = none, true, 0
		mustAppend(t, l, w, 3000)
		s.Step()
		mustAppend(t, l, w, 3000)
		s.Step()
		if under {
			picking(&pick, 0)
			s.Step()
			s.Step() // the flush begins
			picking(&pick, 0)
		} else {
			picking(&pick, 0, 0)
		}
		s.Step()
		s.Step() // the log notices
		if len(w.errs) > 0 && under {
			t.Fatalf("%v, while the flush is under way", w.errs)
		}
		pick = one
		if err := l.Close(true); !errors.Is(err, ErrFailed) {
			t.Fatal(err)
		}
		if len(w.errs) != 2 || (w.errs[0] == nil) != under || !errors.Is(w.errs[1], ErrFailed) {
			t.Errorf("flush under way %v: %v", under, w.errs)
		}
	}
}

// TestSyncRefused: names that are none, and a device that cannot do what is asked.
func TestSyncRefused(t *testing.T) {
	o := testOptions(t)
	o.Sync = "fsync"
	if _, err := Open(o); err == nil {
		t.Error("fsync was accepted")
	}
	for name, want := range map[string]SyncMethod{"": SyncAuto, "auto": SyncAuto, "dsync": SyncDSync, "rwf": SyncRWF, "fdatasync": SyncFdatasync} {
		if got, err := ParseSyncMethod(name); err != nil || got != want {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	if _, err := ParseSyncMethod("fsync"); err == nil {
		t.Error("fsync was parsed")
	}
	o.Path, o.Device, o.Sync = "", struct{ Device }{waltest.New(1 << 20)}, SyncFdatasync
	if _, err := Open(o); err == nil {
		t.Error("a Device without WriteVolatile was accepted")
	}
	if got := fmt.Sprint(someChoice); got != "rwf (measured; dsync p50 120.0 us, p99 3000.0 us; rwf p50 90.0 us, p99 1000.0 us; fdatasync p50 100.0 us, p99 10000000.0 us)" {
		t.Error(got)
	}
}
