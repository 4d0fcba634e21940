package engine_test

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/enginetest"
	"github.com/ringmq/ringmq/engine/kproto"
)

// wire is a raw connection to a node.
type wire struct {
	t *testing.T
	net.Conn
}

func dial(t *testing.T, n *enginetest.Node) *wire {
	t.Helper()
	c, err := net.Dial("tcp", n.Seed())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return &wire{t, c}
}

func (w *wire) send(b []byte) {
	w.t.Helper()
	if _, err := w.Write(b); err != nil {
		w.t.Fatal(err)
	}
}

// frame is a request with its size prefix.
func frame(req kmsg.Request, correlation int32) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("wire")).AppendRequest(nil, req, correlation)
}

// receive reads one response and returns its correlation id and what follows.
func (w *wire) receive() (int32, []byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(w, head[:]); err != nil {
		return 0, nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(w, body); err != nil {
		return 0, nil, err
	}
	return int32(binary.BigEndian.Uint32(body)), body[4:], nil
}

// request sends a request and decodes its response.
func (w *wire) request(req kmsg.Request, correlation int32) kmsg.Response {
	w.t.Helper()
	w.send(frame(req, correlation))
	return w.response(req, correlation)
}

func (w *wire) response(req kmsg.Request, correlation int32) kmsg.Response {
	w.t.Helper()
	id, body, err := w.receive()
	if err != nil {
		w.t.Fatalf("response to key %d: %v", req.Key(), err)
	}
	if id != correlation {
		w.t.Fatalf("correlation id %d, want %d", id, correlation)
	}
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	if resp.IsFlexible() && req.Key() != 18 {
		r := kbin.Reader{Src: body}
		kmsg.SkipTags(&r)
		body = r.Src
	}
	if err := resp.ReadFrom(body); err != nil {
		w.t.Fatalf("response to key %d version %d: %v", req.Key(), req.GetVersion(), err)
	}
	return resp
}

// expectClosed wants the server to close the connection without an answer.
func (w *wire) expectClosed() {
	w.t.Helper()
	if id, body, err := w.receive(); err == nil {
		w.t.Fatalf("got response %d of %d bytes, want the connection closed", id, len(body))
	} else if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
		w.t.Fatal("the connection stays open")
	}
}

func apiVersionsRequest(version int16) *kmsg.ApiVersionsRequest {
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = version, "wire", "1.0"
	return req
}

// TestHostileFrames sends what no client should: each is refused, and the node goes on serving.
func TestHostileFrames(t *testing.T) {
	n := enginetest.Start(t, enginetest.Options{})
	size := func(n int32) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
	header := func(key, version int16) []byte {
		b := binary.BigEndian.AppendUint16(nil, uint16(key))
		b = binary.BigEndian.AppendUint16(b, uint16(version))
		b = binary.BigEndian.AppendUint32(b, 1)
		return binary.BigEndian.AppendUint16(b, 0xffff)
	}
	framed := func(b []byte) []byte { return append(size(int32(len(b))), b...) }
	for name, bytes := range map[string][]byte{
		"size 0":                   size(0),
		"negative size":            size(-1),
		"size above the limit":     size(104857601),
		"header cut short":         framed([]byte{0, 3}),
		"unknown api key":          framed(header(999, 0)),
		"key of an absent api":     framed(header(24, 0)),
		"negative api key":         framed(header(-5, 0)),
		"version too high":         framed(header(3, 99)),
		"version too low":          framed(header(0, 2)),
		"body cut short":           framed(append(header(3, 1), 0, 0, 0, 9)),
		"count far beyond the end": framed(append(header(3, 1), 0x7f, 0xff, 0xff, 0xff)),
		"produce without a body":   framed(header(0, 3)),
		"fetch without a body":     framed(header(1, 4)),
		"http":                     []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			w := dial(t, n)
			w.send(bytes)
			w.expectClosed()
		})
	}
	resp := dial(t, n).request(apiVersionsRequest(3), 7).(*kmsg.ApiVersionsResponse)
	if resp.ErrorCode != 0 || len(resp.ApiKeys) < 20 {
		t.Fatalf("after all that: code %d, %d keys", resp.ErrorCode, len(resp.ApiKeys))
	}
}

// TestApiVersions holds statements 8, 9 and the advertised minimum of Produce.
func TestApiVersions(t *testing.T) {
	n := enginetest.Start(t, enginetest.Options{})
	t.Run("a version from the future", func(t *testing.T) {
		w := dial(t, n)
		b := frame(apiVersionsRequest(4), 5)
		binary.BigEndian.PutUint16(b[6:], 77)
		w.send(b)
		id, body, err := w.receive()
		if err != nil || id != 5 {
			t.Fatalf("response %d, %v", id, err)
		}
		resp := kmsg.NewPtrApiVersionsResponse()
		if err := resp.ReadFrom(body); err != nil {
			t.Fatal(err)
		}
		if resp.ErrorCode != 35 || len(resp.ApiKeys) != 1 || resp.ApiKeys[0].ApiKey != 18 {
			t.Fatalf("%+v, want UNSUPPORTED_VERSION and key 18 alone", resp)
		}
		if resp := w.request(apiVersionsRequest(resp.ApiKeys[0].MaxVersion), 6).(*kmsg.ApiVersionsResponse); resp.ErrorCode != 0 {
			t.Fatalf("the retry on the same connection: code %d", resp.ErrorCode)
		}
	})
	t.Run("a nameless client", func(t *testing.T) {
		req := apiVersionsRequest(3)
		req.ClientSoftwareName = ""
		if resp := dial(t, n).request(req, 1).(*kmsg.ApiVersionsResponse); resp.ErrorCode != 42 || len(resp.ApiKeys) != 0 {
			t.Fatalf("code %d with %d keys, want INVALID_REQUEST and none", resp.ErrorCode, len(resp.ApiKeys))
		}
	})
	t.Run("ranges", func(t *testing.T) {
		resp := dial(t, n).request(apiVersionsRequest(0), 1).(*kmsg.ApiVersionsResponse)
		for _, k := range resp.ApiKeys {
			known := kproto.APIByKey(k.ApiKey)
			if known == nil || k.MaxVersion > known.Max || k.MinVersion > k.MaxVersion {
				t.Errorf("key %d advertised with versions %d to %d", k.ApiKey, k.MinVersion, k.MaxVersion)
			}
			if k.ApiKey == 0 && k.MinVersion != 0 {
				t.Errorf("Produce advertised from version %d, want 0 (KAFKA-18659)", k.MinVersion)
			}
		}
	})
}

