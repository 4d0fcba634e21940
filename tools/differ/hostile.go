package differ

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// frame is something that no sound client sends.
type frame struct {
	name  string
	bytes []byte
}

// hostileFrames are damaged forms of a sound request of an API in its newest version, of which all APIs have some.
func hostileFrames(key int16, versions [2]int16, ids map[string][16]byte) []frame {
	name := kmsg.NameForKey(key)
	sound := func(version int16) []byte {
		return kmsg.NewRequestFormatter(kmsg.FormatterClientID("differ")).AppendRequest(nil, generate(key, version, 1, ids), 5)
	}
	whole := sound(versions[1])
	frames := []frame{
		{name + " of a version too new", numbered(sound(versions[1]), versions[1]+1)},
		{name + " of version -1", numbered(sound(versions[1]), -1)},
		{name + " with bytes behind it", sized(append(sound(versions[1]), 1, 2, 3))},
	}
	if versions[0] > 0 {
		frames = append(frames, frame{name + " of a version too old", numbered(sound(versions[0]), versions[0]-1)})
	}
	for _, cut := range []int{1, 4, 16} {
		if n := len(whole) - cut; n > 22 {
			frames = append(frames, frame{fmt.Sprintf("%s without its last %d bytes", name, cut), sized(append([]byte{}, whole[:n]...))})
		}
	}
	return frames
}

// wildFrames are not of any API.
func wildFrames() []frame {
	return []frame{
		{"an unknown API", sized([]byte{0, 0, 0, 0, 0x7f, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff})},
		{"a negative API", sized([]byte{0, 0, 0, 0, 0xff, 0xfe, 0, 0, 0, 0, 0, 1, 0xff, 0xff})},
		{"length 0", []byte{0, 0, 0, 0}},
		{"length 1", []byte{0, 0, 0, 1, 0}},
		{"a negative length", []byte{0xff, 0xff, 0xff, 0xff, 0, 0}},
		{"a length of 2 GiB", []byte{0x7f, 0xff, 0xff, 0xff, 0, 0}},
		{"a client id that is longer than the frame", sized([]byte{0, 0, 0, 0, 0, 3, 0, 1, 0, 0, 0, 1, 0x7f, 0xff, 'x'})},
		{"HTTP", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")},
		{"a TLS greeting", []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")},
	}
}

// numbered puts another version into a frame.
func numbered(b []byte, version int16) []byte {
	binary.BigEndian.PutUint16(b[6:], uint16(version))
	return b
}

// sized corrects the length of a frame.
func sized(b []byte) []byte {
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// quiet is how long a broker may think about a frame before it counts as unanswered.
const quiet = time.Second

// outcome sends a frame on a connection of its own and tells how the broker took it: it answers, closes the connection, or waits for more.
func (s *side) outcome(ctx context.Context, f frame) (string, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := c.Write(f.bytes); err != nil {
		return "closed", nil
	}
	_ = c.SetReadDeadline(time.Now().Add(quiet))
	n, err := c.Read(make([]byte, 1<<16))
	switch netErr, _ := err.(net.Error); {
	case n > 0:
		return "answered", nil
	case netErr != nil && netErr.Timeout():
		return "nothing", nil
	}
	return "closed", nil
}

// allowedFrames are frames that the brokers take differently, and why that is meant.
var allowedFrames = map[string]string{
	"ApiVersions of version -1": "a negative version is not taken for one that is too new",
}
