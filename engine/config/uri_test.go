package config

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseBuckets(t *testing.T) {
	tests := []struct {
		in   string
		want []BucketURI
	}{
		{"0@s3://data", []BucketURI{{Scheme: "s3", Bucket: "data"}}},
		{"0@s3://data?region=us-east-1&endpoint=http://127.0.0.1:9000&pathStyle=true&accessKey=A&secretKey=a%2Fb+c%26d=e==",
			[]BucketURI{{Scheme: "s3", Bucket: "data", Region: "us-east-1", Endpoint: "http://127.0.0.1:9000", PathStyle: PathStyleOn, AccessKey: "A", SecretKey: "a/b+c&d=e=="}}},
		{"-2@file:///var/lib/my%20data", []BucketURI{{ID: -2, Scheme: "file", Path: "/var/lib/my data"}}},
		{"0@file:///var/lib/./x/", []BucketURI{{Scheme: "file", Path: "/var/lib/x"}}},
		{"0@mem://test", []BucketURI{{Scheme: "mem", Bucket: "test"}}},
		{"0@s3://a , 1@s3://b?authType=instance,", []BucketURI{{Scheme: "s3", Bucket: "a"}, {ID: 1, Scheme: "s3", Bucket: "b", AuthType: "instance"}}},
		{"0@s3://a?endpoint=minio%3A9000", []BucketURI{{Scheme: "s3", Bucket: "a", Endpoint: "https://minio:9000"}}},
		{"0@s3://a?endpoint=http://[::1]:9000/&pathStyle=FALSE&checksumAlgorithm=CRC32C&apiCallTimeoutMs=30000&apiCallAttemptTimeoutMs=1",
			[]BucketURI{{Scheme: "s3", Bucket: "a", Endpoint: "http://[::1]:9000", PathStyle: PathStyleOff, ChecksumAlgorithm: "CRC32C", CallTimeout: 30 * time.Second, CallAttemptTimeout: time.Millisecond}}},
		{"", nil},
	}
	for _, tt := range tests {
		got, err := ParseBuckets(tt.in)
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s:\ngot  %#v %v\nwant %#v", tt.in, got, err, tt.want)
		}
	}
}

func TestParseBucketsErrors(t *testing.T) {
	for in, want := range map[string]string{
		"data":                           "no ://",
		"s3://data":                      "no <id>@",
		"x@s3://data":                    `id "x"`,
		"40000@s3://data":                `id "40000"`,
		"0@gs://data":                    `scheme "gs"`,
		"0@s3://":                        "no bucket name",
		"0@s3://a/b":                     "bucket name",
		"0@file://relative":              "not absolute",
		"0@file://":                      "no path",
		"0@file:///a%00b":                "zero byte",
		"0@s3://a?region":                "parameter number 1 is not key=value",
		"0@s3://a?x=1":                   `unknown parameter "x"`,
		"0@file:///a?region=x":           `unknown parameter "region"`,
		"0@s3://a?region=x&region=y":     `"region" appears twice`,
		"0@s3://a?pathStyle=yes":         "pathStyle",
		"0@s3://a?authType=magic":        "authType",
		"0@s3://a?endpoint=ftp://h":      "endpoint",
		"0@s3://a?endpoint=http://h:0":   "port",
		"0@s3://a?endpoint=http://h/x":   "endpoint",
		"0@s3://a?secretKey=50%":         "bad percent-encoding",
		"0@s3://a?apiCallTimeoutMs=0":    "apiCallTimeoutMs",
		"0@s3://a?checksumAlgorithm=MD5": "checksumAlgorithm",
		"0@s3://a?batchInterval=250":     "write-ahead log",
		"0@s3://a,0@s3://b":              "id 0 appears twice",
		"0@s3://a?r=" + strings.Repeat("x", maxURIBytes): "bytes long",
	} {
		if _, err := ParseBuckets(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: got %v, want %q", in, err, want)
		}
	}
}

