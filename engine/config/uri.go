package config

import (
	"fmt"
	"net/url"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"
)

// masked stands in for a secret.
const masked = "[hidden]"

// PathStyle says how a bucket is addressed.
type PathStyle uint8

const (
	PathStyleAuto PathStyle = iota // found out by asking the endpoint
	PathStyleOn                    // endpoint/bucket/key (MinIO)
	PathStyleOff                   // bucket.endpoint/key
)

// BucketURI is one entry of s3.data.buckets or s3.ops.buckets:
//
//	0@s3://bucket?region=us-east-1&endpoint=http://127.0.0.1:9000&pathStyle=true&accessKey=..&secretKey=..
//	0@file:///var/lib/ringmq/objects
//	0@mem://name
//
// String and Format always mask secrets.
type BucketURI struct {
	ID     int16
	Scheme string // s3, file or mem
	// Bucket is the bucket of s3, the name of mem.
	Bucket string
	// Path is the absolute directory of file.
	Path string

	Region       string
	Endpoint     string // http://host:port or https://host:port; empty: the provider's own for the region
	PathStyle    PathStyle
	AuthType     string // static, instance, or empty: static when keys are known, else the environment's chain
	AccessKey    string
	SecretKey    string
	SessionToken string
	// CredentialsFile is a file in AWS's format with the keys. CAFile is a PEM file with the authorities that are trusted for https; empty:
	// those of the environment and the system. Both absolute once a configuration is loaded: a relative path in a properties file begins
	// at that file's directory.
	CredentialsFile string
	CAFile          string
	// ChecksumAlgorithm is CRC32C, CRC32, SHA1, SHA256 or empty.
	ChecksumAlgorithm  string
	CallTimeout        time.Duration // apiCallTimeoutMs; 0: the store's default
	CallAttemptTimeout time.Duration // apiCallAttemptTimeoutMs; 0: the store's default
	// Params holds further parameters as written, decoded, for stores that define their own.
	Params map[string]string
}

// GoString keeps secrets out of %#v.
func (b BucketURI) GoString() string { return b.String() }

// String is the URI in canonical form with secrets masked.
func (b BucketURI) String() string {
	var q []string
	add := func(k, v string) {
		if v != "" {
			q = append(q, k+"="+escape(v))
		}
	}
	add("region", b.Region)
	add("endpoint", b.Endpoint)
	switch b.PathStyle {
	case PathStyleOn:
		add("pathStyle", "true")
	case PathStyleOff:
		add("pathStyle", "false")
	}
	add("authType", b.AuthType)
	hide := func(k, v string) {
		if v != "" {
			q = append(q, k+"="+masked)
		}
	}
	hide("accessKey", b.AccessKey)
	hide("secretKey", b.SecretKey)
	add("credentialsFile", b.CredentialsFile)
	add("caFile", b.CAFile)
	add("checksumAlgorithm", b.ChecksumAlgorithm)
	if b.CallTimeout > 0 {
		add("apiCallTimeoutMs", strconv.FormatInt(b.CallTimeout.Milliseconds(), 10))
	}
	if b.CallAttemptTimeout > 0 {
		add("apiCallAttemptTimeoutMs", strconv.FormatInt(b.CallAttemptTimeout.Milliseconds(), 10))
	}
	for _, k := range sortedKeys(b.Params) {
		add(k, b.Params[k])
	}
	return joinURI(b.ID, b.Scheme, b.Bucket+escapePath(b.Path), q)
}

// WALURI is s3.wal.path: `0@file:///dev/nvme1n1?capacity=2147483648&iodepth=8`, or a bare path with the older keys
// s3.wal.capacity, s3.wal.thread and s3.wal.iops.
type WALURI struct {
	ID     int16
	Scheme string // file
	// Path is the absolute path of the device or file.
	Path string
	// CapacityBytes is the size of a file to create; an existing file keeps its own, a device is used whole. Default 2 GiB.
	CapacityBytes int64
	// IODepth is the number of writes in flight, 1 to 64 (16 are used at most). Default 2: each durable write carries a flush of its own, and
	// what arrives meanwhile goes together into the next one. Measured with 64 producers of 100 bytes: 2 gives 8 % more acknowledgements than 8,
	// at two thirds of its p99.
	IODepth int
	// Sync is how writes are made durable: dsync, rwf or fdatasync; "": what the log itself remembers to be the fastest on its device. Package wal
	// has the details.
	Sync string
	// IOPS and BandwidthBytesPerSecond are limits; 0: none.
	IOPS                    int
	BandwidthBytesPerSecond int64
	// Timeout is how long an append may wait for the device; 0: for ever.
	Timeout time.Duration
	// Default says that nobody set s3.wal.path.
	Default bool
}

