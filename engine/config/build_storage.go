package config

import (
	"path/filepath"
	"strconv"
)

// storage settles buckets, write-ahead log and their sizes.
func (b *builder) storage() error {
	if err := b.buckets(); err != nil {
		return err
	}
	if err := b.wal(); err != nil {
		return err
	}
	c, memory := b.c, b.src.MemoryBytes
	c.S3 = S3{
		WALCacheBytes:                  b.num("s3.wal.cache.size"),
		UploadThresholdBytes:           b.num("s3.wal.upload.threshold"),
		StartWait:                      b.millis("s3.start.wait.ms"),
		BlockCacheBytes:                b.num("s3.block.cache.size"),
		StreamSplitBytes:               b.num("s3.stream.object.split.size"),
		ObjectBlockBytes:               int(b.num("s3.object.block.size")),
		ObjectPartBytes:                b.num("s3.object.part.size"),
		StreamObjectCompactionInterval: b.minutes("s3.stream.object.compaction.interval.minutes"),
		StreamObjectCompactionMaxBytes: b.num("s3.stream.object.compaction.max.size.bytes"),
		StreamSetCompactionInterval:    b.minutes("s3.stream.set.object.compaction.interval.minutes"),
		StreamSetCompactionCacheBytes:  b.num("s3.stream.set.object.compaction.cache.size"),
		StreamSetCompactionSplitBytes:  b.num("s3.stream.set.object.compaction.stream.split.size"),
		StreamSetCompactionForceSplit:  b.minutes("s3.stream.set.object.compaction.force.split.minutes"),
		StreamSetCompactionMaxObjects:  int(min(max(b.num("s3.stream.set.object.compaction.max.num"), 8), 100)),
		DeleteRetention:                b.minutes("s3.object.delete.retention.minutes"),
		NetworkBandwidthBytesPerSecond: b.num("s3.network.baseline.bandwidth"),
	}
	s := &c.S3
	if s.WALCacheBytes < 0 {
		s.WALCacheBytes = autoWALCache(memory)
	}
	if s.BlockCacheBytes < 0 {
		s.BlockCacheBytes = autoBlockCache(memory)
	}
	if s.UploadThresholdBytes < 0 {
		s.UploadThresholdBytes = autoUpload(c.WAL.CapacityBytes, s.WALCacheBytes)
	}
	if b.num("s3.wal.upload.interval.ms") > 0 {
		s.UploadInterval = b.millis("s3.wal.upload.interval.ms")
	}
	return nil
}

