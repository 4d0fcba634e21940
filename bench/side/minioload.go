package side

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// minioLoad is a load over 100 partitions with everything running that runs in a long life: uploads to MinIO several times a second, and from a minute
// after the start on (the shortest interval that the configuration allows) the compaction of what they wrote. Stream-set objects, which are what is
// compacted, come to be when no stream has much in an upload: hence many partitions and small uploads.
func (p Profile) minioLoad() testCase {
	run := loadOver(100, p.MinIOLoadMB, func(p Profile) time.Duration { return p.MinIOLoadFor })
	return testCase{name: "minio-load",
		on: func(target string) bool { return baseOf(target) == "ringmq-minio" },
		own: &ownServer{
			settings: []string{"s3.wal.upload.interval.ms=500", "s3.wal.upload.threshold=16777216", "s3.stream.set.object.compaction.interval.minutes=1",
				"s3.stream.object.compaction.interval.minutes=1"},
			args: []string{"--log-level=debug"}, // uploads and compactions are there
			env:  []string{"GODEBUG=gctrace=1"},
		},
		run: func(ctx context.Context, s *session, rec *Record) error {
			if err := run(ctx, s, rec); err != nil {
				return err
			}
			rec.set("peak_mb", float64(rec.Server.PeakBytes)/mib)
			log, err := os.ReadFile(filepath.Join(s.dir, "server.log"))
			if err != nil {
				return fmt.Errorf("side: %w", err)
			}
			return rec.background(string(log), s.o.Profile.MinIOLoadFor > time.Minute)
		}}
}

// background notes what the server did behind the load by its log, and what its garbage collector stopped. A run that is long enough for a compaction
// must have had one: without it the case would say less than its name.
func (r *Record) background(log string, compactions bool) error {
	for key, message := range map[string]string{"uploads": "msg=uploaded ", "compactions": `msg="compacted stream-set objects" `} {
		lines, objects := logged(log, message)
		r.set(key, float64(lines))
		r.set(key+"_objects", float64(objects))
	}
	g, err := parseGC(log)
	if err != nil {
		return err
	}
	r.set("gc_cycles", float64(g.cycles))
	r.set("gc_p50_us", g.p50)
	r.set("gc_p9999_us", g.p9999)
	r.set("gc_cpu_percent", g.percent)
	switch {
	case r.Values["uploads"] == 0:
		return errors.New("side: nothing was uploaded meanwhile")
	case compactions && r.Values["compactions"] == 0:
		return errors.New("side: nothing was compacted meanwhile")
	}
	return nil
}

// logged counts the log lines with a message, and sums up their "objects".
func logged(log, message string) (lines, objects int) {
	for line := range strings.Lines(log) {
		_, rest, ok := strings.Cut(line, message)
		if !ok {
			continue
		}
		lines++
		for field := range strings.FieldsSeq(rest) {
			if n, ok := strings.CutPrefix(field, "objects="); ok {
				v, _ := strconv.Atoi(n)
				objects += v
			}
		}
	}
	return lines, objects
}
