package clientmetrics

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ringmq/ringmq/engine/kproto"
)

// number is a data point of a gauge (temporality 0) or of a sum.
func number(name string, value float64, temporality uint64, attributes ...string) []byte {
	var p []byte
	for _, a := range attributes {
		k, v, _ := strings.Cut(a, "=")
		kv := message(nil, 1, []byte(k))
		kv = message(kv, 2, message(nil, 1, []byte(v)))
		p = message(p, 7, kv)
	}
	p = protowire.AppendTag(p, 4, protowire.Fixed64Type)
	p = protowire.AppendFixed64(p, math.Float64bits(value))
	data, field := message(nil, 1, p), protowire.Number(5)
	if temporality > 0 {
		data, field = protowire.AppendVarint(protowire.AppendTag(data, 2, protowire.VarintType), temporality), 7
	}
	return message(message(nil, 1, []byte(name)), field, data)
}

func message(dst []byte, n protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, n, protowire.BytesType), b)
}

// payload is what a client pushes.
func payload(metrics ...[]byte) []byte {
	var scope []byte
	for _, m := range metrics {
		scope = message(scope, 2, m)
	}
	return message(nil, 1, message(message(nil, 1, nil), 2, scope))
}

type clock struct{ time.Time }

func newManager(c *clock, subscriptions map[string]map[string]string) *Manager {
	ids := byte(0)
	m := New(Options{MaxBytes: 1000, Now: func() time.Time { return c.Time }, NewID: func() [16]byte { ids++; return [16]byte{ids} }})
	m.Set(func(add func(string, map[string]string)) {
		for name, keys := range subscriptions {
			add(name, keys)
		}
	})
	return m
}

func wantCode(t *testing.T, what string, got, want kproto.ErrorCode) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestValidate(t *testing.T) {
	for _, tc := range []struct {
		key, value string
		ok         bool
		request    bool
	}{
		{"metrics", "a.,b.", true, false}, {"metrics", "", true, false}, {"metrics", "*", true, false},
		{"interval.ms", "100", true, false}, {"interval.ms", "3600000", true, false}, {"interval.ms", "99", false, true}, {"interval.ms", "3600001", false, true},
		{"interval.ms", "soon", false, false},
		{"match", "client_id=a.*,client_source_port=[0-9]+", true, false}, {"match", "", true, false}, {"match", "client_id", false, false},
		{"match", "colour=red", false, false}, {"match", "client_id=(", false, false},
		{"period", "1", false, true},
	} {
		err := Validate(tc.key, tc.value)
		if (err == nil) != tc.ok {
			t.Errorf("%s=%s: %v", tc.key, tc.value, err)
		} else if err != nil && err.(*ParseError).InvalidRequest() != tc.request {
			t.Errorf("%s=%s: the other of the two errors: %v", tc.key, tc.value, err)
		}
	}
}

// TestSubscriptions: what clients are told, by what they are.
func TestSubscriptions(t *testing.T) {
	m := newManager(&clock{time.Unix(1000, 0)}, map[string]map[string]string{
		"java":  {KeyMetrics: "b.,a.", KeyInterval: "60000", KeyMatch: "client_software_name=apache-kafka-java,client_id=app-.*"},
		"all":   {KeyMetrics: "a.", KeyInterval: "120000"},
		"local": {KeyMetrics: "*", KeyMatch: "client_source_address=127\\.0\\.0\\.1"},
	})
	for _, tc := range []struct {
		client   Client
		metrics  string
		interval time.Duration
	}{
		{Client{ClientID: "x"}, "[a.]", 2 * time.Minute},
		{Client{ClientID: "app-1", SoftwareName: "apache-kafka-java"}, "[a. b.]", time.Minute},
		{Client{ClientID: "my-app-1", SoftwareName: "apache-kafka-java"}, "[a.]", 2 * time.Minute},
		{Client{Address: "127.0.0.1"}, "[*]", 2 * time.Minute},
		{Client{Address: "127.0.0.10"}, "[a.]", 2 * time.Minute},
	} {
		w, code := m.Get([16]byte{}, tc.client)
		if code != 0 || fmt.Sprint(w.Metrics) != tc.metrics || w.Interval != tc.interval || w.Instance == [16]byte{} {
			t.Errorf("%+v: %+v, %v; want %s every %s", tc.client, w, code, tc.metrics, tc.interval)
		}
	}
	if w, _ := newManager(&clock{time.Unix(1000, 0)}, nil).Get([16]byte{7}, Client{}); len(w.Metrics) != 0 || w.Interval != DefaultInterval || w.Instance != [16]byte{7} {
		t.Errorf("without subscriptions: %+v", w)
	}
}

