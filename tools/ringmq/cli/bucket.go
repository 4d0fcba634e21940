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
	"github.com/ringmq/ringmq/s3stream/objstore"
)

func (p Program) bucketCommand() *cobra.Command {
	each := func(use, short string, do func(context.Context, config.BucketURI) (string, error)) *cobra.Command {
		var (
			source sourceFlags
			wait   time.Duration
		)
		c := &cobra.Command{
			Use: use + " [FILE]", Short: short, Args: atMost(1),
			RunE: func(c *cobra.Command, args []string) error {
				cfg, _, err := p.load(&source, args)
				if err != nil {
					return err
				}
				for _, b := range distinct(append(cfg.DataBuckets[:1:1], cfg.OpsBuckets...)) {
					did, err := retry(c.Context(), wait, func(ctx context.Context) (string, error) { return do(ctx, b) })
					if err != nil {
						return fmt.Errorf("ringmq: bucket %s: %w", b, err)
					}
					fmt.Fprintf(p.Stdout, "%s: %s\n", b, did)
				}
				return nil
			},
		}
		source.register(c)
		c.Flags().DurationVar(&wait, "wait", 0, "how long to wait for an object store that does not answer yet")
		return c
	}
	return group("bucket", "Prepare the buckets that a configuration names",
		each("create", "Create the data and ops buckets where they are missing", createBucket),
		each("check", "Write, read and delete an object in the data and ops buckets", checkBucket))
}

// distinct drops buckets that were named before.
func distinct(list []config.BucketURI) []config.BucketURI {
	var out []config.BucketURI
	seen := map[string]bool{}
	for _, b := range list {
		key := b.Scheme + "\n" + b.Endpoint + "\n" + b.Bucket + "\n" + b.Path
		if !seen[key] {
			seen[key] = true
			out = append(out, b)
		}
	}
	return out
}

// retry calls do until it succeeds or the time is over, and returns its last error.
func retry(ctx context.Context, wait time.Duration, do func(context.Context) (string, error)) (string, error) {
	deadline := time.Now().Add(wait)
	for {
		did, err := do(ctx)
		if err == nil || !time.Now().Before(deadline) {
			return did, err
		}
		select {
		case <-ctx.Done():
			return "", err
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func createBucket(ctx context.Context, b config.BucketURI) (string, error) {
	if b.Scheme != "s3" {
		return "needs no creation", nil
	}
	created, err := objstore.MakeBucket(ctx, engine.BucketConfig(b, slog.New(slog.DiscardHandler)))
	switch {
	case err != nil:
		return "", withRemedy(err)
	case created:
		return "created", nil
	}
	return "exists", nil
}

// withRemedy adds what an operator can do about an error, unless it says so already.
func withRemedy(err error) error {
	if remedy := objstore.Remedy(err); remedy != "" && !strings.Contains(err.Error(), remedy) {
		return fmt.Errorf("%w (%s)", err, remedy)
	}
	return err
}

func checkBucket(ctx context.Context, b config.BucketURI) (string, error) {
	bucket, err := engine.OpenBucket(ctx, b, slog.New(slog.DiscardHandler))
	if err != nil {
		return "", err
	}
	if err := objstore.CheckReady(ctx, bucket); err != nil {
		return "", withRemedy(err)
	}
	return "ready", nil
}
