package wal

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/ringmq/ringmq/wal/internal/uring"
	"golang.org/x/sys/unix"
)

// A trial measures how long a durable write takes by each method, one page at a time, on the target itself: on four pages of zeroes in the middle
// between the superblock slots, where nothing ever lies, so it may run whatever the log holds. It writes zeroes. The methods take turns write by write,
// so that what else the machine does meets all of them, and are compared turn by turn.
const (
	trialOffset = 32 << 10
	trialPages  = 4

	trialTime  = 75 * time.Millisecond  // of all methods together
	trialTurns = 20                     // at least; a slow device takes longer for them, but no longer than
	trialMost  = 500 * time.Millisecond // this

	// trialIdle is how long nothing must have been appended before a trial beside an open log. A trial ends within one turn of an append.
	trialIdle = time.Second

	// A method is taken instead of SyncDSync when its median is lower by more than trialMargin, its p99 at most trialTail higher, and it was the faster
	// one in two turns of three. The last keeps chance out: of a hundred turns of equals, in less than one trial of a thousand.
	trialMargin = 0.05
	trialTail   = 0.10
)

var errDisturbed = errors.New("wal: the log was used during the trial")

// trialMethod is a method in a trial.
type trialMethod struct {
	how  SyncMethod
	file fileDevice
	ring *uring.Ring     // nil: pwrite
	took []time.Duration // of each turn
	err  error           // it does not work here
}

// trySync measures a target that the caller has open. quit is asked after every turn; true ends the trial with errDisturbed.
func trySync(target *fileDevice, mode Mode, quit func() bool) (SyncChoice, error) {
	runtime.LockOSThread() // a ring belongs to its thread
	defer runtime.UnlockOSThread()
	page, err := allocNow(pageBytes)
	if err != nil {
		return SyncChoice{}, err
	}
	defer release(page)
	var all [len(syncMethods)]trialMethod
	for i, m := range syncMethods {
		t := &all[i]
		t.how, t.file.rwf = m, m == SyncRWF
		if t.file.fd, err = openTrial(target, m); err != nil {
			return SyncChoice{}, err
		}
		defer unix.Close(t.file.fd)
		if mode == ModePWrite {
			continue
		}
		if t.ring, err = uring.New(8, t.file.fd); err == nil {
			defer t.ring.Close()
		}
	}
	for i := range all { // the first write of each is not counted: what it uses is set up by then
		all[i].turn(page, 0)
		all[i].took = nil
	}
	for began, n := time.Now(), 0; ; n++ {
		for i := range all {
			all[(i+n)%len(all)].turn(page, n)
		}
		took := time.Since(began)
		switch {
		case quit():
			return SyncChoice{}, errDisturbed
		case took > trialMost || took > trialTime && n >= trialTurns:
			return judgeTrial(all[:]), nil
		}
	}
}

// turn is one write.
func (t *trialMethod) turn(page []byte, n int) {
	if t.err != nil {
		return
	}
	m := meter{ctx: context.Background(), took: t.took}
	place := func(int, int) int64 { return trialOffset + int64(n%trialPages)*pageBytes }
	m.start(0)
	if t.ring != nil {
		t.err = benchRing(&m, t.ring, t.how, page, 1, place)
	} else if t.err = writeFlush(&t.file, page, place(0, 0), t.how == SyncFdatasync); t.err == nil {
		m.add(time.Since(m.began))
	}
	t.took = m.took
}

// judgeTrial picks the winner; all is in the order of syncMethods.
func judgeTrial(all []trialMethod) SyncChoice {
	c := SyncChoice{Method: SyncDSync, Origin: SyncMeasured, Figures: map[SyncMethod]SyncFigure{}}
	for i := range all {
		t := &all[i]
		if t.err != nil || len(t.took) == 0 {
			continue
		}
		sorted := slices.Sorted(slices.Values(t.took))
		f := SyncFigure{quantile(sorted, .5), quantile(sorted, .99)}
		c.Figures[t.how] = f
		dsync, known := c.Figures[SyncDSync]
		if !known || t.how == SyncDSync || len(t.took) < trialTurns || f.P50 >= c.Figures[c.Method].P50 ||
			float64(f.P50) >= (1-trialMargin)*float64(dsync.P50) || float64(f.P99) > (1+trialTail)*float64(dsync.P99) {
			continue
		}
		faster := 0
		for turn, took := range t.took {
			if took < all[0].took[turn] {
				faster++
			}
		}
		if 3*faster >= 2*len(t.took) {
			c.Method = t.how
		}
	}
	return c
}

