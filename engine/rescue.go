package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/kraft"
	"github.com/ringmq/ringmq/s3stream"
	"github.com/ringmq/ringmq/s3stream/objstore"
	"github.com/ringmq/ringmq/wal"
)

// A rescue takes the place of a dead broker whose write-ahead log is at hand, on whatever host:
//
//	lock the log ──► register as the broker, fenced ──► recover ──► upload ──► close streams, move partitions ──► mark the log empty
//	     │                        │                                                       │
//	 nobody else            the old process is fenced:                            live brokers open them
//	 writes it              no commit, no heartbeat
//
// It may stop anywhere, and be begun again: until the end the log has everything, and what was uploaded is recognised. A log that was rescued from a copy is as
// good as an emptied one: should the broker come back with the original, everything in it lies below the committed ends of its streams, and is dropped.

// Errors of a rescue that callers tell apart, beside those of packages wal, s3stream and kraft.
var (
	// ErrRescueRefused: the broker may be alive, or another rescue is at work. Nothing was changed.
	ErrRescueRefused = errors.New("engine: rescue refused")
	// ErrRescueDamaged: acknowledged records are damaged or missing. Nothing was uploaded, the log is as it was.
	ErrRescueDamaged = errors.New("engine: rescue found damage")
)

// RescueOptions says what to rescue. Of Config the quorum's voters and the data bucket count; its cluster id, if it has one, must be that of the log.
type RescueOptions struct {
	Config *config.Config
	WAL    string // path of the device or file
	// Force does not wait for the broker's session to end. It is safe for the broker's own device or file, which the rescue has locked; with a copy of it, made
	// while the broker lived, it would lose what the broker acknowledged since.
	Force  bool
	Logger *slog.Logger
	// Progress is told each step, a line each, and about once a second how far a long one is. Any goroutine, one at a time.
	Progress func(format string, args ...any)
}

// rescue is one at work.
type rescue struct {
	RescueOptions
	id     wal.SlotInfo // whose log it is
	log    *wal.Log
	node   *kraft.Node
	leave  func(context.Context) error // ends node
	bucket objstore.Bucket
	epoch  int64
	failed chan error // the metadata node or the device; capacity 2
}

// Rescue uploads what a dead broker's write-ahead log holds, closes the broker's streams and has live brokers lead its partitions. Then the log is empty.
func Rescue(ctx context.Context, o RescueOptions) (err error) {
	r := &rescue{RescueOptions: o, failed: make(chan error, 2)}
	if r.id, err = wal.Identify(o.WAL); err != nil {
		return err
	}
	if id := o.Config.ClusterID; id != "" && id != r.id.ClusterID {
		return fmt.Errorf("%w: the write-ahead log is of cluster %s, the configuration of cluster %s", ErrRescueRefused, r.id.ClusterID, id)
	}
	r.Progress("%s: the write-ahead log %x of broker %d of cluster %s", o.WAL, r.id.UUID, r.id.NodeID, r.id.ClusterID)
	s3 := o.Config.S3
	r.log, err = wal.Open(wal.Options{
		Path: o.WAL, MustExist: true, ClusterID: r.id.ClusterID, NodeID: r.id.NodeID, MemoryBytes: s3.WALCacheBytes, Logger: o.Logger, OnFailure: r.fail,
	})
	if errors.Is(err, wal.ErrBusy) {
		return fmt.Errorf("%w: %w: the broker runs, be it paused, or another rescue does", ErrRescueRefused, err)
	}
	if err != nil {
		return err
	}
	storage, err := r.begin(ctx)
	if r.node != nil {
		defer func() {
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			err = errors.Join(err, r.leave(stop))
		}()
	}
	if err != nil {
		return errors.Join(err, r.log.Close(false))
	}
	if err := r.run(ctx, storage); err != nil {
		return errors.Join(err, storage.Close(context.WithoutCancel(ctx), false))
	}
	if err := storage.Close(ctx, true); err != nil {
		return err
	}
	r.Progress("the write-ahead log is empty: broker %d may come back with it, or with another one", r.id.NodeID)
	return nil
}

func (r *rescue) fail(err error) {
	select {
	case r.failed <- err:
	default:
	}
}

