package kproto

import (
	"bytes"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// requestFrame is what a client sends, without the size prefix.
func requestFrame(clientID *string, correlationID int32, req kmsg.Request) []byte {
	opts := []kmsg.RequestFormatterOpt{}
	if clientID != nil {
		opts = append(opts, kmsg.FormatterClientID(*clientID))
	}
	return kmsg.NewRequestFormatter(opts...).AppendRequest(nil, req, correlationID)[4:]
}

func TestParseHeader(t *testing.T) {
	id := "client-1"
	for key := int16(0); key <= MaxKey; key++ {
		req := kmsg.RequestForKey(key)
		for version := int16(0); version <= req.MaxVersion(); version++ {
			if key == KeyControlledShutdown && version == 0 {
				continue // kmsg has no header of version 0
			}
			for _, clientID := range []*string{&id, nil} {
				req.SetVersion(version)
				h, body, err := ParseHeader(requestFrame(clientID, 7, req))
				if err != nil {
					t.Fatalf("%s v%d: %v", APIName(key), version, err)
				}
				if h.Key != key || h.Version != version || h.CorrelationID != 7 {
					t.Errorf("%s v%d: got %+v", APIName(key), version, h)
				}
				if (clientID == nil) != (h.ClientID == nil) || clientID != nil && string(h.ClientID) != id {
					t.Errorf("%s v%d: client id %q", APIName(key), version, h.ClientID)
				}
				if want := req.AppendTo(nil); !bytes.Equal(body, want) {
					t.Errorf("%s v%d: body %x, want %x", APIName(key), version, body, want)
				}
			}
		}
	}
}

func TestParseHeaderOddities(t *testing.T) {
	for _, c := range []struct {
		name  string
		frame []byte
		want  error
		body  string
	}{
		{"empty", nil, ErrMalformed, ""},
		{"short", []byte{0, 3, 0, 1, 0, 0, 0}, ErrMalformed, ""},
		{"no client id", []byte{0, 3, 0, 1, 0, 0, 0, 9}, ErrMalformed, ""},
		{"key too high", []byte{0, 95, 0, 0, 0, 0, 0, 9, 0xff, 0xff}, ErrUnknownKey, ""},
		{"negative key", []byte{0xff, 0xff, 0, 0, 0, 0, 0, 9, 0xff, 0xff}, ErrUnknownKey, ""},
		{"negative version", []byte{0, 3, 0xff, 0xff, 0, 0, 0, 9, 0xff, 0xff}, ErrMalformed, ""},
		{"client id of -2", []byte{0, 3, 0, 1, 0, 0, 0, 9, 0xff, 0xfe}, ErrMalformed, ""},
		{"client id too long", []byte{0, 3, 0, 1, 0, 0, 0, 9, 0, 9, 'x'}, ErrMalformed, ""},
		{"tag longer than the frame", []byte{0, 3, 0, 9, 0, 0, 0, 9, 0, 0, 1, 5, 9, 'x'}, ErrMalformed, ""},
		{"endless tag count", []byte{0, 3, 0, 9, 0, 0, 0, 9, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, ErrMalformed, ""},
		{"controlled shutdown v0", []byte{0, 7, 0, 0, 0, 0, 0, 9, 'b'}, nil, "b"},
		{"unknown tags are skipped", []byte{0, 3, 0, 9, 0, 0, 0, 9, 0, 1, 'c', 2, 5, 1, 'x', 6, 0, 'b'}, nil, "b"},
		{"ApiVersions of the future", []byte{0, 18, 0, 99, 0, 0, 0, 9, 0, 1, 'c', 0, 'b'}, nil, "b"},
	} {
		h, body, err := ParseHeader(c.frame)
		if !errors.Is(err, c.want) || string(body) != c.body {
			t.Errorf("%s: got body %q, error %v; want %q, %v", c.name, body, err, c.body, c.want)
		}
		if err == nil && h.CorrelationID != 9 {
			t.Errorf("%s: correlation id %d", c.name, h.CorrelationID)
		}
	}
}

func TestResponseHeader(t *testing.T) {
	for key := int16(0); key <= MaxKey; key++ {
		resp := kmsg.ResponseForKey(key)
		for version := int16(0); version <= resp.MaxVersion(); version++ {
			resp.SetVersion(version)
			want := []byte{0, 0, 1, 2}
			if resp.IsFlexible() && key != KeyApiVersions {
				want = append(want, 0)
			}
			if got := AppendResponseHeader(nil, key, version, 0x102); !bytes.Equal(got, want) {
				t.Errorf("%s v%d: %x, want %x", APIName(key), version, got, want)
			}
		}
	}
}

func FuzzParseHeader(f *testing.F) {
	id := "client-1"
	for key := int16(0); key <= MaxKey; key++ {
		req := kmsg.RequestForKey(key)
		req.SetVersion(req.MaxVersion())
		f.Add(requestFrame(&id, 7, req))
	}
	f.Add([]byte{0, 7, 0, 0, 0, 0, 0, 9, 'b'})
	f.Fuzz(func(t *testing.T, frame []byte) {
		h, body, err := ParseHeader(frame)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnknownKey) {
				t.Fatalf("error %v matches nothing", err)
			}
			return
		}
		if !bytes.HasSuffix(frame, body) || APIByKey(h.Key) == nil || h.Version < 0 {
			t.Fatalf("header %+v, body %x of frame %x", h, body, frame)
		}
		// What is in front of the body must say the same when it is written again, tagged fields aside.
		again := appendInt32(appendInt16(appendInt16(nil, h.Key), h.Version), h.CorrelationID)
		if h.Key != KeyControlledShutdown || h.Version != 0 {
			if h.ClientID == nil {
				again = appendInt16(again, -1)
			} else {
				again = appendString(again, false, h.ClientID)
			}
		}
		if !bytes.HasPrefix(frame, again) {
			t.Fatalf("re-encoded %x, frame %x", again, frame)
		}
	})
}
