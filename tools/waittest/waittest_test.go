package waittest

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// fakeT notes the failure in place of a test.
type fakeT struct {
	testing.TB
	failed string
}

func (t *fakeT) Helper() {}

func (t *fakeT) Fatalf(format string, args ...any) {
	t.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// run returns what a wait says in its failure, "" when it succeeds, and how long it took.
func run(wait func(testing.TB)) (failed string, took time.Duration) {
	begun := time.Now()
	var t fakeT
	done := make(chan struct{})
	go func() {
		defer close(done)
		wait(&t)
	}()
	<-done
	return t.failed, time.Since(begun)
}

func TestUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		failed, took := run(func(t testing.TB) {
			Until(t, time.Second, "the tenth look", func() bool { looks++; return looks == 10 })
		})
		if failed != "" || looks != 10 || took > 200*time.Millisecond {
			t.Errorf("%q after %d looks and %v", failed, looks, took)
		}
		failed, took = run(func(t testing.TB) { Until(t, 0, "at once", func() bool { return true }) })
		if failed != "" || took != 0 {
			t.Errorf("what holds already: %q after %v", failed, took)
		}
		failed, took = run(func(t testing.TB) { Until(t, time.Second, "it comes", func() bool { return false }) })
		if failed != "not within 1s: it comes" || took < time.Second || took > time.Second+mostPause {
			t.Errorf("%q after %v", failed, took)
		}
	})
}

// TestLastLook: a condition that came true while the last pause lasted, beyond the limit, holds.
func TestLastLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		const limit = 100 * time.Millisecond
		failed, _ := run(func(t testing.TB) {
			Until(t, limit, "late", func() bool { return time.Since(begun) >= limit })
		})
		if failed != "" {
			t.Error(failed)
		}
	})
}

func TestUntilNil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		failed, _ := run(func(t testing.TB) {
			UntilNil(t, 10*time.Millisecond, "peace", func() error { n++; return fmt.Errorf("reason %d", n) })
		})
		if want := fmt.Sprintf("not within 10ms: peace: reason %d", n); failed != want || n < 3 {
			t.Errorf("%q, want %q", failed, want)
		}
		failed, _ = run(func(t testing.TB) {
			UntilNil(t, time.Second, "peace", func() error {
				if n++; n < 10 {
					return errors.New("war")
				}
				return nil
			})
		})
		if failed != "" {
			t.Error(failed)
		}
	})
}