func TestParseWAL(t *testing.T) {
	tests := []struct {
		in, err string
		want    WALURI
	}{
		{in: "/dev/nvme1n1", want: WALURI{Scheme: "file", Path: "/dev/nvme1n1", CapacityBytes: 2 << 30, IODepth: 2}},
		{in: "0@file:///dev/nvme1n1?capacity=1073741824&iodepth=16&iops=3000&iobandwidth=100&timeout=30",
			want: WALURI{Scheme: "file", Path: "/dev/nvme1n1", CapacityBytes: 1 << 30, IODepth: 16, IOPS: 3000, BandwidthBytesPerSecond: 100, Timeout: 30 * time.Second}},
		{in: "0@file:///x?sync=fdatasync", want: WALURI{Scheme: "file", Path: "/x", CapacityBytes: 2 << 30, IODepth: 2, Sync: "fdatasync"}},
		{in: "0@file:///x?sync=auto", want: WALURI{Scheme: "file", Path: "/x", CapacityBytes: 2 << 30, IODepth: 2}},
		{in: "3@file:///x%2Fy", want: WALURI{ID: 3, Scheme: "file", Path: "/x/y", CapacityBytes: 2 << 30, IODepth: 2}},
		{in: "wal", err: "not absolute"},
		{in: "", err: "no path"},
		{in: "0@s3://bucket", err: `scheme "s3"`},
		{in: "0@file:///x?capacity=1", err: "capacity=1 is less"},
		{in: "0@file:///x?capacity=-1", err: "not a number"},
		{in: "0@file:///x?iodepth=0", err: "iodepth"},
		{in: "0@file:///x?iodepth=65", err: "iodepth"},
		{in: "0@file:///x?sync=fsync", err: "auto, dsync, rwf or fdatasync"},
		{in: "0@file:///x?size=1", err: `unknown parameter "size"`},
		{in: "0@file:///x?timeout=9999999", err: "timeout"},
	}
	for _, tt := range tests {
		got, err := ParseWAL(tt.in)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: got %v, want %q", tt.in, err, tt.err)
			}
		} else if err != nil || got != tt.want {
			t.Errorf("%s: got %+v %v, want %+v", tt.in, got, err, tt.want)
		}
	}
}

func TestParseS3URL(t *testing.T) {
	const example = "s3://127.0.0.1:9100?s3-access-key=AK&s3-secret-key=SK&s3-region=us-east-1&s3-endpoint-protocol=http&s3-data-bucket=automq&s3-path-style=true&s3-ops-bucket=ops&cluster-id=tlqI-G6cRxmM4uQcjodQ0Q"
	full := S3URL{Endpoint: "http://127.0.0.1:9100", AccessKey: "AK", SecretKey: "SK", Region: "us-east-1", DataBucket: "automq", OpsBucket: "ops", PathStyle: PathStyleOn, ClusterID: "tlqI-G6cRxmM4uQcjodQ0Q"}
	base64 := full
	base64.SecretKey = "a/b+c=&=="
	tests := []struct {
		in, err string
		want    S3URL
	}{
		{in: example, want: full},
		{in: strings.Replace(example, "=SK", "=a/b+c=%26==", 1), want: base64},
		{in: "s3://minio?s3-data-bucket=d", want: S3URL{Endpoint: "https://minio", Region: "us-east-1", DataBucket: "d", OpsBucket: "d"}},
		{in: "http://x", err: "does not start with s3://"},
		{in: "s3://?s3-data-bucket=d", err: "no endpoint"},
		{in: "s3://h", err: "s3-data-bucket is missing"},
		{in: "s3://h?s3-data-bucket=d&s3-access-key=a", err: "given together"},
		{in: "s3://h?s3-data-bucket=d&s3-path-style=maybe", err: "s3-path-style"},
		{in: "s3://h?s3-data-bucket=d&s3-endpoint-protocol=ftp", err: "s3-endpoint-protocol"},
		{in: "s3://h?s3-data-bucket=d&bucket=x", err: `unknown parameter "bucket"`},
		{in: "s3://h?s3-data-bucket=", err: "is empty"},
		{in: "s3://h/p?s3-data-bucket=d", err: "endpoint"},
		{in: "s3://h?s3-data-bucket=a/b", err: "bucket name"},
		{in: "s3://h?s3-data-bucket=d&s3-data-bucket=e", err: "twice"},
	}
	for _, tt := range tests {
		got, err := ParseS3URL(tt.in)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: got %v, want %q", tt.in, err, tt.err)
			}
		} else if err != nil || got != tt.want {
			t.Errorf("%s: got %+v %v, want %+v", tt.in, got, err, tt.want)
		}
	}
}

// TestSecretsAreMasked prints everything that holds a secret in every way that fmt knows.
func TestSecretsAreMasked(t *testing.T) {
	const secret, key = "S3CR3T/x+y==", "ACC3SS"
	buckets, err := ParseBuckets("0@s3://b?accessKey=" + key + "&secretKey=" + secret)
	if err != nil {
		t.Fatal(err)
	}
	u, err := ParseS3URL("s3://h?s3-data-bucket=d&s3-access-key=" + key + "&s3-secret-key=" + secret)
	if err != nil {
		t.Fatal(err)
	}
	c := load(t, Source{S3URL: "s3://h?s3-data-bucket=d&s3-access-key=" + key + "&s3-secret-key=" + secret})
	d := load(t, Source{Overrides: []string{"s3.data.buckets=0@s3://b?accessKey=" + key + "&secretKey=" + secret}})
	texts := []string{fmt.Sprintf("%v %+v %#v %s", buckets, buckets, buckets, buckets), fmt.Sprintf("%v %+v %#v %s", u, u, u, u)}
	for _, c := range []*Config{c, d} {
		if c.DataBuckets[0].SecretKey != secret || c.OpsBuckets[0].AccessKey != key {
			t.Errorf("keys lost: %q %q", c.DataBuckets[0].SecretKey, c.OpsBuckets[0].AccessKey)
		}
		for d, s := range c.All() {
			texts = append(texts, d.Name+"="+s.Value)
		}
	}
	for _, bad := range []string{"0@s3://b?accessKey=" + key + "&secretKey=" + secret + "&x=1", "s3://b?accessKey=" + key + "&secretKey=" + secret, "0@s3://b?accesskey=" + key + "&secretKey=" + secret} {
		_, _, err := Load(Source{Overrides: []string{"s3.data.buckets=" + bad}})
		if err == nil {
			t.Fatalf("%s: no error", bad)
		}
		texts = append(texts, err.Error())
	}
	_, _, err = Load(Source{S3URL: "s3://h?s3-access-key=" + key + "&s3-secret-key=" + secret + "&x=" + secret})
	texts = append(texts, fmt.Sprint(err))
	for _, text := range texts {
		if strings.Contains(text, "S3CR3T") || strings.Contains(text, key) {
			t.Errorf("a secret shows: %s", text)
		}
	}
}