// oneRecord is a valid batch of one record.
func oneRecord(value string) []byte {
	var bb kproto.BatchBuilder
	bb.Reset()
	bb.Add(time.Now().UnixMilli(), nil, []byte(value), nil)
	return bb.Bytes()
}

func produceRequest(topic string, acks int16, records []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 9, acks, 5000
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Records = records
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

// TestProduceRefusals sends bad batches: statements 39 to 50 and 57 to 59.
func TestProduceRefusals(t *testing.T) {
	n := enginetest.Start(t, enginetest.Options{})
	limit := "2000"
	createTopic(t, n, "p", 1, map[string]*string{"max.message.bytes": &limit})
	change := func(at int, v byte, seal bool) []byte {
		b := oneRecord("hello")
		b[at] = v
		if seal {
			binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
		}
		return b
	}
	good := oneRecord("hello")
	tests := []struct {
		name    string
		topic   string
		acks    int16
		records []byte
		code    kproto.ErrorCode
	}{
		{"good", "p", -1, oneRecord("hello"), kproto.None},
		{"acks 2", "p", 2, oneRecord("hello"), kproto.InvalidRequiredAcks},
		{"unknown topic", "nope", -1, oneRecord("hello"), kproto.UnknownTopicOrPartition},
		{"null records", "p", -1, nil, kproto.InvalidRecord},
		{"damaged", "p", -1, change(len(good)-3, 'X', false), kproto.CorruptMessage},
		{"magic 1", "p", -1, change(16, 1, false), kproto.InvalidRecord},
		{"two batches", "p", -1, append(oneRecord("a"), oneRecord("b")...), kproto.InvalidRecord},
		{"cut short", "p", -1, good[:len(good)-4], kproto.InvalidRecord},
		{"control batch", "p", -1, change(22, 1<<5, true), kproto.InvalidRecord},
		{"base offset 9", "p", -1, change(7, 9, false), kproto.InvalidRecord},
		{"count 3", "p", -1, change(60, 3, true), kproto.InvalidRecord},
		{"too large", "p", -1, oneRecord(string(make([]byte, 3000))), kproto.MessageTooLarge},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			resp := dial(t, n).request(produceRequest(tc.topic, tc.acks, tc.records), 3).(*kmsg.ProduceResponse)
			p := resp.Topics[0].Partitions[0]
			if p.ErrorCode != int16(tc.code) {
				t.Fatalf("code %v (%v), want %v", kproto.ErrorCode(p.ErrorCode), p.ErrorMessage, tc.code)
			}
			if (tc.code == kproto.None) != (p.BaseOffset >= 0) {
				t.Fatalf("base offset %d with code %v", p.BaseOffset, tc.code)
			}
		})
	}
	t.Run("internal topic", func(t *testing.T) {
		createTopic(t, n, "__consumer_offsets", 1, nil)
		resp := dial(t, n).request(produceRequest("__consumer_offsets", -1, oneRecord("x")), 3).(*kmsg.ProduceResponse)
		if code := resp.Topics[0].Partitions[0].ErrorCode; code != int16(kproto.InvalidTopicException) {
			t.Fatalf("code %d", code)
		}
	})
	t.Run("acks 0 is silent", func(t *testing.T) {
		w := dial(t, n)
		w.send(frame(produceRequest("p", 0, oneRecord("quiet")), 1))
		w.request(apiVersionsRequest(3), 2) // the next answer is the next request's
	})
	t.Run("acks 0 closes on an error", func(t *testing.T) {
		w := dial(t, n)
		w.send(frame(produceRequest("nope", 0, oneRecord("quiet")), 1))
		w.expectClosed()
	})
}

// TestPipelining writes many requests before it reads: all are served, in order, produces and others mixed.
func TestPipelining(t *testing.T) {
	n := enginetest.Start(t, enginetest.Options{})
	createTopic(t, n, "pipe", 1, nil)
	w := dial(t, n)
	var out []byte
	const rounds = 200
	for i := range int32(rounds) {
		out = append(out, frame(produceRequest("pipe", -1, oneRecord("a")), 3*i)...)
		out = append(out, frame(produceRequest("pipe", 1, oneRecord("b")), 3*i+1)...)
		out = append(out, frame(apiVersionsRequest(3), 3*i+2)...)
	}
	go w.send(out)
	var next int64
	for i := range int32(rounds) {
		for k := range int32(2) {
			resp := w.response(produceRequest("", -1, nil), 3*i+k).(*kmsg.ProduceResponse)
			p := resp.Topics[0].Partitions[0]
			if p.ErrorCode != 0 || p.BaseOffset != next {
				t.Fatalf("round %d: code %d offset %d, want offset %d", i, p.ErrorCode, p.BaseOffset, next)
			}
			next++
		}
		w.response(apiVersionsRequest(3), 3*i+2)
	}
}
