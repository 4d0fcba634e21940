package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ringmq/ringmq/s3stream/objstore"
)

// permissions are what a probe needs of the policy of an access key.
var permissions = map[string]string{
	"Write object": "s3:PutObject", "RangeRead object": "s3:GetObject", "Delete object": "s3:DeleteObject", "CreateMultipartUpload": "s3:PutObject",
	"UploadPart": "s3:PutObject", "CompleteMultipartUpload": "s3:PutObject", "UploadPartCopy": "s3:GetObject and s3:PutObject", "Delete objects": "s3:DeleteObject",
}

// advice says which setting to look at after a probe ("": none was reached) failed, beginning with its name.
func (g *pinger) advice(ctx context.Context, probe string, err error) string {
	host := strings.SplitN(g.url.Endpoint, "://", 2)[1]
	switch code := objstore.Code(err); {
	case code == "InvalidAccessKeyId":
		return "access key: the store does not know it: check " + g.keySetting("--s3-access-key", 0)
	case code == "SignatureDoesNotMatch":
		return "secret key: it does not belong to this access key: check " + g.keySetting("--s3-secret-key", 1) + " (a shell keeps $ and ! in it only between single quotes)"
	case errors.Is(err, objstore.ErrBadCredentials):
		return "credentials: they have expired or are not taken: check " + g.keySetting("--s3-access-key and --s3-secret-key", 0)
	case errors.Is(err, objstore.ErrClockSkew):
		return "clock: " + g.skew(ctx) + "; synchronise it (NTP): signatures are refused beyond 15 minutes of difference"
	case errors.Is(err, objstore.ErrWrongRegion):
		return fmt.Sprintf("region: --s3-region=%s is not the store's, which names its own in its answer", g.url.Region)
	case errors.Is(err, objstore.ErrNoSuchBucket):
		return fmt.Sprintf("bucket: %s does not exist: check --s3-data-bucket and --s3-ops-bucket, or create it (--s3-create-buckets=true, or mc mb)", g.conf.Bucket)
	case errors.Is(err, objstore.ErrAccessDenied):
		return fmt.Sprintf("policy: the access key may not do this: allow %s on arn:aws:s3:::%s/*", permissions[probe], g.conf.Bucket)
	case errors.Is(err, objstore.ErrUntrusted):
		return "certificate: give the authority that signed it with --s3-ca-file=<PEM file> (or AWS_CA_BUNDLE), and use a name in --s3-endpoint that the certificate holds"
	case errors.Is(err, objstore.ErrWrongScheme):
		return "scheme: check --s3-endpoint-protocol, or the http:// or https:// before --s3-endpoint; without both it is found out"
	case errors.Is(err, objstore.ErrNoSuchHost):
		return fmt.Sprintf("DNS: the name in --s3-endpoint=%s is not known here: check its spelling, /etc/hosts and the name servers", host)
	case errors.Is(err, objstore.ErrUnreachable), errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("endpoint: nothing answers at --s3-endpoint=%s: check host and port, that the store runs, and firewalls between", host)
	}
	if remedy := objstore.Remedy(err); remedy != "" {
		return remedy
	}
	return "look into the store's own log"
}

// keySetting names where the access key (0) or the secret key (1) came from: the flag, the file or the environment.
func (g *pinger) keySetting(flag string, n int) string {
	switch {
	case g.url.CredentialsFile != "":
		return "--s3-credentials-file=" + g.url.CredentialsFile
	case g.keysFrom != nil:
		return g.keysFrom[n] + " in the environment"
	}
	return flag
}

// skew says how this host's clock differs from the store's.
func (g *pinger) skew(ctx context.Context) string {
	theirs, err := objstore.StoreTime(ctx, g.conf)
	now := time.Now()
	if err != nil {
		return "this host's clock differs from the store's"
	}
	d, word := now.Sub(theirs).Round(time.Second), "ahead of"
	if d < 0 {
		d, word = -d, "behind"
	}
	return fmt.Sprintf("this host's clock is %s %s the store's (here %s, there %s)", d, word, now.UTC().Format(time.RFC3339), theirs.UTC().Format(time.RFC3339))
}
