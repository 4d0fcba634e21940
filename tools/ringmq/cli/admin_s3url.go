package cli

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringmq/ringmq/engine"
	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/engine/config/storagedir"
	"github.com/ringmq/ringmq/s3stream/objstore"
)

// s3URLFlags are the flags of generate-s3-url.
type s3URLFlags struct {
	accessKey, secretKey, credentialsFile, caFile        string
	region, protocol, endpoint, dataBucket, opsBucket    string
	pathStyle, createBuckets, protocolGiven, pathStyleIs bool // the last two: the flag was given
}

// s3URLTimeout bounds generate-s3-url as a whole: whatever is wrong is said within 10 s.
const s3URLTimeout = 9 * time.Second

func (p Program) s3URL() *cobra.Command {
	var f s3URLFlags
	c := &cobra.Command{
		Use: "generate-s3-url", Short: "Try an object store and print its URL for --s3-url", Args: atMost(0),
		Long: `Try on an object store what a node does to it, and print the URL with which nodes are started. What is not given is found out: http or
https, and whether the bucket stands in the path (MinIO) or in the host's name.

The URL carries the keys when they are given as flags. Keys out of --s3-credentials-file or the environment (KAFKA_S3_ACCESS_KEY and
KAFKA_S3_SECRET_KEY, or AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN) stay out of it; every node then needs the
same file or environment.`,
		RunE: func(c *cobra.Command, _ []string) error {
			f.protocolGiven, f.pathStyleIs = c.Flags().Changed("s3-endpoint-protocol"), c.Flags().Changed("s3-path-style")
			return p.generateS3URL(c.Context(), f)
		},
	}
	s := func(v *string, name, value, usage string) { c.Flags().StringVar(v, name, value, usage) }
	s(&f.accessKey, "s3-access-key", "", "access key")
	s(&f.secretKey, "s3-secret-key", "", "secret key")
	s(&f.credentialsFile, "s3-credentials-file", "", "file in the format of AWS's credentials file, at this path on every node")
	s(&f.caFile, "s3-ca-file", "", "PEM file with the authority that signed the store's certificate, at this path on every node")
	s(&f.region, "s3-region", "us-east-1", "region (MinIO: us-east-1 unless configured)")
	s(&f.protocol, "s3-endpoint-protocol", "https", "http or https, where the endpoint does not say; found out when not given")
	s(&f.endpoint, "s3-endpoint", "", "[http://|https://]host[:port]")
	s(&f.dataBucket, "s3-data-bucket", "", "bucket of the log")
	s(&f.opsBucket, "s3-ops-bucket", "", "bucket of logs and metrics (default: the data bucket)")
	c.Flags().BoolVar(&f.pathStyle, "s3-path-style", false, "bucket in the path, as MinIO needs; found out when not given")
	c.Flags().BoolVar(&f.createBuckets, "s3-create-buckets", false, "create the buckets where they are missing")
	for _, name := range []string{"s3-endpoint", "s3-data-bucket"} {
		cobra.MarkFlagRequired(c.Flags(), name)
	}
	return c
}

// url is the URL that the flags describe, with a new cluster id.
func (f s3URLFlags) url() (config.S3URL, error) {
	if (f.accessKey == "") != (f.secretKey == "") {
		return config.S3URL{}, usageError("generate-s3-url: --s3-access-key and --s3-secret-key must be given together")
	}
	protocol, host, given := strings.Cut(f.endpoint, "://")
	if !given {
		protocol, host = f.protocol, f.endpoint
	}
	host = strings.TrimSuffix(host, "/")
	if strings.HasPrefix(host, f.dataBucket+".") {
		return config.S3URL{}, usageError("generate-s3-url: --s3-endpoint=%s begins with the bucket's name: give the host without it", f.endpoint)
	}
	u := config.S3URL{Endpoint: protocol + "://" + host, AccessKey: f.accessKey, SecretKey: f.secretKey, Region: f.region, DataBucket: f.dataBucket, OpsBucket: f.opsBucket,
		ClusterID: storagedir.NewID(), CredentialsFile: f.credentialsFile, CAFile: f.caFile, PathStyle: config.PathStyleOff}
	if f.pathStyle {
		u.PathStyle = config.PathStyleOn
	}
	if f.opsBucket == "" {
		u.OpsBucket = f.dataBucket
	}
	u, err := config.ParseS3URL(u.Text()) // which checks it
	if err != nil {
		return u, usageError("generate-s3-url: the flags make no s3-url: %v", err)
	}
	return u, nil
}

