package config

import (
	"fmt"
	"net/url"
	"strings"
)

// S3URL is the --s3-url of the seed system:
//
//	s3://<endpoint host[:port]>?s3-access-key=..&s3-secret-key=..&s3-region=..&s3-endpoint-protocol=http|https
//	    &s3-data-bucket=..&s3-path-style=true|false&s3-ops-bucket=..&cluster-id=..[&s3-credentials-file=..][&s3-ca-file=..]
//
// Values are percent-decoded and may hold `=`. Endpoint and s3-data-bucket are required; s3-ops-bucket defaults to the data bucket,
// the protocol to https, the region to us-east-1; keys may come from a file or the environment instead. The last two parameters are
// ours: paths on every node, see BucketURI.
type S3URL struct {
	Endpoint   string // http://host:port or https://host:port
	AccessKey  string
	SecretKey  string
	Region     string
	DataBucket string
	OpsBucket  string
	PathStyle  PathStyle
	ClusterID  string

	CredentialsFile, CAFile string
}

const s3URLAllowed = "s3://<host[:port]>?s3-access-key=..&s3-secret-key=..&s3-region=..&s3-endpoint-protocol=http|https&s3-data-bucket=.." +
	"&s3-path-style=true|false&s3-ops-bucket=..&cluster-id=..&s3-credentials-file=..&s3-ca-file=.., values percent-encoded"

// ParseS3URL parses an --s3-url. Errors never show a value that may be secret.
func ParseS3URL(s string) (S3URL, error) {
	var u S3URL
	if len(s) > maxURIBytes {
		return u, fmt.Errorf("%d bytes long, at most %d are allowed", len(s), maxURIBytes)
	}
	rest, ok := strings.CutPrefix(strings.TrimSpace(s), "s3://")
	if !ok {
		return u, fmt.Errorf("does not start with s3://")
	}
	host, query, _ := strings.Cut(rest, "?")
	params, err := parseParams(query)
	if err != nil {
		return u, err
	}
	protocol := "https"
	u.Region = "us-east-1"
	for _, p := range params {
		if p.value == "" && p.key != "s3-access-key" && p.key != "s3-secret-key" {
			return u, fmt.Errorf("parameter %q is empty", p.key)
		}
		switch p.key {
		case "s3-access-key":
			u.AccessKey = p.value
		case "s3-secret-key":
			u.SecretKey = p.value
		case "s3-region":
			u.Region = p.value
		case "s3-endpoint-protocol":
			if p.value != "http" && p.value != "https" {
				return u, fmt.Errorf("s3-endpoint-protocol=%q is not http or https", clip(p.value, 20))
			}
			protocol = p.value
		case "s3-data-bucket":
			u.DataBucket = p.value
		case "s3-ops-bucket":
			u.OpsBucket = p.value
		case "s3-path-style":
			switch p.value {
			case "true":
				u.PathStyle = PathStyleOn
			case "false":
				u.PathStyle = PathStyleOff
			default:
				return u, fmt.Errorf("s3-path-style=%q is not true or false", clip(p.value, 20))
			}
		case "cluster-id":
			u.ClusterID = p.value
		case "s3-credentials-file":
			u.CredentialsFile = p.value
		case "s3-ca-file":
			u.CAFile = p.value
		default:
			return u, fmt.Errorf("unknown parameter %q", clip(p.key, 50))
		}
	}
	if host == "" {
		return u, fmt.Errorf("no endpoint after s3://")
	}
	if u.Endpoint, err = parseEndpoint(host, protocol); err != nil {
		return u, err
	}
	if u.DataBucket == "" {
		return u, fmt.Errorf("s3-data-bucket is missing")
	}
	if (u.AccessKey == "") != (u.SecretKey == "") {
		return u, fmt.Errorf("s3-access-key and s3-secret-key must be given together")
	}
	if u.OpsBucket == "" {
		u.OpsBucket = u.DataBucket
	}
	for _, b := range []string{u.DataBucket, u.OpsBucket} {
		if !bucketName(b) {
			return u, fmt.Errorf("bucket name %q has a character that no bucket has", clip(b, 70))
		}
	}
	return u, nil
}

// Bucket returns the BucketURI of one of the two buckets.
func (u S3URL) Bucket(name string) BucketURI {
	return BucketURI{Scheme: "s3", Bucket: name, Region: u.Region, Endpoint: u.Endpoint, PathStyle: u.PathStyle,
		AccessKey: u.AccessKey, SecretKey: u.SecretKey, CredentialsFile: u.CredentialsFile, CAFile: u.CAFile}
}

// String is the URL with its keys masked.
func (u S3URL) String() string {
	if u.AccessKey != "" {
		u.AccessKey, u.SecretKey = masked, masked
	}
	return u.Text()
}

// GoString keeps secrets out of %#v.
func (u S3URL) GoString() string { return u.String() }

// Text is the URL in the seed system's order of parameters, with its keys, for a node to be started with: values are percent-encoded so that
// a shell takes the URL between double quotes as it is.
func (u S3URL) Text() string {
	protocol, host, _ := strings.Cut(u.Endpoint, "://")
	s := "s3://" + host
	sep := "?"
	add := func(key, value string) {
		if value != "" {
			s += sep + key + "=" + encodeParam(value)
			sep = "&"
		}
	}
	add("s3-access-key", u.AccessKey)
	add("s3-secret-key", u.SecretKey)
	add("s3-region", u.Region)
	add("s3-endpoint-protocol", protocol)
	add("s3-data-bucket", u.DataBucket)
	switch u.PathStyle {
	case PathStyleOn:
		add("s3-path-style", "true")
	case PathStyleOff:
		add("s3-path-style", "false")
	}
	add("s3-ops-bucket", u.OpsBucket)
	add("cluster-id", u.ClusterID)
	add("s3-credentials-file", u.CredentialsFile)
	add("s3-ca-file", u.CAFile)
	return s
}

// encodeParam percent-encodes a value; slashes of paths stay readable.
func encodeParam(s string) string {
	return strings.NewReplacer("+", "%20", "%2F", "/", "%5Bhidden%5D", masked).Replace(url.QueryEscape(s))
}
