package objstore

import "errors"

// Errors of buckets. The text says what is wrong; Remedy says what to do about it.
var (
	// ErrNotFound: no object of that key, or no upload of that id. Final.
	ErrNotFound = errors.New("objstore: not found")
	// ErrExists: Create found the key taken. Final.
	ErrExists = errors.New("objstore: already exists")
	// ErrRange: the object ends before the bytes asked for. Final.
	ErrRange = errors.New("objstore: range beyond the end of the object")
	// ErrAccessDenied: the credentials are known but may not do this. Final until somebody changes the policy.
	ErrAccessDenied = errors.New("objstore: access denied")
	// ErrBadCredentials: access key unknown, signature wrong or token expired. Final until somebody changes them.
	ErrBadCredentials = errors.New("objstore: credentials refused")
	// ErrNoSuchBucket: the bucket (or directory) does not exist. Final until somebody creates it.
	ErrNoSuchBucket = errors.New("objstore: no such bucket")
	// ErrClockSkew: the clocks of this host and the store differ by more than the store allows (15 minutes for S3).
	ErrClockSkew = errors.New("objstore: clock differs from the store's")
	// ErrUnreachable: no answer: name not resolved, connection refused or lost, TLS failed, timeout. Worth retrying.
	ErrUnreachable = errors.New("objstore: store unreachable")
	// ErrNoSuchHost: the endpoint's name is not known; also an ErrUnreachable, because name servers recover.
	ErrNoSuchHost = errors.New("objstore: host name not resolved")
	// ErrWrongScheme: the endpoint speaks http where https was asked for, or the other way round. Final until somebody corrects the endpoint.
	ErrWrongScheme = errors.New("objstore: wrong scheme")
	// ErrUntrusted: the endpoint's certificate is not signed by a known authority, is for another name or not valid now. Final.
	ErrUntrusted = errors.New("objstore: certificate not trusted")
	// ErrWrongRegion: the request is signed for another region than the bucket's. Final until somebody corrects the region.
	ErrWrongRegion = errors.New("objstore: wrong region")
	// ErrSlowDown: the store asks for fewer requests. Worth retrying later.
	ErrSlowDown = errors.New("objstore: store asks to slow down")
	// ErrUnavailable: the store answered with a failure of its own (5xx). Worth retrying.
	ErrUnavailable = errors.New("objstore: store failed")
	// ErrNoSpace: the store or the file system is full. Worth retrying once somebody made room.
	ErrNoSpace = errors.New("objstore: no space left")
	// ErrInvalid: the request breaks a rule of the store (part too small, bad key, bad endpoint). Final: a mistake in the caller or the configuration.
	ErrInvalid = errors.New("objstore: invalid request")
	// ErrChecksum: the store received or delivered other bytes than were sent. Worth retrying.
	ErrChecksum = errors.New("objstore: checksum mismatch")
)

// Retryable reports whether the same call may succeed when it is repeated later without anybody changing anything.
func Retryable(err error) bool {
	return errors.Is(err, ErrUnreachable) || errors.Is(err, ErrSlowDown) || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrChecksum)
}

// Code returns the error code of the store's answer (SignatureDoesNotMatch, …), "" when the error is not an answer of a store.
func Code(err error) string {
	var a answer
	if errors.As(err, &a) {
		return a.Code
	}
	return ""
}

// Remedy returns advice for an operator, one sentence without a final stop, or "" when there is none to give.
func Remedy(err error) string {
	for _, r := range remedies {
		if errors.Is(err, r.err) {
			return r.text
		}
	}
	return ""
}

var remedies = []struct {
	err  error
	text string
}{
	{ErrBadCredentials, "check the access key and secret key (accessKey and secretKey in the bucket URI, or KAFKA_S3_ACCESS_KEY and KAFKA_S3_SECRET_KEY in the environment)"},
	{ErrAccessDenied, "give the access key a policy that allows s3:GetObject, s3:PutObject, s3:DeleteObject, s3:ListBucket, s3:ListBucketMultipartUploads, s3:ListMultipartUploadParts and s3:AbortMultipartUpload on the bucket and its objects"},
	{ErrNoSuchBucket, "create the bucket, or correct its name, region or endpoint in the bucket URI"},
	{ErrClockSkew, "synchronise this host's clock (NTP); S3 signatures are refused beyond 15 minutes of difference"},
	{ErrNoSuchHost, "check the endpoint's host in the bucket URI and this host's name servers; with pathStyle=false the name is <bucket>.<host>, which MinIO needs a domain for: set pathStyle=true"},
	{ErrWrongScheme, "write the scheme that the store speaks (http:// or https://) before the endpoint in the bucket URI"},
	{ErrUntrusted, "give the file with the authority's certificate as caFile in the bucket URI (or AWS_CA_BUNDLE in the environment), and use a name in the endpoint that the certificate holds"},
	{ErrWrongRegion, "set the region in the bucket URI to the bucket's own"},
	{ErrUnreachable, "check the endpoint's host, port and scheme (http or https) in the bucket URI, that the store runs, and the network and firewall between"},
	{ErrForeignBucket, "give this cluster a bucket of its own, or start it with the cluster id that owns this one"},
	{ErrSlowDown, "the store is overloaded: lower the upload rate, raise the store's request limits, or wait"},
	{ErrUnavailable, "look into the store's own log and health"},
	{ErrNoSpace, "free or add space in the store, or shorten the retention of topics"},
	{ErrInvalid, "correct the bucket URI: endpoint, region and pathStyle must suit the store"},
	{ErrChecksum, "bytes are damaged between here and the store: check network hardware, memory and proxies in between"},
}
