package config

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Source says where a configuration comes from. The zero value is the embedded default: a single node that needs nothing.
type Source struct {
	// File is a properties file; empty: none.
	File string
	// S3URL is the value of --s3-url; empty: none.
	S3URL string
	// Overrides are key=value, the later wins.
	Overrides []string
	// Env reads the environment. Default os.Getenv.
	Env func(string) string
	// Hostname names this machine to clients when a listener has no host. Default: the host name if it resolves, else localhost.
	Hostname func() string
	// MemoryBytes is what sizes of -1 are derived from. Default: what the machine and the control group allow.
	MemoryBytes int64
}

func (s Source) withDefaults() Source {
	if s.Env == nil {
		s.Env = os.Getenv
	}
	if s.Hostname == nil {
		s.Hostname = resolvableHostname
	}
	if s.MemoryBytes <= 0 {
		s.MemoryBytes = machineMemory()
	}
	return s
}

// resolvableHostname returns the host name if it can be resolved soon, else localhost: what cannot be resolved must not be advertised.
func resolvableHostname() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "localhost"
	}
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	if _, err := net.DefaultResolver.LookupHost(ctx, name); err != nil {
		return "localhost"
	}
	return name
}

// Load merges and checks a configuration: defaults, then the file, then the s3-url, then the overrides. Warnings are in key order. The
// error is the first that was found, an *Error in most cases.
func Load(src Source) (*Config, []Warning, error) {
	src = src.withDefaults()
	l := &loader{src: src, values: map[string]entry{}}
	if err := l.readFile(); err != nil {
		return nil, nil, err
	}
	if err := l.readS3URL(); err != nil {
		return nil, nil, err
	}
	for _, o := range src.Overrides {
		key, value, ok := strings.Cut(o, "=")
		key = strings.TrimSpace(key)
		if !ok || key == "" {
			return nil, nil, &Error{Kind: ErrMissing, Key: "--override", Reason: "not key=value: " + clip(key, 50), Allowed: "--override key=value"}
		}
		if err := l.set(key, strings.TrimSpace(value), OriginOverride, "--override"); err != nil {
			return nil, nil, err
		}
	}
	c, err := l.build()
	if err != nil {
		return nil, nil, err
	}
	slices.SortStableFunc(l.warnings, func(a, b Warning) int { return cmp.Compare(a.Key, b.Key) })
	return c, l.warnings, nil
}

// loader collects raw values.
type loader struct {
	src      Source
	values   map[string]entry // by canonical key, only what was set
	url      *S3URL
	warnings []Warning
}

func (l *loader) warn(key, where, format string, args ...any) {
	l.warnings = append(l.warnings, Warning{Key: key, Where: where, Text: fmt.Sprintf(format, args...)})
}

