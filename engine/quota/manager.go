package quota

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Windows are the windows over which a rate is measured.
type Windows struct {
	Number int           // at least 1
	Size   time.Duration // whole milliseconds
}

// Options configures a Manager.
type Options struct {
	Windows         Windows // quota.window.num, quota.window.size.seconds
	MutationWindows Windows // the same of controller.quota.*
	// MaxMeters bounds the meters that are kept. Default 10,000.
	MaxMeters int
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Manager holds the limits that count now, and the meters.
type Manager struct {
	options Options
	begun   time.Time
	table   atomic.Pointer[Table]
	mu      struct {
		sync.Mutex
		meters map[Tag]*meter
		swept  int64 // when idle meters were looked for last
	}
}

const defaultMaxMeters = 10_000

// New returns a manager without any quota.
func New(o Options) *Manager {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxMeters == 0 {
		o.MaxMeters = defaultMaxMeters
	}
	m := &Manager{options: o, begun: o.Now()}
	m.mu.meters = make(map[Tag]*meter)
	return m
}

// now is in milliseconds since New: monotonic, unlike the time of day.
func (m *Manager) now() int64 { return m.options.Now().Sub(m.begun).Milliseconds() }

// Table is what counts now, nil when nobody has a quota.
func (m *Manager) Table() *Table { return m.table.Load() }

// Set replaces all limits: each calls its argument once per entity, with the values by key.
func (m *Manager) Set(each func(func(Entity, map[string]float64))) {
	t := &Table{manager: m}
	found := false
	each(func(e Entity, values map[string]float64) {
		for kind, key := range Keys {
			if v, ok := values[key]; ok && v > 0 {
				if t.limits[kind] == nil {
					t.limits[kind] = make(map[Entity]float64)
				}
				t.limits[kind][e], found = v, true
			}
		}
	})
	if !found {
		t = nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.table.Store(t)
	for tag, x := range m.mu.meters {
		limit, now, ok := t.limitOf(tag)
		if !ok || now != tag {
			delete(m.mu.meters, tag)
			continue
		}
		x.mu.Lock()
		x.mu.limit = limit
		x.mu.Unlock()
	}
}

func (t *Table) limitOf(tag Tag) (float64, Tag, bool) {
	if t == nil {
		return 0, Tag{}, false
	}
	return t.limit(tag.Kind, tag.User, tag.ClientID)
}

// meter finds or makes a meter, and gives it the limit of table t if that is the one that counts.
func (m *Manager) meter(t *Table, tag Tag, limit float64) *meter {
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	x := m.mu.meters[tag]
	if x == nil {
		x = newMeter(m, tag)
		if len(m.mu.meters) >= m.options.MaxMeters {
			m.sweepLocked(now)
		}
		if len(m.mu.meters) < m.options.MaxMeters {
			m.mu.meters[tag] = x
		}
	}
	x.mu.Lock()
	if x.mu.limit == 0 || t == m.table.Load() {
		x.mu.limit = limit
	}
	x.mu.used = now
	x.mu.Unlock()
	return x
}

// sweepLocked forgets meters that nobody would miss, at most once a second.
func (m *Manager) sweepLocked(now int64) {
	if now-m.mu.swept < 1000 && m.mu.swept != 0 {
		return
	}
	m.mu.swept = now
	for tag, x := range m.mu.meters {
		x.mu.Lock()
		if x.idleLocked(now) {
			delete(m.mu.meters, tag)
		}
		x.mu.Unlock()
	}
}

// Stat is a meter's state.
type Stat struct {
	Tag
	Limit float64
	// Value is bytes per second, percent of a processor, or tokens that are left.
	Value float64
	// Wait is the average of the waits imposed in the last minute, 0 if there was none.
	Wait time.Duration
}

// Stats are the meters asked last, at most limit of them, by tag.
func (m *Manager) Stats(limit int) []Stat {
	now := m.now()
	m.mu.Lock()
	list := make([]*meter, 0, len(m.mu.meters))
	used := make(map[*meter]int64, len(m.mu.meters))
	for _, x := range m.mu.meters {
		x.mu.Lock()
		used[x] = x.mu.used
		x.mu.Unlock()
		list = append(list, x)
	}
	m.mu.Unlock()
	if len(list) > limit {
		slices.SortFunc(list, func(a, b *meter) int { return cmp.Compare(used[b], used[a]) })
		list = list[:limit]
	}
	out := make([]Stat, 0, len(list))
	for _, x := range list {
		x.mu.Lock()
		s := Stat{Tag: x.tag, Limit: x.mu.limit}
		if x.tag.Kind == Mutation {
			s.Value = x.mu.bucket.Tokens(now, x.mu.limit)
		} else {
			s.Value = x.mu.rate.PerSecond(now)
		}
		if n := x.mu.waiting.Sum(now); n > 0 {
			s.Wait = time.Duration(x.mu.waits.Sum(now) / n * float64(time.Millisecond))
		}
		x.mu.Unlock()
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Stat) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.User, b.User), cmp.Compare(a.ClientID, b.ClientID))
	})
	return out
}
