//go:build !race

package kproto

const raceEnabled = false
