package config

import (
	"math"
	"strconv"
	"time"
)

// Cleaner is how this broker compacts topics by key: the log.cleaner keys that are not defaults of topic keys.
type Cleaner struct {
	Enable            bool
	Threads           int           // 0: none
	DedupeBufferBytes int64         // of all threads together
	LoadFactor        float64       // of the dedupe buffer, above 0 and below 1
	BytesPerSecond    int64         // read and written, 0: no bound
	Backoff           time.Duration // when there is nothing to clean
}

// MinDedupePerThread is the least of the dedupe buffer for each thread.
const MinDedupePerThread = 1 << 20

// Cleaner returns the present values. dynamic looks up what was set at run time.
func (c *Config) Cleaner(dynamic func(key string) (string, bool)) Cleaner {
	text := func(key string) string { return c.present("log.cleaner."+key, dynamic) }
	decimal := func(key string) float64 {
		f, err := strconv.ParseFloat(text(key), 64)
		if err != nil {
			panic("BUG: config: log.cleaner." + key + " has no checked number")
		}
		return f
	}
	out := Cleaner{
		Enable:            text("enable") == "true",
		Threads:           int(intOf(text("threads"))),
		DedupeBufferBytes: intOf(text("dedupe.buffer.size")),
		LoadFactor:        min(max(decimal("io.buffer.load.factor"), 0.01), 0.99),
		Backoff:           millisOf(text("backoff.ms")),
	}
	if rate := decimal("io.max.bytes.per.second"); rate < math.MaxInt64/2 {
		out.BytesPerSecond = max(int64(rate), 1)
	}
	return out
}

// checkCleaner judges the log.cleaner keys together.
func (b *builder) checkCleaner() error {
	threads, size := b.num("log.cleaner.threads"), b.num("log.cleaner.dedupe.buffer.size")
	if b.flag("log.cleaner.enable") && threads > 0 && size/threads < MinDedupePerThread {
		return b.fail("log.cleaner.dedupe.buffer.size", "less than 1 MiB for each of log.cleaner.threads="+b.text("log.cleaner.threads"), "at least 1048576 per thread")
	}
	return nil
}