// FuzzBuckets: a parsed list, written out with its secrets, parses to the same list.
func FuzzBuckets(f *testing.F) {
	f.Add("0@s3://data?region=us-east-1&endpoint=http://h:9000&pathStyle=true&accessKey=a&secretKey=b%2F=")
	f.Add("-2@file:///a%20b,1@mem://x")
	f.Fuzz(func(t *testing.T, in string) {
		list, err := ParseBuckets(in)
		if err != nil {
			return
		}
		var texts []string
		for _, b := range list {
			text := b.String()
			for k, v := range map[string]string{"accessKey": b.AccessKey, "secretKey": b.SecretKey} {
				text = strings.Replace(text, k+"="+masked, k+"="+escape(v), 1)
				if v == "" {
					continue
				}
			}
			texts = append(texts, text)
		}
		again, err := ParseBuckets(strings.Join(texts, ","))
		if err != nil || !reflect.DeepEqual(again, list) {
			t.Fatalf("rewritten as %q: %v, %v, want %v", texts, again, err, list)
		}
	})
}

// FuzzWAL: the canonical form parses to the same target.
func FuzzWAL(f *testing.F) {
	f.Add("/dev/nvme1n1")
	f.Add("0@file:///dev/x?capacity=2147483648&iodepth=8&iops=1&iobandwidth=2&timeout=30")
	f.Fuzz(func(t *testing.T, in string) {
		w, err := ParseWAL(in)
		if err != nil {
			return
		}
		if again, err := ParseWAL(w.String()); err != nil || again != w {
			t.Fatalf("%q: %+v, %v, want %+v", w.String(), again, err, w)
		}
	})
}

// FuzzS3URL: what is accepted has what a node needs, and shows no secret.
func FuzzS3URL(f *testing.F) {
	f.Add("s3://127.0.0.1:9100?s3-access-key=AK&s3-secret-key=SK&s3-region=us-east-1&s3-endpoint-protocol=http&s3-data-bucket=automq&s3-path-style=true&s3-ops-bucket=ops&cluster-id=x")
	f.Fuzz(func(t *testing.T, in string) {
		u, err := ParseS3URL(in)
		if err != nil {
			return
		}
		if u.Endpoint == "" || u.DataBucket == "" || u.OpsBucket == "" || (u.AccessKey == "") != (u.SecretKey == "") {
			t.Fatalf("%#v", u)
		}
		again, err := ParseS3URL(u.String())
		if err != nil {
			t.Fatalf("%s: %v", u, err)
		}
		again.AccessKey, again.SecretKey = u.AccessKey, u.SecretKey
		if again != u {
			t.Fatalf("%+v, want %+v", again, u)
		}
	})
}

func load(t *testing.T, s Source) *Config {
	t.Helper()
	c, _, err := loadQuiet(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func loadQuiet(s Source) (*Config, []Warning, error) {
	if s.Env == nil {
		s.Env = func(string) string { return "" }
	}
	if s.Hostname == nil {
		s.Hostname = func() string { return "this-host" }
	}
	if s.MemoryBytes == 0 {
		s.MemoryBytes = 8 << 30
	}
	return Load(s)
}

// TestMaskLeavesTheRest: an error that names a masked URI keeps its own text.
func TestMaskLeavesTheRest(t *testing.T) {
	for _, text := range []string{
		`claim of s3://b?accessKey=mini***&secretKey=***: Head "http://127.0.0.1:9000/b": connection refused`,
		`claim of s3://b?secretKey=[hidden]: Head "http://127.0.0.1:9000/b": connection refused`,
	} {
		if have := MaskSecrets(text); have != text {
			t.Errorf("%s\nbecame %s", text, have)
		}
	}
	if have := MaskSecrets(`s3://b?secretKey=a:b***: c`); strings.Contains(have, "a:b") {
		t.Errorf("a secret shows: %s", have)
	}
}