func (l *loader) readFile() error {
	if l.src.File == "" {
		return nil
	}
	f, err := os.Open(l.src.File)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	defer f.Close()
	props, err := ParseProperties(f)
	if err != nil {
		return fmt.Errorf("%w (%s)", err, l.src.File)
	}
	seen := map[string]int{}
	for _, p := range props {
		where := fmt.Sprintf("%s:%d", filepath.Base(l.src.File), p.Line)
		if line, dup := seen[p.Key]; dup {
			l.warn(p.Key, where, "set before on line %d; the last one counts", line)
		}
		seen[p.Key] = p.Line
		if err := l.set(p.Key, p.Value, OriginFile, where); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) readS3URL() error {
	if l.src.S3URL == "" {
		return nil
	}
	u, err := ParseS3URL(l.src.S3URL)
	if err != nil {
		return &Error{Kind: ErrMissing, Key: "--s3-url", Reason: err.Error(), Allowed: s3URLAllowed}
	}
	l.url = &u
	set := func(key, value string) error { return l.set(key, value, OriginS3URL, "--s3-url") }
	if u.ClusterID != "" {
		if err := set("cluster.id", u.ClusterID); err != nil {
			return err
		}
	}
	for _, old := range []string{"s3.endpoint", "s3.region", "s3.path.style", "s3.bucket", "s3.ops.bucket"} {
		delete(l.values, old) // the URL says all of this
	}
	// The masked text is replaced by the URL's own fields when the buckets are typed, unless an override sets the key again.
	l.values["s3.data.buckets"] = entry{value: u.Bucket(u.DataBucket).String(), origin: OriginS3URL, where: "--s3-url"}
	l.values["s3.ops.buckets"] = entry{value: u.Bucket(u.OpsBucket).String(), origin: OriginS3URL, where: "--s3-url"}
	return nil
}

// aliases are older names of keys.
var aliases = map[string]string{"broker.id": "node.id", "log.dir": "log.dirs"}

// set records one value. As in Kafka a key wins over its alias, whatever their order.
func (l *loader) set(key, value string, origin Origin, where string) error {
	d, ok := BrokerDef(key)
	name := key
	if ok {
		name = d.Name
	} else if d, ok = listenerScoped(key); !ok {
		for _, p := range clientPrefixes {
			if strings.HasPrefix(key, p) {
				l.warn(key, where, "known, but without use here")
				return nil
			}
		}
		e := unknownKey(key, "broker", brokerNames())
		if _, topic := TopicDef(key); topic {
			e.Reason = "a topic key, not a broker key"
			if s := TopicSynonyms(key); len(s) > 0 {
				e.Reason += "; its default for all topics is " + s[0].Key
			}
		}
		e.Where = where
		return e
	}
	if err := d.Validate(value); err != nil {
		e := err.(*Error)
		e.Key, e.Where = name, where
		if secretInside(key) {
			e.Value = MaskSecrets(value)
		}
		return e
	}
	l.values[name] = entry{value: value, origin: origin, where: where}
	if d.Use == Warned && value != d.Default {
		l.warn(key, where, "accepted, but without effect in this version")
	}
	return nil
}

// get returns the value of a key or of its alias, the definition's default if neither is set.
func (l *loader) get(key string) entry {
	if e, ok := l.values[key]; ok {
		return e
	}
	for alias, canonical := range aliases {
		if canonical == key {
			if e, ok := l.values[alias]; ok {
				return e
			}
		}
	}
	d, ok := BrokerDef(key)
	if !ok {
		panic("BUG: config: no definition of " + key)
	}
	return entry{value: d.Default, null: d.Null}
}

// secretInside reports whether the value of a key may hold secrets although the key is not a password.
func secretInside(key string) bool { return key == "s3.data.buckets" || key == "s3.ops.buckets" }

// MaskSecrets hides the values of secret parameters of bucket URIs and s3-urls in text that may be malformed: everything between `Key=` and the
// next &, comma, quotation mark or closing parenthesis. What is masked already stays as it is.
func MaskSecrets(s string) string {
	for _, name := range []string{"accessKey=", "secretKey=", "s3-access-key=", "s3-secret-key="} {
		for from := 0; ; {
			i := strings.Index(strings.ToLower(s[from:]), strings.ToLower(name))
			if i < 0 {
				break
			}
			start := from + i + len(name)
			end := start
			for end < len(s) && !strings.ContainsRune("&,\")", rune(s[end])) {
				end++
			}
			value := s[start:end]
			if hidden, after, ok := strings.Cut(value, ":"); ok && (hidden == masked || strings.HasSuffix(hidden, "***")) && strings.HasPrefix(after, " ") {
				value, end = hidden, start+len(hidden) // masked already, and the text of an error goes on behind it
			}
			if value == masked || value == "***" || strings.HasSuffix(value, "***") && strings.Contains(strings.ToLower(name), "access") {
				from = end
				continue
			}
			s = s[:start] + masked + s[end:]
			from = start + len(masked)
		}
	}
	return s
}