// TestPush walks through a client's life, with all that is refused.
func TestPush(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	m := newManager(c, map[string]map[string]string{"s": {KeyMetrics: "*", KeyInterval: "10000"}})
	me := Client{ClientID: "me", SoftwareName: "n", SoftwareVersion: "1"}
	later := func(d time.Duration) { c.Time = c.Add(d) }
	w, code := m.Get([16]byte{}, me)
	wantCode(t, "the first question", code, kproto.None)
	_, code = m.Get(w.Instance, me)
	wantCode(t, "again at once", code, kproto.ThrottlingQuotaExceeded)
	push := Push{Instance: w.Instance, Subscription: w.Subscription}
	with := func(metrics ...[]byte) Push { p := push; p.Metrics = payload(metrics...); return p }
	later(time.Second)
	wantCode(t, "the first push", m.Push(with(number("rate", 1.5, 0, "topic=t"), number("total", 3, 1), number("sum", 3, 2)), me), kproto.None)
	wantCode(t, "too early", m.Push(with(), me), kproto.ThrottlingQuotaExceeded)
	later(10 * time.Second)
	wantCode(t, "in time", m.Push(with(number("rate", 2.5, 0, "topic=t"), number("total", 4, 1), number("sum", 4, 2)), me), kproto.None)
	got := map[string]float64{}
	st := m.Samples(func(s Sample) { got[s.ClientID+" "+s.Software+" "+s.Name+" "+s.Attributes] = s.Value })
	if want := map[string]float64{"me n/1 rate topic=t": 2.5, "me n/1 total ": 7, "me n/1 sum ": 4}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("values %v, want %v", got, want)
	}
	if st.Pushes != 2 || st.Refused != 2 || st.Series != 3 || st.Instances != 1 {
		t.Errorf("%+v", st)
	}
	for _, tc := range []struct {
		name   string
		change func(*Push)
		code   kproto.ErrorCode
	}{
		{"no id", func(p *Push) { p.Instance = [16]byte{} }, kproto.InvalidRequest},
		{"another subscription", func(p *Push) { p.Subscription++ }, kproto.UnknownSubscriptionID},
		{"an unknown compression", func(p *Push) { p.Compression = 9 }, kproto.UnsupportedCompressionType},
		{"too large", func(p *Push) { p.Metrics = make([]byte, 1001) }, kproto.TelemetryTooLarge},
		{"not what it says", func(p *Push) { p.Compression, p.Metrics = 4, []byte("x") }, kproto.InvalidRecord},
		{"not metrics", func(p *Push) { p.Metrics = []byte{0xff, 0xff} }, kproto.InvalidRecord},
		{"a bomb", func(p *Push) {
			p.Compression, p.Metrics = 4, kproto.Compress(kproto.CodecZstd, 0, make([]byte, 100_000))
		}, kproto.InvalidRecord},
	} {
		later(10 * time.Second)
		p := push
		tc.change(&p)
		wantCode(t, tc.name, m.Push(p, me), tc.code)
	}
	for codec := kproto.CodecNone; codec <= kproto.CodecZstd; codec++ {
		later(10 * time.Second)
		p := push
		p.Compression, p.Metrics = int8(codec), kproto.Compress(codec, 0, payload(number(codec.String(), 1, 0)))
		wantCode(t, codec.String(), m.Push(p, me), kproto.None)
	}
	m.Set(func(add func(string, map[string]string)) { add("s", map[string]string{KeyMetrics: "x."}) })
	later(10 * time.Second)
	wantCode(t, "the subscription has changed", m.Push(push, me), kproto.UnknownSubscriptionID)
	again, code := m.Get(w.Instance, me)
	wantCode(t, "asking at once is fine then", code, kproto.None)
	if again.Subscription == w.Subscription || !slices.Equal(again.Metrics, []string{"x."}) {
		t.Errorf("%+v", again)
	}
	push.Subscription, push.Terminating = again.Subscription, true
	wantCode(t, "the last push", m.Push(push, me), kproto.None)
	wantCode(t, "one after the last", m.Push(push, me), kproto.InvalidRequest)
	later(time.Hour)
	if st := m.Samples(func(Sample) { t.Error("values of a client that is gone") }); st.Instances != 0 || st.Series != 0 {
		t.Errorf("%+v", st)
	}
}

// TestBounds: clients and their metrics are as many as somebody likes, what is kept is not.
func TestBounds(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	m := newManager(c, nil)
	m.options.MaxBytes = 1 << 20
	var many [][]byte
	for i := range 2 * instanceSeriesMax {
		many = append(many, number(strings.Repeat("n", 1000)+fmt.Sprint(i), 1, 0), number(fmt.Sprint(i), 1, 0))
	}
	for i := range instancesMax + 100 {
		c.Time = c.Add(time.Microsecond)
		id := [16]byte{byte(i), byte(i >> 8), byte(i >> 16), 1}
		w, _ := m.Get(id, Client{})
		if i < 2*seriesMax/instanceSeriesMax {
			wantCode(t, "push", m.Push(Push{Instance: id, Subscription: w.Subscription, Metrics: payload(many...)}, Client{}), kproto.None)
		}
	}
	st := m.Samples(func(s Sample) {
		if len(s.Name) > textMax {
			t.Fatalf("a name of %d bytes", len(s.Name))
		}
	})
	if st.Instances != instancesMax || st.Series > seriesMax || st.LeftOut == 0 {
		t.Errorf("%+v", st)
	}
}

// FuzzDecode: what clients send is taken apart without harm, and all that comes of it is in bounds.
func FuzzDecode(f *testing.F) {
	f.Add(payload(number("rate", 1.5, 0, "a=b"), number("total", 3, 1)))
	f.Add([]byte{0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		n := 0
		err := decode(data, func(p point) bool {
			n++
			if len(p.name) > textMax || len(p.attributes) > textMax {
				t.Fatalf("%d and %d bytes of text", len(p.name), len(p.attributes))
			}
			return n < instanceSeriesMax
		})
		if n > instanceSeriesMax || n > len(data) {
			t.Fatalf("%d numbers in %d bytes (%v)", n, len(data), err)
		}
	})
}
