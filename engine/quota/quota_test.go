package quota

import (
	"fmt"
	"testing"
	"time"
)

// clock is a clock that stands still.
type clock struct{ time.Time }

func (c *clock) now() time.Time { return c.Time }

func newTestManager(c *clock, max int) *Manager {
	w := Windows{11, time.Second}
	return New(Options{Windows: w, MutationWindows: w, MaxMeters: max, Now: c.now})
}

// set gives a manager quotas of one kind, by entity.
func set(m *Manager, kind Kind, limits map[Entity]float64) {
	m.Set(func(add func(Entity, map[string]float64)) {
		for e, v := range limits {
			add(e, map[string]float64{Keys[kind]: v})
		}
	})
}

// TestPrecedence takes one after the other of the places where a limit may be set, from the strongest on: what is left decides the limit, and who shares it.
func TestPrecedence(t *testing.T) {
	places := []struct {
		entity Entity
		user   string // of the tag
		client string
	}{
		{Entity{Named("u"), Named("c")}, "u", "c"},
		{Entity{Named("u"), Everybody}, "u", "c"},
		{Entity{Named("u"), None}, "u", ""},
		{Entity{Everybody, Named("c")}, "u", "c"},
		{Entity{Everybody, Everybody}, "u", "c"},
		{Entity{Everybody, None}, "u", ""},
		{Entity{None, Named("c")}, "", "c"},
		{Entity{None, Everybody}, "", "c"},
	}
	for kind := range kinds {
		limits := map[Entity]float64{{Named("other"), Named("c")}: 1000, {Named("other"), None}: 1000, {None, Named("other")}: 1000}
		for i, p := range places {
			limits[p.entity] = float64(i + 1)
		}
		m := newTestManager(&clock{time.Unix(0, 0)}, 0)
		for i, p := range places {
			set(m, kind, limits)
			limit, tag, ok := m.Table().limit(kind, "u", "c")
			if want := (Tag{kind, p.user, p.client}); !ok || limit != float64(i+1) || tag != want {
				t.Errorf("%v without the %d strongest: limit %v of %v, %v; want %d of %v", kind, i, limit, tag, ok, i+1, want)
			}
			delete(limits, p.entity)
		}
		set(m, kind, limits)
		if _, tag, ok := m.Table().limit(kind, "u", "c"); ok {
			t.Errorf("%v: a limit of %v where there is none", kind, tag)
		}
	}
}

// TestSharing holds who is measured together.
func TestSharing(t *testing.T) {
	for _, tc := range []struct {
		name   string
		entity Entity
		waits  string // which of u/c, u/d, v/c, v/d has to wait after u/c took too much
	}{
		{"user", Entity{Named("u"), None}, "u/c u/d "},
		{"every user", Entity{Everybody, None}, "u/c u/d "},
		{"client id", Entity{None, Named("c")}, "u/c v/c "},
		{"every client id", Entity{None, Everybody}, "u/c v/c "},
		{"every pair", Entity{Everybody, Everybody}, "u/c "},
		{"a user's clients", Entity{Named("u"), Everybody}, "u/c "},
	} {
		m := newTestManager(&clock{time.Unix(0, 0)}, 0)
		set(m, Produce, map[Entity]float64{tc.entity: 10})
		m.Table().Client("u", "c").Record(Produce, 1000)
		got := ""
		for _, who := range []string{"u/c", "u/d", "v/c", "v/d"} {
			if m.Table().Client(who[:1], who[2:]).Record(Produce, 0) > 0 {
				got += who + " "
			}
		}
		if got != tc.waits {
			t.Errorf("%s: %swait, want %s", tc.name, got, tc.waits)
		}
	}
}