// begin joins the cluster, takes the broker's place and recovers the log.
func (r *rescue) begin(ctx context.Context) (_ *s3stream.Storage, err error) {
	if r.node, r.leave, err = Visit(ctx, r.Config, r.id.ClusterID, r.id.NodeID, r.Logger, r.fail); err != nil {
		return nil, err
	}
	if r.bucket, err = OpenBucket(ctx, r.Config.DataBuckets[0], r.Logger); err != nil {
		return nil, err
	}
	if _, err := objstore.Claim(ctx, r.bucket, r.id.ClusterID, time.Now()); err != nil {
		return nil, fmt.Errorf("engine: s3.data.buckets: %w", err)
	}
	if err := objstore.CheckReady(ctx, r.bucket); err != nil {
		return nil, fmt.Errorf("engine: s3.data.buckets: %w", err)
	}
	// Nothing has been changed so far.
	if r.epoch, err = r.node.BeginRescue(ctx, r.id.UUID, r.Force); err != nil {
		if errors.Is(err, kraft.ErrConflict) || errors.Is(err, kraft.ErrInvalid) || errors.Is(err, kraft.ErrNotFound) {
			err = fmt.Errorf("%w: %w", ErrRescueRefused, err)
		}
		return nil, err
	}
	r.Progress("registered in the place of broker %d, epoch %d: its earlier process, should there be one, is fenced", r.id.NodeID, r.epoch)
	if err := r.log.SetNodeEpoch(r.epoch); err != nil {
		return nil, err
	}
	begun := time.Now()
	s3 := r.Config.S3
	storage, err := s3stream.Open(ctx, s3stream.Options{
		WAL: r.log, Bucket: r.bucket, Metadata: streamMetadata{r.node}, NodeID: r.id.NodeID, NodeEpoch: r.epoch, ClusterID: r.id.ClusterID, Logger: r.Logger,
		UploadBytes: s3.UploadThresholdBytes, UploadInterval: -1, StreamSplitBytes: s3.StreamSplitBytes, BlockBytes: s3.ObjectBlockBytes, PartBytes: s3.ObjectPartBytes,
		Unowned: true, CompactInterval: -1, StreamCompactInterval: -1, SweepInterval: -1, OrphanInterval: -1, OnFailure: r.fail,
	})
	if errors.Is(err, wal.ErrCorrupt) || errors.Is(err, s3stream.ErrDataLoss) {
		err = fmt.Errorf("%w: %w", ErrRescueDamaged, err)
	}
	if err != nil {
		return nil, fmt.Errorf("engine: recover the write-ahead log: %w", err)
	}
	r.Progress("recovered in %v: %d bytes are not uploaded yet", time.Since(begun).Round(time.Millisecond), storage.Stats().PendingBytes)
	return storage, nil
}

// run uploads everything and gives the streams away.
func (r *rescue) run(ctx context.Context, storage *s3stream.Storage) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		r.watch(ctx, cancel, storage)
	}()
	err := storage.Flush(ctx)
	var done kraft.Rescued
	if err == nil {
		if left := storage.Stats().PendingBytes; left > 0 {
			err = fmt.Errorf("engine: rescue: BUG: %d bytes are still not uploaded", left)
		}
	}
	if err == nil {
		r.Progress("everything is uploaded")
		done, err = r.node.FinishRescue(ctx, r.id.UUID, func(d kraft.Rescued) { r.Progress("closed %d streams", d.Streams) })
	}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	cancel(nil)
	<-watched
	if err != nil {
		return fmt.Errorf("engine: rescue not finished (nothing is lost: give the command again): %w", err)
	}
	r.Progress("closed %d streams; %d partitions have a live leader now", done.Streams, done.Partitions)
	if left := r.node.Image().PartitionsLed(r.id.NodeID); left > 0 {
		r.Progress("%d partitions of broker %d wait for a live broker", left, r.id.NodeID)
	}
	return nil
}

// watch tells how far the upload is, and ends the rescue when its ground is gone.
func (r *rescue) watch(ctx context.Context, cancel context.CancelCauseFunc, storage *s3stream.Storage) {
	total := storage.Stats().PendingBytes
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for last := int64(-1); ; {
		select {
		case <-ctx.Done():
			return
		case err := <-r.failed:
			cancel(err)
			return
		case <-ticker.C:
			if st := storage.Stats(); st.PendingBytes > 0 && total-st.PendingBytes != last {
				last = total - st.PendingBytes
				r.Progress("uploaded %d of %d bytes", last, total)
			}
		}
	}
}
