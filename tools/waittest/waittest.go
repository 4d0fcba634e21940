package waittest

import (
	"errors"
	"testing"
	"time"
)

// The pause between two looks doubles from the first to the second: what comes at once is seen at once, and a condition that costs a request
// does not keep a small machine from bringing it about.
const (
	firstPause = time.Millisecond
	mostPause  = 16 * time.Millisecond
)

var errNot = errors.New("it does not hold")

// Until looks again and again until a condition holds, and fails the test at once when it does not within the limit; what names the condition in
// the failure. The condition is evaluated on the caller's goroutine, which must be the test's own, at least once, and once more after the limit
// has passed.
func Until(t testing.TB, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	until(limit, func() error {
		if holds() {
			return nil
		}
		return errNot
	}, func(error) { t.Fatalf("not within %v: %s", limit, what) })
}

// UntilNil is Until for a condition that can say why it does not hold yet: the last reason is part of the failure.
func UntilNil(t testing.TB, limit time.Duration, what string, holds func() error) {
	t.Helper()
	until(limit, holds, func(last error) { t.Fatalf("not within %v: %s: %v", limit, what, last) })
}

func until(limit time.Duration, holds func() error, fail func(last error)) {
	deadline := time.Now().Add(limit)
	for pause := firstPause; ; pause = min(2*pause, mostPause) {
		late := !time.Now().Before(deadline) // asked first: the last look comes after the limit
		err := holds()
		if err == nil {
			return
		}
		if late {
			fail(err)
			return
		}
		time.Sleep(pause)
	}
}