// String is the URI in canonical form.
func (w WALURI) String() string {
	q := []string{"capacity=" + strconv.FormatInt(w.CapacityBytes, 10), "iodepth=" + strconv.Itoa(w.IODepth)}
	if w.Sync != "" {
		q = append(q, "sync="+w.Sync)
	}
	if w.IOPS > 0 {
		q = append(q, "iops="+strconv.Itoa(w.IOPS))
	}
	if w.BandwidthBytesPerSecond > 0 {
		q = append(q, "iobandwidth="+strconv.FormatInt(w.BandwidthBytesPerSecond, 10))
	}
	if w.Timeout > 0 {
		q = append(q, "timeout="+strconv.FormatInt(int64(w.Timeout/time.Second), 10))
	}
	return joinURI(w.ID, w.Scheme, escapePath(w.Path), q)
}

const (
	bucketAllowed = "<id>@s3://<bucket>?region=..&endpoint=http://host:port&pathStyle=true|false&authType=static|instance&accessKey=..&secretKey=..&credentialsFile=..&caFile=.., " +
		"<id>@file:///<absolute directory> or <id>@mem://<name>, values percent-encoded, id -32768..32767, comma separated"
	walAllowed = "an absolute path, or <id>@file:///<absolute path>?capacity=<bytes>&iodepth=1..64&sync=auto|dsync|rwf|fdatasync&iops=..&iobandwidth=..&timeout=<s>"

	defaultIODepth     = 2
	minWALCapacity     = 16 << 20 // a few maximal blocks must fit
	defaultWALCapacity = 2 << 30  // AutoMQ's s3.wal.capacity
)

// ParseBuckets parses a comma separated list of bucket URIs. The error's text names the part that is wrong, never a secret.
func ParseBuckets(s string) ([]BucketURI, error) {
	var out []BucketURI
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		b, err := parseBucket(item)
		if err != nil {
			return nil, err
		}
		for _, o := range out {
			if o.ID == b.ID {
				return nil, fmt.Errorf("the bucket id %d appears twice", b.ID)
			}
		}
		out = append(out, b)
	}
	return out, nil
}

func parseBucket(s string) (BucketURI, error) {
	u, err := parseIDURI(s)
	if err != nil {
		return BucketURI{}, err
	}
	b := BucketURI{ID: u.id, Scheme: u.scheme}
	switch u.scheme {
	case "s3", "mem":
		b.Bucket = strings.TrimSuffix(u.path, "/")
		if b.Bucket == "" {
			return b, fmt.Errorf("no bucket name after %s://", u.scheme)
		}
		if !bucketName(b.Bucket) {
			return b, fmt.Errorf("bucket name %q has a character that no bucket has", clip(b.Bucket, 70))
		}
	case "file":
		if b.Path, err = absolutePath(u.path); err != nil {
			return b, err
		}
	default:
		return b, fmt.Errorf("scheme %q is not s3, file or mem", u.scheme)
	}
	for _, p := range u.params {
		if err := b.set(p.key, p.value); err != nil {
			return b, err
		}
	}
	return b, nil
}