func (p Program) generateS3URL(ctx context.Context, f s3URLFlags) error {
	ctx, cancel := context.WithTimeout(ctx, s3URLTimeout)
	defer cancel()
	u, err := f.url()
	if err != nil {
		return err
	}
	ping, err := p.newPinger(u, f)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.Stdout, "############  Ping s3 ########################\n\n")
	if err := ping.look(ctx); err != nil {
		return err
	}
	names := []string{u.DataBucket, u.OpsBucket}
	if u.OpsBucket == u.DataBucket {
		names = names[:1]
	}
	for i, name := range names {
		if i > 0 {
			fmt.Fprintf(p.Stdout, "\nops bucket %s:\n", name)
		}
		if err := ping.bucket(ctx, name); err != nil {
			return err
		}
	}
	text := ping.url.Text()
	fmt.Fprintf(p.Stdout, "############  String of s3url ################\n\nYour s3url is:\n\n%s\n\n\n", text)
	fmt.Fprintf(p.Stdout, "############  Usage of s3url  ################\n"+
		"To start a cluster, generate the start commands with this url. Example for 3 controllers and 2 brokers:\n\n"+
		"bin/automq-kafka-admin.sh generate-start-command \\\n--s3-url=\"%s\" \\\n--controller-list=\"192.168.0.1:9093;192.168.0.2:9093;192.168.0.3:9093\" \\\n"+
		"--broker-list=\"192.168.0.4:9092;192.168.0.5:9092\"\n\nTIPS: Replace the controller-list and broker-list with your real ip list.\n", text)
	for _, tip := range ping.tips() {
		fmt.Fprintln(p.Stdout, "TIPS: "+tip)
	}
	return nil
}

// tips say what the URL leaves to each node.
func (g *pinger) tips() []string {
	var out []string
	for _, file := range []string{g.url.CredentialsFile, g.url.CAFile} {
		if file != "" {
			out = append(out, "Put "+file+" on every host, at this path.")
		}
	}
	if g.url.AccessKey == "" && g.url.CredentialsFile == "" {
		out = append(out, "The url holds no keys: set "+strings.Join(g.keysFrom, ", ")+" in the environment of every node.")
	}
	if g.url.CAFile == "" && g.p.Env("AWS_CA_BUNDLE") != "" && strings.HasPrefix(g.url.Endpoint, "https") {
		out = append(out, "AWS_CA_BUNDLE is set here: set it for every node, or give --s3-ca-file.")
	}
	return out
}

// newPinger finds the keys and files that the probes use.
func (p Program) newPinger(u config.S3URL, f s3URLFlags) (*pinger, error) {
	g := &pinger{p: p, flags: f, url: u}
	for _, file := range []*string{&g.url.CredentialsFile, &g.url.CAFile} {
		if err := absoluteFile(file); err != nil {
			return nil, fmt.Errorf("generate-s3-url: %w", err)
		}
	}
	b := g.url.Bucket(u.DataBucket)
	if b.AccessKey == "" && b.CredentialsFile == "" {
		var reason string
		if b.AccessKey, b.SecretKey, b.SessionToken, reason = config.KeysFromEnv(p.Env); reason != "" {
			return nil, usageError("generate-s3-url: %s", reason)
		}
		if b.AccessKey == "" {
			return nil, usageError("generate-s3-url: no credentials: give --s3-access-key and --s3-secret-key, or --s3-credentials-file, or KAFKA_S3_ACCESS_KEY and KAFKA_S3_SECRET_KEY in the environment")
		}
		g.keysFrom = []string{"KAFKA_S3_ACCESS_KEY", "KAFKA_S3_SECRET_KEY"}
		if p.Env("KAFKA_S3_ACCESS_KEY") == "" {
			g.keysFrom = []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
			if b.SessionToken != "" {
				g.keysFrom = append(g.keysFrom, "AWS_SESSION_TOKEN")
			}
		}
	}
	g.conf = engine.BucketConfig(b, slog.New(slog.DiscardHandler))
	g.conf.Retries, g.conf.CallTimeout, g.conf.AttemptTimeout = -1, 4*time.Second, 4*time.Second
	if !f.pathStyleIs {
		g.conf.PathStyle = objstore.PathStyleAuto
	}
	return g, nil
}
