package kraft

import (
	"testing"
	"time"
)

// TestBookPrefersWhoAnswers: who did not answer lately is asked only if nobody else is left, and then the one that was silent first.
func TestBookPrefersWhoAnswers(t *testing.T) {
	b := newBook(Options{Voters: map[int32]string{1: "a:1", 2: "b:1", 3: "c:1", 4: "d:1"}})
	picked := func() map[int32]bool {
		ids := make(map[int32]bool)
		for range 200 {
			id, addr := b.any(4)
			if addr == "" {
				t.Fatal("nobody is asked")
			}
			ids[id] = true
		}
		return ids
	}
	want := func(what string, ids ...int32) {
		t.Helper()
		got := picked()
		for _, id := range ids {
			if !got[id] || len(got) != len(ids) {
				t.Fatalf("%s: asked are %v, want %v", what, got, ids)
			}
		}
	}
	want("all answer", 1, 2, 3)
	b.silent("a:1", true)
	want("one is silent", 2, 3)
	b.silent("c:1", true)
	want("two are silent", 2)
	b.silent("b:1", true)
	want("all are silent", 1)
	b.silent("c:1", false)
	want("one answers again", 3)
	for addr := range b.quiet.until { // some time later
		b.quiet.until[addr] = time.Now()
	}
	want("after the silence", 1, 2, 3)
}
