package clientmetrics

import (
	"cmp"
	"encoding/base64"
	"hash/crc32"
	"slices"
	"sync"
	"time"

	"github.com/ringmq/ringmq/engine/kproto"
)

// Options configures a Manager.
type Options struct {
	// MaxBytes is the largest push as it comes (telemetry.max.bytes).
	MaxBytes int
	// NewID makes an id for a client that has none.
	NewID func() [16]byte
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Manager knows the subscriptions and the clients. It is made by New.
type Manager struct {
	options Options
	mu      struct {
		sync.Mutex
		subscriptions []*subscription // by name
		version       int             // of subscriptions
		instances     map[[16]byte]*instance
		series        int // values that are kept
		stats         Stats
	}
}

// Stats counts what was received.
type Stats struct {
	Instances int   // clients that something is known of
	Series    int   // values kept of them
	Pushes    int64 // accepted
	Bytes     int64 // of these, as they came
	Refused   int64 // pushes and questions that were answered with an error
	LeftOut   int64 // values above the bounds
}

// instance is one client. Guarded by Manager.mu.
type instance struct {
	client       Client
	name         string // its id as text
	version      int    // of the subscriptions that the following follow from
	subscription int32
	interval     time.Duration
	told         time.Duration // the interval that it knows of
	metrics      []string
	got, pushed  time.Time // the last time that it asked, and that it pushed
	seen         time.Time
	terminating  bool
	lost         bool // its last push was refused because it has to ask again
	values       map[key]float64
}

type key struct{ name, attributes string }

// New returns a manager without subscriptions.
func New(o Options) *Manager {
	if o.Now == nil {
		o.Now = time.Now
	}
	m := &Manager{options: o}
	m.mu.instances = make(map[[16]byte]*instance)
	return m
}

// Set replaces the subscriptions: each calls its argument with the name of one and its keys. What does not parse is not set.
func (m *Manager) Set(each func(func(name string, keys map[string]string))) {
	var list []*subscription
	each(func(name string, keys map[string]string) {
		s := &subscription{name: name, interval: DefaultInterval}
		for k, v := range keys {
			_ = s.set(k, v) // was validated when it was made
		}
		list = append(list, s)
	})
	slices.SortFunc(list, func(a, b *subscription) int { return cmp.Compare(a.name, b.name) })
	m.mu.Lock()
	m.mu.subscriptions = list
	m.mu.version++
	m.mu.Unlock()
}

// Wanted is what a client is told.
type Wanted struct {
	Instance     [16]byte
	Subscription int32
	Interval     time.Duration
	Metrics      []string
}

// Get answers a client that asks what is wanted. Zero as id asks for one. With an error the rest says nothing.
func (m *Manager) Get(id [16]byte, c Client) (Wanted, kproto.ErrorCode) {
	if id == [16]byte{} {
		id = m.options.NewID()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.options.Now()
	x := m.instanceLocked(id, c, now)
	if last := later(x.got, x.pushed); !x.lost && !last.IsZero() && now.Sub(last) < x.told {
		m.mu.stats.Refused++
		return Wanted{Instance: id}, kproto.ThrottlingQuotaExceeded
	}
	x.got, x.lost, x.told = now, false, x.interval
	return Wanted{id, x.subscription, x.interval, x.metrics}, kproto.None
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Push is what a client sends.
type Push struct {
	Instance     [16]byte
	Subscription int32
	Terminating  bool // its last one
	Compression  int8
	Metrics      []byte // borrowed
}

// Push takes a client's metrics.
func (m *Manager) Push(p Push, c Client) kproto.ErrorCode {
	m.mu.Lock()
	x, code := m.acceptLocked(&p, c)
	if code != kproto.None {
		m.mu.stats.Refused++
	}
	m.mu.Unlock()
	if code != kproto.None || len(p.Metrics) == 0 {
		return code
	}
	data, err := kproto.Decompress(kproto.Codec(p.Compression), p.Metrics, growthMax*m.options.MaxBytes)
	var points []point
	if err == nil {
		err = decode(data, func(one point) bool {
			if len(points) < instanceSeriesMax {
				points = append(points, one)
				return true
			}
			return false
		})
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.mu.stats.Refused++
		return kproto.InvalidRecord
	}
	m.mu.stats.Pushes++
	m.mu.stats.Bytes += int64(len(p.Metrics))
	m.keepLocked(x, points)
	return kproto.None
}

// acceptLocked judges a push.
func (m *Manager) acceptLocked(p *Push, c Client) (*instance, kproto.ErrorCode) {
	if p.Instance == [16]byte{} {
		return nil, kproto.InvalidRequest
	}
	now := m.options.Now()
	x := m.instanceLocked(p.Instance, c, now)
	if x.terminating {
		return x, kproto.InvalidRequest
	}
	// The first push after a question is welcome at any time, others once in an interval; the last one is, too.
	if !x.got.After(x.pushed) && !p.Terminating && !x.pushed.IsZero() && now.Sub(x.pushed) < x.told {
		return x, kproto.ThrottlingQuotaExceeded
	}
	x.pushed = now
	switch {
	case p.Subscription != x.subscription:
		x.lost = true
		return x, kproto.UnknownSubscriptionID
	case p.Compression < int8(kproto.CodecNone) || p.Compression > int8(kproto.CodecZstd):
		x.lost = true
		return x, kproto.UnsupportedCompressionType
	case len(p.Metrics) > m.options.MaxBytes:
		return x, kproto.TelemetryTooLarge
	}
	x.terminating = p.Terminating
	return x, kproto.None
}

// instanceLocked finds or makes a client, and what is wanted of it now.
func (m *Manager) instanceLocked(id [16]byte, c Client, now time.Time) *instance {
	x := m.mu.instances[id]
	if x == nil {
		if len(m.mu.instances) >= instancesMax {
			m.forgetLocked()
		}
		x = &instance{name: base64.RawURLEncoding.EncodeToString(id[:]), version: -1}
		m.mu.instances[id] = x
	}
	x.client, x.seen = c, now
	if x.version != m.mu.version {
		m.subscribeLocked(x)
	}
	return x
}

// forgetLocked drops the client that was silent the longest.
func (m *Manager) forgetLocked() {
	var oldest [16]byte
	found := false
	for id, x := range m.mu.instances {
		if !found || x.seen.Before(m.mu.instances[oldest].seen) {
			oldest, found = id, true
		}
	}
	m.dropLocked(oldest)
}

func (m *Manager) dropLocked(id [16]byte) {
	m.mu.series -= len(m.mu.instances[id].values)
	delete(m.mu.instances, id)
}

// subscribeLocked finds what is wanted of a client. Its id changes with it, so that clients notice.
func (m *Manager) subscribeLocked(x *instance) {
	x.version = m.mu.version
	x.interval, x.metrics = 0, []string{}
	all := false
	for _, s := range m.mu.subscriptions {
		if !s.matches(x.client, x.name) {
			continue
		}
		x.metrics = append(x.metrics, s.metrics...)
		all = all || slices.Contains(s.metrics, "*")
		if x.interval == 0 || s.interval < x.interval {
			x.interval = s.interval
		}
	}
	slices.Sort(x.metrics)
	x.metrics = slices.Compact(x.metrics)
	if all {
		x.metrics = []string{"*"}
	}
	if x.interval == 0 {
		x.interval = DefaultInterval
	}
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	for _, name := range x.metrics {
		_, _ = sum.Write([]byte(name + "\x00"))
	}
	_, _ = sum.Write([]byte(x.interval.String()))
	x.subscription = int32(sum.Sum32())
}

// keepLocked notes the values of a push.
func (m *Manager) keepLocked(x *instance, points []point) {
	if x.values == nil {
		x.values = make(map[key]float64)
	}
	for _, p := range points {
		k := key{p.name, p.attributes}
		old, known := x.values[k]
		switch {
		case !known && (len(x.values) >= instanceSeriesMax || m.mu.series >= seriesMax):
			m.mu.stats.LeftOut++
			continue
		case !known:
			m.mu.series++
		case p.delta:
			p.value += old
		}
		x.values[k] = p.value
	}
}

// Sample is one value of a client.
type Sample struct {
	Instance, ClientID, Software string
	Name, Attributes             string
	Value                        float64
}

// Samples calls fn for each value that is kept; clients that have been silent for too long are forgotten first.
func (m *Manager) Samples(fn func(Sample)) Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.options.Now()
	for id, x := range m.mu.instances {
		if now.Sub(x.seen) > max(staleIntervals*x.interval, staleLeast) {
			m.dropLocked(id)
			continue
		}
		for k, v := range x.values {
			fn(Sample{x.name, clip(x.client.ClientID), clip(x.client.SoftwareName + "/" + x.client.SoftwareVersion), k.name, k.attributes, v})
		}
	}
	st := m.mu.stats
	st.Instances, st.Series = len(m.mu.instances), m.mu.series
	return st
}
