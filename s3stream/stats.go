package s3stream

// Stats is a snapshot of a Storage. Counters count since Open.
type Stats struct {
	Streams       int   // open
	CachedBytes   int64 // payload bytes in the log cache
	IndexBytes    int64 // bytes of its index
	PendingBytes  int64 // payload bytes appended and not yet uploaded
	PendingOnDisk int64 // those that had to leave memory and are read back from the WAL device

	Appends, AppendedBytes, Refused                int64 // Refused: ErrFull
	Uploads, UploadFailures, UploadedBytes         int64 // committed uploads, failed attempts, payload bytes committed
	Objects                                        int64 // objects committed by uploads
	Compactions, CompactedObjects                  int64 // committed compactions, objects that they replaced
	ObjectsDeleted, OrphansDeleted, UploadsAborted int64

	HotReads, ColdReads              int64
	BlockCacheBytes                  int64
	BlockCacheHits, BlockCacheMisses int64 // a miss is a request to the object store or a read of the WAL device
	ReadaheadBytes                   int64 // fetched before anybody asked
}

// Stats returns a snapshot. Any goroutine.
func (s *Storage) Stats() Stats {
	open := 0
	s.streams.Lock()
	for _, t := range s.streams.tails {
		t.mu.Lock()
		if st := t.mu.stream; st != nil && streamState(st.state.Load()) == streamOpen {
			open++
		}
		t.mu.Unlock()
	}
	s.streams.Unlock()
	c := &s.count
	return Stats{
		Streams: open, CachedBytes: s.cached.payload.Load(), IndexBytes: s.cached.index.Load(), PendingBytes: s.cached.pending.Load(),
		PendingOnDisk: s.cached.device.Load(),
		Appends:       c.appends.Load(), AppendedBytes: c.appendedBytes.Load(), Refused: c.refused.Load(),
		Uploads: c.uploads.Load(), UploadFailures: c.uploadFailures.Load(), UploadedBytes: c.uploadedBytes.Load(), Objects: c.objects.Load(),
		Compactions: c.compactions.Load(), CompactedObjects: c.compactedObjects.Load(),
		ObjectsDeleted: c.deleted.Load(), OrphansDeleted: c.orphans.Load(), UploadsAborted: c.uploadsAborted.Load(),
		HotReads: c.hotReads.Load(), ColdReads: c.coldReads.Load(),
		BlockCacheBytes: s.blocks.bytes(), BlockCacheHits: c.hits.Load(), BlockCacheMisses: c.misses.Load(), ReadaheadBytes: c.readahead.Load(),
	}
}
