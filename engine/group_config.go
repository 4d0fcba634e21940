package engine

import (
	"strconv"
	"time"

	"github.com/ringmq/ringmq/kraft"
)

// groupConfig is the keys that a group sets for itself.
type groupConfig struct {
	img *kraft.Image
	own kraft.ConfigResource
}

func (b *Broker) groupConfig(name string) groupConfig {
	return groupConfig{b.node.Image(), kraft.ConfigResource{Type: kraft.GroupConfig, Name: name}}
}

// number is the value of a key, or another one where the group does not set it.
func (c groupConfig) number(key string, otherwise int) int {
	if text, ok := c.img.Config(c.own, key); ok {
		if n, err := strconv.Atoi(text); err == nil {
			return n
		}
	}
	return otherwise
}

// text is the value of a key, "" where the group does not set it.
func (c groupConfig) text(key string) string {
	text, _ := c.img.Config(c.own, key)
	return text
}

// millis is number for a time.
func (c groupConfig) millis(key string, otherwise time.Duration) time.Duration {
	return time.Duration(c.number(key, int(otherwise.Milliseconds()))) * time.Millisecond
}

// dynamicMillis is a key of the broker that may change while it runs.
func (b *Broker) dynamicMillis(key string, otherwise time.Duration) time.Duration {
	if text, ok := b.dynamicConfig()(key); ok {
		if n, err := strconv.Atoi(text); err == nil {
			return time.Duration(n) * time.Millisecond
		}
	}
	return otherwise
}