func (b *BucketURI) set(key, value string) error {
	if b.Scheme == "s3" {
		switch key {
		case "region":
			b.Region = value
			return nil
		case "endpoint":
			e, err := parseEndpoint(value, "https")
			b.Endpoint = e
			return err
		case "pathStyle":
			switch strings.ToLower(value) {
			case "true":
				b.PathStyle = PathStyleOn
			case "false":
				b.PathStyle = PathStyleOff
			default:
				return fmt.Errorf("pathStyle=%q is not true or false", value)
			}
			return nil
		case "authType":
			if value != "static" && value != "instance" {
				return fmt.Errorf("authType=%q is not static or instance", value)
			}
			b.AuthType = value
			return nil
		case "accessKey":
			b.AccessKey = value
			return nil
		case "secretKey":
			b.SecretKey = value
			return nil
		case "credentialsFile":
			b.CredentialsFile = value
			return checkPath(key, value)
		case "caFile":
			b.CAFile = value
			return checkPath(key, value)
		case "checksumAlgorithm":
			switch value {
			case "CRC32C", "CRC32", "SHA1", "SHA256":
				b.ChecksumAlgorithm = value
				return nil
			}
			return fmt.Errorf("checksumAlgorithm=%q is not CRC32C, CRC32, SHA1 or SHA256", value)
		case "apiCallTimeoutMs":
			return setMillis(&b.CallTimeout, key, value)
		case "apiCallAttemptTimeoutMs":
			return setMillis(&b.CallAttemptTimeout, key, value)
		case "batchInterval", "maxBytesInBatch", "maxUnflushedBytes", "maxInflightUploadCount", "readaheadDataSize":
			return fmt.Errorf("parameter %q belongs to a write-ahead log on object storage, not to a bucket", key)
		}
	}
	return fmt.Errorf("unknown parameter %q of a %s bucket", key, b.Scheme)
}

// ParseWAL parses s3.wal.path.
func ParseWAL(s string) (WALURI, error) {
	s = strings.TrimSpace(s)
	w := WALURI{Scheme: "file", CapacityBytes: defaultWALCapacity, IODepth: defaultIODepth}
	if !strings.Contains(s, "://") {
		var err error
		w.Path, err = absolutePath(s)
		return w, err
	}
	u, err := parseIDURI(s)
	if err != nil {
		return w, err
	}
	if u.scheme != "file" {
		return w, fmt.Errorf("scheme %q is not served: this version keeps its write-ahead log on a device or file", u.scheme)
	}
	w.ID = u.id
	if w.Path, err = absolutePath(u.path); err != nil {
		return w, err
	}
	for _, p := range u.params {
		if p.key == "sync" {
			switch w.Sync = p.value; p.value {
			case "auto":
				w.Sync = ""
			case "dsync", "rwf", "fdatasync":
			default:
				return w, fmt.Errorf("sync=%q is not auto, dsync, rwf or fdatasync", p.value)
			}
			continue
		}
		var n int64
		if n, err = strconv.ParseInt(p.value, 10, 64); err != nil || n < 0 {
			return w, fmt.Errorf("%s=%q is not a number", p.key, p.value)
		}
		switch p.key {
		case "capacity":
			w.CapacityBytes = n
		case "iodepth":
			if n < 1 || n > 64 {
				return w, fmt.Errorf("iodepth=%d is not 1..64", n)
			}
			w.IODepth = int(n)
		case "iops":
			w.IOPS = int(min(n, 1<<31-1))
		case "iobandwidth":
			w.BandwidthBytesPerSecond = n
		case "timeout":
			if n > 86400 {
				return w, fmt.Errorf("timeout=%d is more than a day (86400 s)", n)
			}
			w.Timeout = time.Duration(n) * time.Second
		default:
			return w, fmt.Errorf("unknown parameter %q of a write-ahead log", p.key)
		}
	}
	if w.CapacityBytes < minWALCapacity {
		return w, fmt.Errorf("capacity=%d is less than %d bytes", w.CapacityBytes, minWALCapacity)
	}
	return w, nil
}

// idURI is `<id>@<scheme>://<path>?k=v&k=v`, path and parameters decoded.
type idURI struct {
	id     int16
	scheme string
	path   string
	params []param
}

type param struct{ key, value string }

// maxURIBytes bounds what is parsed; no real URI comes near.
const maxURIBytes = 16 << 10

