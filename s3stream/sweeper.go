package s3stream

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ringmq/ringmq/s3stream/object"
	"github.com/ringmq/ringmq/s3stream/objstore"
)

// sweepBatch is how many objects are deleted with one request.
const sweepBatch = objstore.MaxDelete

// sweeper removes from the bucket what nobody needs. Every node may do it; removing twice is harmless.
type sweeper struct {
	mu sync.Mutex // one sweep at a time
}

func (s *Storage) startSweeper() {
	if s.opts.SweepInterval > 0 {
		s.work.Go(func() { s.every(s.opts.SweepInterval, s.Sweep, "removal of destroyed objects") })
	}
	if s.opts.OrphanInterval > 0 {
		s.work.Go(func() { s.every(s.opts.OrphanInterval, s.SweepOrphans, "search for orphaned objects") })
	}
}

// Sweep deletes the objects that were destroyed longer than DeleteRetention ago from the bucket, and then tells the metadata.
//
// A crash in between leaves ids in the metadata whose objects are gone; the next sweep deletes nothing for them and tells the metadata.
func (s *Storage) Sweep(ctx context.Context) error {
	s.sweep.mu.Lock()
	defer s.sweep.mu.Unlock()
	for {
		ids := s.meta.Destroyed(s.opts.DeleteRetention, sweepBatch)
		if len(ids) == 0 {
			return nil
		}
		keys := make([]string, len(ids))
		for i, id := range ids {
			keys[i] = s.key(id)
			s.indexes.drop(id)
		}
		if err := s.bucket.Delete(ctx, keys...); err != nil {
			return fmt.Errorf("s3stream: delete %d destroyed objects: %w", len(ids), err)
		}
		if err := s.meta.Deleted(ctx, ids); err != nil {
			return fmt.Errorf("s3stream: forget %d deleted objects: %w", len(ids), err)
		}
		s.count.deleted.Add(int64(len(ids)))
		s.logger.Debug("deleted destroyed objects", "objects", len(ids))
		if len(ids) < sweepBatch {
			return nil
		}
	}
}

// SweepOrphans lists the bucket and removes objects of this cluster that the metadata does not know, and unfinished multipart uploads, when they are older than
// OrphanAge: an upload takes less, and prepared ids are known. Keys that are not this cluster's are left alone.
func (s *Storage) SweepOrphans(ctx context.Context) error {
	s.sweep.mu.Lock()
	defer s.sweep.mu.Unlock()
	return errors.Join(s.sweepObjects(ctx), s.sweepUploads(ctx))
}

func (s *Storage) sweepObjects(ctx context.Context) error {
	before := s.opts.Now().Add(-s.opts.OrphanAge)
	var orphans []string
	remove := func() error {
		if len(orphans) == 0 {
			return nil
		}
		if err := s.bucket.Delete(ctx, orphans...); err != nil {
			return err
		}
		s.count.orphans.Add(int64(len(orphans)))
		s.logger.Info("removed objects that no stream refers to", "objects", len(orphans), "first", orphans[0])
		orphans = orphans[:0]
		return nil
	}
	err := s.bucket.List(ctx, "", func(o objstore.Info) error {
		id, ours := object.ParseKey(s.opts.ClusterID, o.Key)
		if !ours || !o.Modified.Before(before) || s.meta.ObjectState(ObjectID(id)) {
			return nil
		}
		if orphans = append(orphans, o.Key); len(orphans) == sweepBatch {
			return remove()
		}
		return nil
	})
	if err = errors.Join(err, remove()); err != nil {
		return fmt.Errorf("s3stream: search for orphaned objects: %w", err)
	}
	return nil
}

func (s *Storage) sweepUploads(ctx context.Context) error {
	before := s.opts.Now().Add(-s.opts.OrphanAge)
	var old []objstore.Upload
	err := s.bucket.ListUploads(ctx, "", func(u objstore.Upload) error {
		if _, ours := object.ParseKey(s.opts.ClusterID, u.Key); ours && u.Initiated.Before(before) {
			old = append(old, u)
		}
		return nil
	})
	for _, u := range old {
		if e := s.bucket.AbortUpload(ctx, u.Key, u.ID); e != nil {
			err = errors.Join(err, e)
			continue
		}
		s.count.uploadsAborted.Add(1)
	}
	if len(old) > 0 {
		s.logger.Info("aborted multipart uploads that nobody finished", "uploads", len(old))
	}
	if err != nil {
		return fmt.Errorf("s3stream: search for abandoned uploads: %w", err)
	}
	return nil
}
