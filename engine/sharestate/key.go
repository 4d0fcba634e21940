package sharestate

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Key names a state: a partition as a group sees it.
type Key struct {
	Group     string
	Topic     [16]byte
	Partition int32
}

// ErrKey is matched by the errors of ParseKey.
var ErrKey = errors.New("sharestate: malformed key")

// String is the key in Kafka's form, which FindCoordinator has: group:topic id in base64:partition.
func (k Key) String() string {
	return k.Group + ":" + base64.RawURLEncoding.EncodeToString(k.Topic[:]) + ":" + strconv.Itoa(int(k.Partition))
}

// ParseKey reads what String writes. The group may have colons.
func ParseKey(text string) (k Key, err error) {
	parts := strings.Split(text, ":")
	if len(parts) < 3 {
		return k, fmt.Errorf("%w: %q, want group:topic id:partition", ErrKey, text)
	}
	last := len(parts) - 1
	k.Group = strings.Join(parts[:last-1], ":")
	if strings.TrimSpace(k.Group) == "" {
		return k, fmt.Errorf("%w: %q has no group", ErrKey, text)
	}
	id, err := base64.RawURLEncoding.DecodeString(parts[last-1])
	if err != nil || len(id) != len(k.Topic) {
		return k, fmt.Errorf("%w: %q: %q is no topic id", ErrKey, text, parts[last-1])
	}
	copy(k.Topic[:], id)
	partition, err := strconv.ParseInt(parts[last], 10, 32)
	if err != nil {
		return k, fmt.Errorf("%w: %q: %q is no partition", ErrKey, text, parts[last])
	}
	k.Partition = int32(partition)
	return k, nil
}