func (b *builder) buckets() error {
	c := b.c
	switch {
	case b.get("s3.data.buckets").origin == OriginS3URL:
		c.DataBuckets = []BucketURI{b.url.Bucket(b.url.DataBucket)}
	case b.isSet("s3.data.buckets"):
		c.DataBuckets, _ = ParseBuckets(b.text("s3.data.buckets"))
	case b.isSet("s3.bucket"):
		u, err := b.olderBucket("s3.bucket")
		if err != nil {
			return err
		}
		c.DataBuckets = []BucketURI{u}
	case b.isSet("s3.endpoint"):
		return b.missing("s3.bucket", "missing, although s3.endpoint is set")
	case len(splitList(b.text("controller.quorum.voters"))) > 1 || !c.Controller:
		return b.missing("s3.data.buckets", "missing: the nodes of a cluster share their log in a bucket")
	default:
		c.DataBuckets = []BucketURI{{Scheme: "file", Path: filepath.Join(c.LogDirs[0], "objects")}}
		b.compute("s3.data.buckets", c.DataBuckets[0].String())
	}
	if len(c.DataBuckets) > 1 {
		return b.fail("s3.data.buckets", "names "+strconv.Itoa(len(c.DataBuckets))+" buckets, and this version keeps a cluster's log in one", "one bucket URI")
	}
	switch {
	case b.get("s3.ops.buckets").origin == OriginS3URL:
		c.OpsBuckets = []BucketURI{b.url.Bucket(b.url.OpsBucket)}
	case b.isSet("s3.ops.buckets"):
		c.OpsBuckets, _ = ParseBuckets(b.text("s3.ops.buckets"))
	case b.isSet("s3.ops.bucket"):
		u, err := b.olderBucket("s3.ops.bucket")
		if err != nil {
			return err
		}
		c.OpsBuckets = []BucketURI{u}
	default:
		c.OpsBuckets = append(c.OpsBuckets, c.DataBuckets...)
		b.compute("s3.ops.buckets", c.OpsBuckets[0].String())
	}
	for _, named := range []struct {
		key  string
		list []BucketURI
	}{{"s3.data.buckets", c.DataBuckets}, {"s3.ops.buckets", c.OpsBuckets}} {
		for i := range named.list {
			for _, path := range []*string{&named.list[i].CredentialsFile, &named.list[i].CAFile} {
				if err := b.absolute(named.key, path); err != nil {
					return err
				}
			}
			if reason := b.credentials(&named.list[i]); reason != "" {
				return b.fail(named.key, reason, "accessKey and secretKey in the URI, KAFKA_S3_ACCESS_KEY and KAFKA_S3_SECRET_KEY, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
			}
		}
	}
	return nil
}

// olderBucket builds a bucket URI from s3.endpoint, s3.region, s3.path.style and the given key.
func (b *builder) olderBucket(key string) (BucketURI, error) {
	u := BucketURI{Scheme: "s3", Bucket: b.text(key), Region: b.text("s3.region")}
	if e := b.text("s3.endpoint"); e != "" {
		var err error
		if u.Endpoint, err = parseEndpoint(e, "https"); err != nil {
			return u, b.fail("s3.endpoint", err.Error(), "[http://|https://]host[:port]")
		}
	}
	if b.isSet("s3.path.style") {
		u.PathStyle = PathStyleOff
		if b.flag("s3.path.style") {
			u.PathStyle = PathStyleOn
		}
	}
	return u, nil
}

// absolute makes a path in the value of a key absolute: in a properties file it begins at that file's directory.
func (b *builder) absolute(key string, path *string) error {
	if *path == "" || filepath.IsAbs(*path) {
		return nil
	}
	if b.get(key).origin == OriginFile {
		*path = filepath.Join(filepath.Dir(b.src.File), *path)
	}
	abs, err := filepath.Abs(*path)
	if err != nil {
		return b.fail(key, err.Error(), "an absolute path")
	}
	*path = abs
	return nil
}

// credentials completes a bucket's keys from the environment.
func (b *builder) credentials(u *BucketURI) (reason string) {
	if u.Scheme != "s3" || u.AuthType == "instance" || u.CredentialsFile != "" && u.AccessKey == "" {
		return ""
	}
	if (u.AccessKey == "") != (u.SecretKey == "") {
		return "accessKey and secretKey must be given together"
	}
	if u.AccessKey == "" {
		if u.AccessKey, u.SecretKey, u.SessionToken, reason = KeysFromEnv(b.src.Env); reason != "" {
			return reason
		}
	}
	if u.AuthType == "static" && u.AccessKey == "" {
		return "authType=static, but no keys"
	}
	return ""
}

// KeysFromEnv reads a bucket's keys from an environment: KAFKA_S3_* as AutoMQ has it, then AWS's names. They are empty when there are none; reason
// is not empty when one of a pair is missing.
func KeysFromEnv(env func(string) string) (access, secret, session, reason string) {
	for _, names := range [][3]string{{"KAFKA_S3_ACCESS_KEY", "KAFKA_S3_SECRET_KEY", ""}, {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}} {
		access, secret = env(names[0]), env(names[1])
		switch {
		case (access == "") != (secret == ""):
			return "", "", "", names[0] + " and " + names[1] + " must be set together"
		case access != "" && names[2] != "":
			return access, secret, env(names[2]), ""
		case access != "":
			return access, secret, "", ""
		}
	}
	return "", "", "", ""
}

func (b *builder) wal() error {
	c := b.c
	capacitySet := b.isSet("s3.wal.capacity")
	if b.isSet("s3.wal.path") {
		text := b.text("s3.wal.path")
		w, err := ParseWAL(text)
		if err != nil {
			return b.fail("s3.wal.path", err.Error(), walAllowed)
		}
		if !hasParam(text, "capacity") && capacitySet {
			w.CapacityBytes = b.num("s3.wal.capacity")
		}
		if !hasParam(text, "iodepth") && b.isSet("s3.wal.thread") {
			w.IODepth = int(b.num("s3.wal.thread"))
		}
		c.WAL = w
		return nil
	}
	c.WAL = WALURI{Scheme: "file", Path: filepath.Join(c.LogDirs[0], "wal"), CapacityBytes: embeddedWALCapacity, IODepth: defaultIODepth, Default: true}
	if b.isSet("s3.wal.thread") {
		c.WAL.IODepth = int(b.num("s3.wal.thread"))
	}
	if capacitySet {
		c.WAL.CapacityBytes = b.num("s3.wal.capacity")
	}
	b.compute("s3.wal.path", c.WAL.String())
	b.compute("s3.wal.capacity", strconv.FormatInt(c.WAL.CapacityBytes, 10))
	return nil
}

// hasParam reports whether a well-formed s3.wal.path carries a parameter.
func hasParam(s, key string) bool {
	u, err := parseIDURI(s)
	if err != nil {
		return false
	}
	for _, p := range u.params {
		if p.key == key {
			return true
		}
	}
	return false
}