// openTrial opens a target a second time. No lock: no log minds zeroes in the place of the trial, whoever may have it by the time they land.
func openTrial(target *fileDevice, m SyncMethod) (int, error) {
	flags := unix.O_RDWR | unix.O_CLOEXEC
	if m == SyncDSync {
		flags |= unix.O_DSYNC
	}
	if target.direct {
		flags |= unix.O_DIRECT
	}
	fd, err := openRetry(target.path, flags)
	if err != nil {
		return -1, fmt.Errorf("wal: open %s to measure it: %w", target.path, err)
	}
	var here, there unix.Stat_t
	err = errors.Join(unix.Fstat(target.fd, &here), unix.Fstat(fd, &there))
	if err == nil && (here.Dev != there.Dev || here.Ino != there.Ino) {
		err = errors.New("it is another file than the one that is open")
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("wal: %s: %w", target.path, err)
	}
	return fd, nil
}

// trial runs in the background of an open log whose target remembers nothing: when the space of a new file is prepared and nothing was appended for a
// while, it measures and makes the target remember. The log goes on as it was opened, the next opening uses the winner. A log that is never idle
// is never measured.
type trial struct {
	l    *Log
	idle time.Duration
	stop chan struct{}
	done sync.WaitGroup
}

// startTrial starts it if there is something to find out. REQUIRES: prep was started, or has nothing to do.
func startTrial(l *Log, prep *preparation) *trial {
	f, ok := l.dev.(*fileDevice)
	if !ok || l.sync.Origin != SyncDefault || l.opts.trialIdle < 0 {
		return nil
	}
	t := &trial{l: l, idle: l.opts.trialIdle, stop: make(chan struct{})}
	t.done.Go(func() { t.run(f, prep) })
	return t
}

func (t *trial) run(f *fileDevice, prep *preparation) {
	l := t.l
	if prep.done != nil {
		select {
		case <-prep.done:
		case <-t.stop:
			return
		}
	}
	tick := time.NewTicker(t.idle)
	defer tick.Stop()
	appends := l.stats.appends.Load()
	for {
		select {
		case <-tick.C:
		case <-t.stop:
			return
		}
		now := l.stats.appends.Load()
		if now != appends || l.stats.inFlight.Load() > 0 {
			appends = now
			continue
		}
		if !t.usable() { // nothing is written after a failure
			return
		}
		c, err := trySync(f, l.commit.back.mode(), func() bool { return l.stats.appends.Load() != now || !t.usable() })
		if errors.Is(err, errDisturbed) {
			continue
		}
		if err == nil {
			err = writeNote(f, c, l.hardware)
		}
		if err != nil {
			l.log.Warn("wal: the ways to make writes durable could not be compared", "path", l.opts.Path, "cause", err)
			return
		}
		c.log(l.log, "wal: measured the ways to make writes durable; the next opening uses the best", l.opts.Path)
		return
	}
}

// usable says whether the log is neither closing nor has failed.
func (t *trial) usable() bool {
	t.l.mu.Lock()
	defer t.l.mu.Unlock()
	return t.l.mu.state == StateReady
}

// close ends the trial. A nil t has nothing to end.
func (t *trial) close() {
	if t != nil {
		close(t.stop)
		t.done.Wait()
	}
}

// rememberSync measures a target that was just formatted, unless o says what to use, and makes it remember.
func rememberSync(o Options) error {
	d, err := openFile(o.Path, o.lockWait, SyncDSync)
	if err != nil {
		return err
	}
	defer d.Close()
	c := SyncChoice{Method: o.Sync, Origin: SyncFormatted}
	if o.Sync == SyncAuto {
		if c, err = trySync(d, o.Mode, func() bool { return false }); err != nil {
			return err
		}
	}
	if err := writeNote(d, c, d.hardware()); err != nil {
		return err
	}
	c.log(o.Logger, "wal: how writes are made durable", o.Path)
	return nil
}
