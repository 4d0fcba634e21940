package telemetry

import "github.com/ringmq/ringmq/s3stream"

func (s sink) storage(st s3stream.Stats) {
	// The seed system's names.
	gauge(s, "kafka_stream_wal_pending_upload_bytes", "Bytes appended and not uploaded yet.", st.PendingBytes)
	gauge(s, "kafka_stream_delta_wal_cache_size", "Bytes of records in the log cache.", st.CachedBytes)
	gauge(s, "kafka_stream_block_cache_size", "Bytes in the block cache of cold reads.", st.BlockCacheBytes)

	gauge(s, "ringmq_storage_streams", "Open streams.", st.Streams)
	gauge(s, "ringmq_storage_cache_index_bytes", "Bytes of the log cache's index.", st.IndexBytes)
	gauge(s, "ringmq_storage_pending_on_device_bytes", "Bytes not uploaded yet that had to leave memory and are read back from the log's device.", st.PendingOnDisk)

	counter(s, "ringmq_storage_appends_total", "Batches appended to streams.", st.Appends)
	counter(s, "ringmq_storage_appended_bytes_total", "Bytes appended to streams.", st.AppendedBytes)
	counter(s, "ringmq_storage_refused_appends_total", "Appends that found the log or its memory full.", st.Refused)
	counter(s, "ringmq_storage_uploads_total", "Uploads committed.", st.Uploads)
	counter(s, "ringmq_storage_upload_failures_total", "Attempts to upload or to commit that failed.", st.UploadFailures)
	counter(s, "ringmq_storage_uploaded_bytes_total", "Bytes of committed uploads.", st.UploadedBytes)
	counter(s, "ringmq_storage_uploaded_objects_total", "Objects committed by uploads.", st.Objects)
	counter(s, "ringmq_storage_compactions_total", "Compactions committed.", st.Compactions)
	counter(s, "ringmq_storage_compacted_objects_total", "Objects that compactions replaced.", st.CompactedObjects)
	counter(s, "ringmq_storage_deleted_objects_total", "Objects deleted from the bucket.", st.ObjectsDeleted)
	counter(s, "ringmq_storage_deleted_orphans_total", "Objects deleted that no metadata names.", st.OrphansDeleted)
	counter(s, "ringmq_storage_aborted_uploads_total", "Multipart uploads that were left behind and aborted.", st.UploadsAborted)

	const reads = "Reads, by where they found their records: log cache (hot) or object store and block cache (cold)."
	counter(s, "ringmq_storage_reads_total", reads, st.HotReads, "from", "hot")
	counter(s, "ringmq_storage_reads_total", reads, st.ColdReads, "from", "cold")
	const cache = "Lookups in the block cache."
	counter(s, "ringmq_storage_block_cache_lookups_total", cache, st.BlockCacheHits, "result", "hit")
	counter(s, "ringmq_storage_block_cache_lookups_total", cache, st.BlockCacheMisses, "result", "miss")
	counter(s, "ringmq_storage_readahead_bytes_total", "Bytes fetched before anybody asked.", st.ReadaheadBytes)
}
