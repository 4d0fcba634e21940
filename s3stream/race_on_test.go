//go:build race

package s3stream_test

const raceEnabled = true
