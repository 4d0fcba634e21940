package report

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"hash"
	"hash/crc32"
	"os"
	"strings"
	"time"
)

// What the programs of all languages have in common.
const (
	N     = 300       // records per codec
	Limit = 3_000_000 // max.message.bytes of the topic for large records
)

// Start is the timestamp of the record with number 0; each further one is a second later.
var Start = time.Now().Add(-time.Hour).Truncate(time.Millisecond)

// The environment.
var (
	Bootstrap = os.Getenv("CLIENT_BOOTSTRAP")
	Reference = os.Getenv("CLIENT_REFERENCE")
	SASL      = os.Getenv("CLIENT_SECURITY") == "sasl_ssl"
	Mechanism = os.Getenv("CLIENT_MECHANISM")
	User      = os.Getenv("CLIENT_USER")
	Password  = os.Getenv("CLIENT_PASSWORD")
)

var failures int

// Topic is a name of this run.
func Topic(name string) string { return os.Getenv("CLIENT_PREFIX") + "-" + name }

// failure is what Need panics with.
type failure string

// Check runs a check and prints how it went. A panic out of Need or Must fails it.
func Check(name string, body func()) {
	defer func() {
		if r := recover(); r != nil {
			f, ok := r.(failure)
			if !ok {
				panic(r)
			}
			failures++
			fmt.Printf("FAIL %s: %s\n", name, strings.ReplaceAll(string(f), "\n", " "))
			return
		}
		fmt.Println("ok", name)
	}()
	body()
}

// Need ends a check that does not hold.
func Need(condition bool, what ...any) {
	if !condition {
		panic(failure(fmt.Sprint(what...)))
	}
}

// Must ends a check with an error.
func Must(err error) {
	if err != nil {
		panic(failure(err.Error()))
	}
}

// Get ends a check with an error, and is the value without.
func Get[T any](v T, err error) T {
	Must(err)
	return v
}

// End ends the program.
func End() {
	if failures > 0 {
		os.Exit(1)
	}
}

// TLS is the configuration for SASL_SSL.
func TLS() *tls.Config {
	pem := Get(os.ReadFile(os.Getenv("CLIENT_CA")))
	pool := x509.NewCertPool()
	Need(pool.AppendCertsFromPEM(pem), "no certificate in CLIENT_CA")
	host, _, _ := strings.Cut(Bootstrap, ":")
	return &tls.Config{RootCAs: pool, ServerName: host}
}

// Header is a header of a record.
type Header struct {
	Key   string
	Value []byte
}

// Record is one of the records that a codec is tried with. A nil key or value is null.
type Record struct {
	Key, Value []byte
	Headers    []Header
	Partition  int32
	Time       time.Time
}

// Numbered is the record with a number.
func Numbered(i int) Record {
	r := Record{Partition: int32(i % 3), Time: Start.Add(time.Duration(i) * time.Second)}
	if i%7 != 0 {
		r.Key = fmt.Appendf(nil, "key-%d", i%50)
	}
	switch {
	case i%11 == 0:
	case i%13 == 0:
		r.Value = []byte{}
	default:
		r.Value = fmt.Appendf(nil, "value %d %s", i, strings.Repeat("x", i%100))
	}
	if i%2 == 0 {
		r.Headers = []Header{{"n", fmt.Append(nil, i)}, {"ümlaut", []byte("€")}}
	}
	return r
}

// Sum is the sum of PROTOCOL.md.
type Sum struct{ Count, Total int64 }

// Until looks every now and then whether a condition holds, until it does or ctx ends, and says whether it does.
func Until(ctx context.Context, holds func() bool) bool {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			return holds()
		case <-look.C:
		}
	}
	return true
}

// Add adds a record.
func (s *Sum) Add(key, value []byte, headers []Header) {
	h := crc32.NewIEEE()
	part(h, key)
	part(h, value)
	for _, header := range headers {
		part(h, []byte(header.Key))
		part(h, header.Value)
	}
	s.Count++
	s.Total += int64(h.Sum32())
}

func part(h hash.Hash32, b []byte) {
	if b == nil {
		h.Write([]byte{0, '\n'})
		return
	}
	h.Write([]byte{1})
	h.Write(b)
	h.Write([]byte{'\n'})
}

// Print prints the sum of a topic.
func (s Sum) Print(topic string) { fmt.Println("sum", topic, s.Count, s.Total) }

// Large is an incompressible value of n bytes.
func Large(n int) []byte {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}
