package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/ringmq/ringmq/s3stream/objstore"
)

// The pause before the bucket is asked again begins with the first and doubles up to the second.
const (
	bucketPause    = 100 * time.Millisecond
	bucketPauseMax = 3 * time.Second
)

// claimBucket makes the cluster the owner of the data bucket, or finds that it is. A store that does not answer yet is waited for: after a power cut it starts
// at the same time as the brokers. There is one line in the log for each cause, and one when it answers. What somebody has to mend, credentials that are refused
// or a bucket that does not exist, is an error at once.
func (b *Broker) claimBucket(ctx context.Context) error {
	begun, pause, said := time.Now(), bucketPause, ""
	for {
		_, err := objstore.Claim(ctx, b.bucket, b.cfg.ClusterID, time.Now())
		if err == nil {
			if said != "" {
				b.log.Info("the object store answers", "bucket", b.bucket.Name(), "after", time.Since(begun).Round(time.Millisecond))
			}
			return nil
		}
		err = fmt.Errorf("engine: s3.data.buckets: %w", err)
		left := b.cfg.S3.StartWait - time.Since(begun)
		if ctx.Err() != nil || !objstore.Retryable(err) {
			return advised(err)
		}
		if left <= 0 {
			return fmt.Errorf("%w (waited %v for the object store, s3.start.wait.ms)", advised(err), time.Since(begun).Round(time.Second))
		}
		// The text may have addresses that change with each attempt; the advice is one for each kind of failure.
		if cause := objstore.Remedy(err) + objstore.Code(err); cause != said {
			said = cause
			b.log.Warn("the object store is not there: waiting for it", "bucket", b.bucket.Name(), "at_most", left.Round(time.Second), "cause", err, "remedy", objstore.Remedy(err))
		}
		b.log.Debug("the object store is still not there", "bucket", b.bucket.Name(), "cause", err)
		select {
		case <-ctx.Done():
		case <-time.After(min(pause, left)):
		}
		pause = min(2*pause, bucketPauseMax)
	}
}

// advised adds what an operator can do about an error of a bucket.
func advised(err error) error {
	if remedy := objstore.Remedy(err); remedy != "" {
		return fmt.Errorf("%w; remedy: %s", err, remedy)
	}
	return err
}