func parseIDURI(s string) (idURI, error) {
	var u idURI
	if len(s) > maxURIBytes {
		return u, fmt.Errorf("%d bytes long, at most %d are allowed", len(s), maxURIBytes)
	}
	head, rest, ok := strings.Cut(s, "://")
	if !ok {
		return u, fmt.Errorf("no :// found")
	}
	id, scheme, ok := strings.Cut(head, "@")
	if !ok {
		return u, fmt.Errorf("no <id>@ before %s://", clip(head, 20))
	}
	n, err := strconv.ParseInt(id, 10, 16)
	if err != nil {
		return u, fmt.Errorf("id %q is not -32768..32767", clip(id, 20))
	}
	u.id, u.scheme = int16(n), scheme
	path, query, _ := strings.Cut(rest, "?")
	if u.path, err = url.PathUnescape(path); err != nil {
		return u, fmt.Errorf("path: bad percent-encoding")
	}
	u.params, err = parseParams(query)
	return u, err
}

// parseParams splits at & and then at the first =, and percent-decodes. A plus sign stays a plus sign. Values are never shown in errors:
// they may be secrets.
func parseParams(query string) ([]param, error) {
	var out []param
	if query == "" {
		return nil, nil
	}
	for item := range strings.SplitSeq(query, "&") {
		if item == "" {
			continue
		}
		k, v, ok := strings.Cut(item, "=")
		if !ok || k == "" {
			return nil, fmt.Errorf("parameter number %d is not key=value (write & inside a value as %%26)", len(out)+1)
		}
		key, err := url.PathUnescape(k)
		if err != nil {
			return nil, fmt.Errorf("parameter number %d: bad percent-encoding of the name", len(out)+1)
		}
		value, err := url.PathUnescape(v)
		if err != nil {
			return nil, fmt.Errorf("parameter %q: bad percent-encoding (write %% as %%25)", key)
		}
		for _, p := range out {
			if p.key == key {
				return nil, fmt.Errorf("parameter %q appears twice", key)
			}
		}
		out = append(out, param{key, value})
	}
	return out, nil
}

// parseEndpoint returns scheme://host[:port]; a missing scheme becomes the given one.
func parseEndpoint(s, scheme string) (string, error) {
	host := s
	if h, ok := strings.CutPrefix(s, "http://"); ok {
		scheme, host = "http", h
	} else if h, ok := strings.CutPrefix(s, "https://"); ok {
		scheme, host = "https", h
	}
	host = strings.TrimSuffix(host, "/")
	u, err := url.Parse(scheme + "://" + host)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.User != nil || strings.ContainsAny(host, "#@ ") {
		return "", fmt.Errorf("endpoint %q is not [http://|https://]host[:port]", clip(s, 100))
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return "", fmt.Errorf("endpoint %q: port is not 1..65535", clip(s, 100))
		}
	}
	return scheme + "://" + host, nil
}

// bucketName reports whether every character may occur in a bucket's name; the store has the last word.
func bucketName(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '.' || r == '-' || r == '_')
	})
}

func absolutePath(p string) (string, error) {
	if p == "" {
		return "", fmt.Errorf("no path")
	}
	if strings.ContainsRune(p, 0) {
		return "", fmt.Errorf("path has a zero byte")
	}
	if !filepath.IsAbs(p) {
		return "", fmt.Errorf("path %q is not absolute", clip(p, 100))
	}
	return filepath.Clean(p), nil
}

func checkPath(key, value string) error {
	if value == "" || strings.ContainsRune(value, 0) {
		return fmt.Errorf("%s is no path of a file", key)
	}
	return nil
}

func setMillis(d *time.Duration, key, value string) error {
	n, err := strconv.ParseInt(value, 10, 32)
	if err != nil || n < 1 {
		return fmt.Errorf("%s=%q is not 1..2147483647", key, value)
	}
	*d = time.Duration(n) * time.Millisecond
	return nil
}

func joinURI(id int16, scheme, path string, query []string) string {
	s := strconv.Itoa(int(id)) + "@" + scheme + "://" + path
	if len(query) > 0 {
		s += "?" + strings.Join(query, "&")
	}
	return s
}

// escape percent-encodes what would end a value or a list entry.
func escape(s string) string {
	return strings.NewReplacer("%", "%25", "&", "%26", ",", "%2C", "?", "%3F", "#", "%23", " ", "%20").Replace(s)
}

func escapePath(s string) string { return escape(s) }

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
