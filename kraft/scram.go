package kraft

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/ringmq/ringmq/kraft/record"
)

// ScramMechanism is a mechanism with Kafka's number (KIP-554).
type ScramMechanism int8

// The mechanisms.
const (
	ScramSHA256 ScramMechanism = 1
	ScramSHA512 ScramMechanism = 2
)

func (m ScramMechanism) String() string {
	switch m {
	case ScramSHA256:
		return "SCRAM-SHA-256"
	case ScramSHA512:
		return "SCRAM-SHA-512"
	}
	return fmt.Sprintf("mechanism %d", int8(m))
}

// ScramMechanisms are all of them.
var ScramMechanisms = []ScramMechanism{ScramSHA256, ScramSHA512}

// ScramCredential is what a server keeps of a password (RFC 5802): it can check a proof, and cannot make one.
type ScramCredential struct {
	Salt, StoredKey, ServerKey []byte
	Iterations                 int32
}

func scramResource(user string) ConfigResource {
	return ConfigResource{Type: record.ScramConfig, Name: user}
}

// Scram returns a user's credential for a mechanism.
func Scram(img *Image, user string, m ScramMechanism) (ScramCredential, bool) {
	v, ok := img.Config(scramResource(user), m.String())
	if !ok {
		return ScramCredential{}, false
	}
	return parseScram(v)
}

// ScramUsers calls fn for every user with a credential until it returns false, by name.
func ScramUsers(img *Image, fn func(user string) bool) {
	img.ConfigResourcesOf(record.ScramConfig, func(r ConfigResource) bool { return fn(r.Name) })
}

func (c ScramCredential) value() string {
	b := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("%d %s %s %s", c.Iterations, b(c.Salt), b(c.StoredKey), b(c.ServerKey))
}

func parseScram(v string) (c ScramCredential, ok bool) {
	f := strings.Split(v, " ")
	if len(f) != 4 {
		return c, false
	}
	n, err := strconv.ParseInt(f[0], 10, 32)
	if err != nil {
		return c, false
	}
	c.Iterations = int32(n)
	for i, p := range []*[]byte{&c.Salt, &c.StoredKey, &c.ServerKey} {
		if *p, err = base64.StdEncoding.DecodeString(f[i+1]); err != nil {
			return c, false
		}
	}
	return c, true
}