func TestWaits(t *testing.T) {
	c := &clock{time.Unix(0, 0)}
	m := newTestManager(c, 0)
	if m.Table() != nil {
		t.Fatal("a table without quotas")
	}
	m.Set(func(add func(Entity, map[string]float64)) {
		add(Entity{Named("u"), None}, map[string]float64{"producer_byte_rate": 1000, "request_percentage": 1, "controller_mutation_rate": 2})
	})
	u := m.Table().Client("u", "x")
	want := func(what string, got, want time.Duration) {
		t.Helper()
		if got != want {
			t.Errorf("%s: wait %s, want %s", what, got, want)
		}
	}
	want("within the limit", u.Record(Produce, 10_000), 0)
	want("twice the limit", u.Record(Produce, 10_000), 10*time.Second)
	want("no limit", u.Record(Fetch, 1e12), 0)
	want("time of requests, bounded", u.Record(Request, 1e9), time.Second)
	if u.Limited(Fetch) || !u.Limited(Produce) || (*Client)(nil).Limited(Produce) {
		t.Error("what is limited")
	}
	if most, ok := u.MostAtOnce(Produce); !ok || most != 10_000 {
		t.Errorf("most at once %v %v", most, ok)
	}
	mutate := func(what string, n int, strict bool, wait time.Duration, granted bool) {
		t.Helper()
		if w, ok := u.Mutate(n, strict); w != wait || ok != granted {
			t.Errorf("%s: wait %s, granted %t; want %s, %t", what, w, ok, wait, granted)
		}
	}
	mutate("more than the bucket holds", 32, true, 0, true)
	mutate("overdrawn", 1, true, 5*time.Second, false)
	mutate("an old client is not refused", 2, false, 6*time.Second, true)
	c.Time = c.Add(6 * time.Second)
	mutate("paid for", 1, true, 0, true)

	// A new limit counts at once, with the history of the old one.
	c.Time = c.Add(time.Minute)
	u.Record(Produce, 20_000)
	set(m, Produce, map[Entity]float64{{Named("u"), None}: 4000})
	if u.Is(m.Table(), "u", []byte("x")) {
		t.Error("what was resolved before counts under the new table")
	}
	want("a higher limit", m.Table().Client("u", "x").Record(Produce, 0), 0)
	set(m, Produce, map[Entity]float64{{Named("u"), None}: 1000})
	want("a lower limit", m.Table().Client("u", "x").Record(Produce, 0), 10*time.Second)
	set(m, Produce, nil)
	if m.Table() != nil || len(m.mu.meters) != 0 {
		t.Error("something is left of removed quotas")
	}
}

// TestMetersAreBounded has clients invent names.
func TestMetersAreBounded(t *testing.T) {
	c := &clock{time.Unix(0, 0)}
	m := newTestManager(c, 100)
	set(m, Produce, map[Entity]float64{{None, Everybody}: 10})
	for i := range 1000 {
		client := m.Table().Client("u", fmt.Sprint(i))
		client.Record(Produce, 200)
		if client.Record(Produce, 0) == 0 {
			t.Fatalf("client %d is not measured", i)
		}
	}
	if n := len(m.mu.meters); n != 100 {
		t.Errorf("%d meters are kept, want 100", n)
	}
	if n := len(m.Stats(10)); n != 10 {
		t.Errorf("%d stats, want 10", n)
	}
	c.Time = c.Add(20 * time.Second)
	m.Table().Client("u", "new").Record(Produce, 50)
	stats := m.Stats(1000)
	if len(m.mu.meters) != 1 || len(stats) != 1 || stats[0].ClientID != "new" || stats[0].Value != 5 || stats[0].Limit != 10 {
		t.Errorf("after the others were idle: %d meters, %+v", len(m.mu.meters), stats)
	}
	if w := m.Table().Client("u", "new").Record(Produce, 150); w != 10*time.Second {
		t.Errorf("wait %s", w)
	}
	if s := m.Stats(1)[0]; s.Wait != 10*time.Second {
		t.Errorf("%+v: the average wait is not 10 s", s)
	}
}
