package objstore

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Config says which bucket to open and how to talk to it. It holds secrets: print it with String.
type Config struct {
	// Scheme is "s3", "file" or "mem".
	Scheme string

	// Bucket is the name of the S3 bucket. For "mem" any word, for messages only.
	Bucket string
	// Endpoint is "host:port", "http://host:port" or "https://host:port". Without a scheme https is used. Default
	// AWS: https://s3.<Region>.amazonaws.com.
	Endpoint string
	// Region of the bucket. Default "us-east-1", which is what MinIO uses.
	Region string
	// PathStyle chooses http://host/bucket/key over http://bucket.host/key. The default detects it.
	PathStyle PathStyle
	// AccessKey and SecretKey are the credentials. When both are empty they come from CredentialsFile or the environment: KAFKA_S3_ACCESS_KEY and
	// KAFKA_S3_SECRET_KEY, then AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), then MINIO_ROOT_USER
	// and MINIO_ROOT_PASSWORD, then the file of AWS credentials, then the instance role if AuthType is "instance".
	AccessKey    string
	SecretKey    string
	SessionToken string
	// CredentialsFile is a file in the format of AWS's credentials file whose default profile ($AWS_PROFILE) has the credentials. It is
	// read when they are needed, and not used when AccessKey is given.
	CredentialsFile string
	// CAFile is a PEM file with the certificates of the authorities that are trusted for https, and no others. Default: the
	// file that AWS_CA_BUNDLE names in the environment, else those of the system (SSL_CERT_FILE, SSL_CERT_DIR).
	CAFile string
	// AuthType is "static" (default) or "instance" (role of the machine or pod).
	AuthType string
	// SignPayload puts the SHA-256 of bodies into the signature. Bodies carry a CRC32C in a signed header either way, which the store
	// verifies, so this costs CPU only to satisfy stores that refuse unsigned payloads.
	SignPayload bool

	// Dir is the directory of a "file" bucket. It is created when its parent exists.
	Dir string

	// CallTimeout bounds one operation with its retries. Default 30 s.
	CallTimeout time.Duration
	// AttemptTimeout bounds one attempt, plus the time its bytes need at 1 MiB/s (CallTimeout grows likewise). Default 10 s.
	AttemptTimeout time.Duration
	// Retries is how many times a failed attempt is repeated. Default 4, negative for none.
	Retries int
	// MaxConnections bounds the requests in flight; more wait. Default 64.
	MaxConnections int

	// Logger for retries and oddities. Default: discards.
	Logger *slog.Logger
	// Transport replaces the HTTP transport, for tests.
	Transport http.RoundTripper
}

// PathStyle says how the bucket's name appears in requests.
type PathStyle string

// The styles. The zero value is PathStyleAuto.
const (
	PathStyleAuto PathStyle = ""      // path style unless the endpoint is a known public cloud
	PathStyleOn   PathStyle = "true"  // http://host/bucket/key
	PathStyleOff  PathStyle = "false" // http://bucket.host/key
)

func (c Config) withDefaults() Config {
	if c.Region == "" {
		c.Region = "us-east-1"
	}
	if c.Endpoint == "" {
		c.Endpoint = "https://s3." + c.Region + ".amazonaws.com"
	}
	if c.CallTimeout == 0 {
		c.CallTimeout = 30 * time.Second
	}
	if c.AttemptTimeout == 0 {
		c.AttemptTimeout = 10 * time.Second
	}
	if c.Retries == 0 {
		c.Retries = 4
	}
	c.Retries = max(c.Retries, 0)
	if c.MaxConnections == 0 {
		c.MaxConnections = 64
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) validate() error {
	if c.Bucket == "" {
		return fmt.Errorf("%w: the bucket URI names no bucket", ErrInvalid)
	}
	switch c.PathStyle {
	case PathStyleAuto, PathStyleOn, PathStyleOff:
	default:
		return fmt.Errorf("%w: pathStyle %q, want true or false", ErrInvalid, c.PathStyle)
	}
	switch c.AuthType {
	case "", "static", "instance":
	default:
		return fmt.Errorf("%w: authType %q, want static or instance", ErrInvalid, c.AuthType)
	}
	if (c.AccessKey == "") != (c.SecretKey == "") {
		return fmt.Errorf("%w: accessKey and secretKey must be given together", ErrInvalid)
	}
	if c.CallTimeout < 0 || c.AttemptTimeout < 0 || c.MaxConnections < 1 {
		return fmt.Errorf("%w: CallTimeout %s, AttemptTimeout %s, MaxConnections %d must be positive", ErrInvalid, c.CallTimeout, c.AttemptTimeout, c.MaxConnections)
	}
	return nil
}

// endpoint splits the endpoint into what minio-go wants.
func (c Config) endpoint() (host string, secure bool, err error) {
	raw := c.Endpoint
	if !strings.Contains(raw, "://") {
		raw = "https://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil {
		return "", false, fmt.Errorf("%w: endpoint: %w", ErrInvalid, err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return "", false, fmt.Errorf("%w: endpoint %q, want http://host:port or https://host:port", ErrInvalid, u.Redacted())
	}
	return u.Host, u.Scheme == "https", nil
}

// String describes the bucket as a URI without secrets.
func (c Config) String() string {
	switch c.Scheme {
	case "file":
		return "file://" + c.Dir
	case "s3":
		q := url.Values{}
		if c.Endpoint != "" {
			q.Set("endpoint", c.Endpoint)
		}
		if c.Region != "" {
			q.Set("region", c.Region)
		}
		if c.PathStyle != PathStyleAuto {
			q.Set("pathStyle", string(c.PathStyle))
		}
		if c.AccessKey != "" {
			q.Set("accessKey", mask(c.AccessKey))
			q.Set("secretKey", "***")
		}
		if c.CredentialsFile != "" {
			q.Set("credentialsFile", c.CredentialsFile)
		}
		if c.CAFile != "" {
			q.Set("caFile", c.CAFile)
		}
		s, err := url.QueryUnescape(q.Encode()) // for people, not for parsing
		if err != nil || s == "" {
			return "s3://" + c.Bucket
		}
		return "s3://" + c.Bucket + "?" + s
	}
	return c.Scheme + "://" + c.Bucket
}

// GoString keeps secrets out of %#v.
func (c Config) GoString() string { return c.String() }

// mask keeps enough of an access key to recognise it.
func mask(key string) string {
	if len(key) < 8 {
		return "***"
	}
	return key[:4] + "***"
}

// Open returns the bucket that c describes. For "s3" nothing is sent yet: CheckReady does. For "file" the directory is created.
func Open(ctx context.Context, c Config) (Bucket, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	switch c.Scheme {
	case "s3":
		return newS3(c)
	case "file":
		return NewDir(c.Dir)
	case "mem":
		return NewMemory(c.Bucket), nil
	}
	return nil, fmt.Errorf("%w: scheme %q of a bucket, want s3, file or mem", ErrInvalid, c.Scheme)
}
