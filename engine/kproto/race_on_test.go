//go:build race

package kproto

const raceEnabled = true
