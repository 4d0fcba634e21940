package cli

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/engine/config/storagedir"
	"github.com/ringmq/ringmq/s3stream/objstore"
)

// s3URLFlags are the flags of generate-s3-url.
type s3URLFlags struct {
	accessKey, secretKey, region, protocol, endpoint, dataBucket, opsBucket string
	pathStyle                                                               bool
}

func (p Program) s3URL() *cobra.Command {
	var f s3URLFlags
	c := &cobra.Command{
		Use: "generate-s3-url", Short: "Try an object store and print its URL for --s3-url", Args: atMost(0),
		RunE: func(c *cobra.Command, _ []string) error { return p.generateS3URL(c.Context(), f) },
	}
	s := func(v *string, name, value, usage string) { c.Flags().StringVar(v, name, value, usage) }
	s(&f.accessKey, "s3-access-key", "", "access key")
	s(&f.secretKey, "s3-secret-key", "", "secret key")
	s(&f.region, "s3-region", "", "region (MinIO: us-east-1 unless configured)")
	s(&f.protocol, "s3-endpoint-protocol", "https", "http or https, where the endpoint does not say")
	s(&f.endpoint, "s3-endpoint", "", "[http://|https://]host[:port]")
	s(&f.dataBucket, "s3-data-bucket", "", "bucket of the log")
	s(&f.opsBucket, "s3-ops-bucket", "", "bucket of logs and metrics (default: the data bucket)")
	c.Flags().BoolVar(&f.pathStyle, "s3-path-style", false, "bucket in the path, as MinIO needs")
	for _, name := range []string{"s3-access-key", "s3-secret-key", "s3-region", "s3-endpoint", "s3-data-bucket"} {
		cobra.MarkFlagRequired(c.Flags(), name)
	}
	return c
}

// url builds the URL in the seed system's order of parameters; values are percent-encoded.
func (f s3URLFlags) url(clusterID string) (string, error) {
	protocol, host := f.protocol, f.endpoint
	if before, after, ok := strings.Cut(f.endpoint, "://"); ok {
		protocol, host = before, after
	}
	if f.opsBucket == "" {
		f.opsBucket = f.dataBucket
	}
	s := fmt.Sprintf("s3://%s?s3-access-key=%s&s3-secret-key=%s&s3-region=%s&s3-endpoint-protocol=%s&s3-data-bucket=%s&s3-path-style=%t&s3-ops-bucket=%s&cluster-id=%s",
		strings.TrimSuffix(host, "/"), encode(f.accessKey), encode(f.secretKey), encode(f.region), protocol, encode(f.dataBucket), f.pathStyle, encode(f.opsBucket), clusterID)
	if _, err := config.ParseS3URL(s); err != nil {
		return "", fmt.Errorf("generate-s3-url: %w", err)
	}
	return s, nil
}

// encode percent-encodes a value; what is common in keys and harmless in a URL's query stays readable.
func encode(s string) string {
	return strings.NewReplacer("+", "%20", "%2F", "/", "%3D", "=").Replace(url.QueryEscape(s))
}

func (p Program) generateS3URL(ctx context.Context, f s3URLFlags) error {
	text, err := f.url(storagedir.NewID())
	if err != nil {
		return err
	}
	u, err := config.ParseS3URL(text)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.Stdout, "############  Ping s3 ########################\n\n")
	for i, name := range []string{u.DataBucket, u.OpsBucket} {
		if i > 0 && name == u.DataBucket {
			continue
		}
		if i > 0 {
			fmt.Fprintf(p.Stdout, "\nops bucket %s:\n", name)
		}
		if err := p.ping(ctx, u, name); err != nil {
			return err
		}
	}
	fmt.Fprintf(p.Stdout, "############  String of s3url ################\n\nYour s3url is:\n\n%s\n\n\n", text)
	fmt.Fprintf(p.Stdout, "############  Usage of s3url  ################\n"+
		"To start a cluster, generate the start commands with this url. Example for 3 controllers and 2 brokers:\n\n"+
		"bin/automq-kafka-admin.sh generate-start-command \\\n--s3-url=%q \\\n--controller-list=\"192.168.0.1:9093;192.168.0.2:9093;192.168.0.3:9093\" \\\n"+
		"--broker-list=\"192.168.0.4:9092;192.168.0.5:9092\"\n\nTIPS: Replace the controller-list and broker-list with your real ip list.\n", text)
	return nil
}

// ping tries what a broker does to a bucket, one line each, and stops at the first failure with its cause and what to do about it.
func (p Program) ping(ctx context.Context, u config.S3URL, name string) error {
	c := objstore.Config{Scheme: "s3", Bucket: name, Endpoint: u.Endpoint, Region: u.Region, AccessKey: u.AccessKey, SecretKey: u.SecretKey, Retries: -1,
		CallTimeout: 10 * time.Second, AttemptTimeout: 5 * time.Second, PathStyle: objstore.PathStyleOff}
	if u.PathStyle == config.PathStyleOn {
		c.PathStyle = objstore.PathStyleOn
	}
	b, err := objstore.Open(ctx, c)
	if err != nil {
		return err
	}
	var (
		prefix   = "_ringmq/ping/" + storagedir.NewID()
		one, two = prefix + "/one", prefix + "/two"
		data     = []byte("RingMQ pings this bucket\n")
		upload   string
		parts    []objstore.Part
	)
	part := func(pt objstore.Part, err error) error { parts = append(parts, pt); return err }
	steps := []struct {
		name string
		run  func() error
	}{
		{"Write object", func() error { return b.Put(ctx, one, data) }},
		{"RangeRead object", func() error {
			got := make([]byte, 5)
			if err := b.GetRange(ctx, one, 7, got); err != nil || bytes.Equal(got, data[7:12]) {
				return err
			}
			return fmt.Errorf("read %q, wrote %q", got, data[7:12])
		}},
		{"Delete object", func() error { return b.Delete(ctx, one) }},
		{"CreateMultipartUpload", func() (err error) { upload, err = b.CreateUpload(ctx, one); return err }},
		{"UploadPart", func() error { return part(b.UploadPart(ctx, one, upload, 1, data)) }},
		{"CompleteMultipartUpload", func() error { return b.CompleteUpload(ctx, one, upload, parts) }},
		{"UploadPartCopy", func() (err error) {
			parts = nil
			if upload, err = b.CreateUpload(ctx, two); err != nil {
				return err
			}
			if err = part(b.CopyPart(ctx, two, upload, 1, one, 0, int64(len(data)))); err != nil {
				_ = b.AbortUpload(ctx, two, upload) // the copy's error is the one that matters
				return err
			}
			return b.CompleteUpload(ctx, two, upload, parts)
		}},
		{"Delete objects", func() error { return b.Delete(ctx, one, two) }},
	}
	for _, s := range steps {
		if err := s.run(); err != nil {
			fmt.Fprintf(p.Stdout, "[ FAILED ] %s\n", s.name)
			if remedy := objstore.Remedy(err); remedy != "" {
				return fmt.Errorf("generate-s3-url: %s in bucket %s: %w; %s", s.name, name, err, remedy)
			}
			return fmt.Errorf("generate-s3-url: %s in bucket %s: %w", s.name, name, err)
		}
		fmt.Fprintf(p.Stdout, "[ OK ] %s\n", s.name)
	}
	return nil
}
