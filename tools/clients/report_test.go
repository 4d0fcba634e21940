package clients

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// sum is the sum of PROTOCOL.md.
type sum struct{ count, total int64 }

func (s *sum) add(r *kgo.Record) {
	h := crc32.NewIEEE()
	sumPart(h, r.Key)
	sumPart(h, r.Value)
	for _, header := range r.Headers {
		sumPart(h, []byte(header.Key))
		sumPart(h, header.Value)
	}
	s.count++
	s.total += int64(h.Sum32())
}

func sumPart(h hash.Hash32, b []byte) {
	if b == nil {
		h.Write([]byte{0, '\n'})
		return
	}
	h.Write([]byte{1})
	h.Write(b)
	h.Write([]byte{'\n'})
}

func (s sum) String() string { return fmt.Sprintf("%d records, sum %d", s.count, s.total) }

// read reads a topic to its end of now, committed records only.
func (n *node) read(t *testing.T, topic string, each func(*kgo.Record)) sum {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cl := n.client(t)
	defer cl.Close()
	req := kmsg.NewPtrMetadataRequest()
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = kmsg.StringPtr(topic)
	req.Topics = append(req.Topics, rt)
	meta, err := req.RequestWith(ctx, cl)
	if err != nil || len(meta.Topics) != 1 || meta.Topics[0].ErrorCode != 0 {
		t.Fatalf("metadata of %s: %v %+v", topic, err, meta)
	}
	var s sum
	for _, p := range meta.Topics[0].Partitions {
		start, end := n.offset(ctx, t, cl, topic, p.Partition, -2), n.offset(ctx, t, cl, topic, p.Partition, -1)
		if start == end {
			continue
		}
		reader := n.client(t, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {p.Partition: kgo.NewOffset().At(start)}}),
			kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(200*time.Millisecond))
		for at := start; at < end; {
			fetches := reader.PollFetches(ctx)
			if err := fetches.Err(); err != nil {
				t.Fatalf("reading %s-%d at %d of %d: %v", topic, p.Partition, at, end, err)
			}
			fetches.EachRecord(func(r *kgo.Record) {
				at = r.Offset + 1
				if r.Attrs.IsControl() {
					return
				}
				s.add(r)
				if each != nil {
					each(r)
				}
			})
		}
		reader.Close()
	}
	return s
}

func (n *node) offset(ctx context.Context, t *testing.T, cl *kgo.Client, topic string, partition int32, timestamp int64) int64 {
	t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewListOffsetsRequestTopicPartition()
	rp.Partition, rp.Timestamp = partition, timestamp
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil || resp.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("offset of %s-%d: %v %+v", topic, partition, err, resp)
	}
	return resp.Topics[0].Partitions[0].Offset
}

// report is what a program has printed.
type report struct {
	ok    []string
	sums  map[string]sum
	other []string // FAIL and whatever else it said
}

func parseReport(out string) (report, error) {
	r := report{sums: map[string]sum{}}
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "ok":
			r.ok = append(r.ok, rest)
		case "sum":
			var topic string
			var s sum
			if _, err := fmt.Sscanf(rest, "%s %d %d", &topic, &s.count, &s.total); err != nil {
				return r, fmt.Errorf("%q: %w", line, err)
			}
			r.sums[topic] = s
		default:
			r.other = append(r.other, line)
		}
	}
	return r, nil
}

func TestParseReport(t *testing.T) {
	r, err := parseReport("ok a\nsum t 3 77\nnoise\nFAIL b: why\n")
	if err != nil || !slices.Equal(r.ok, []string{"a"}) || r.sums["t"] != (sum{3, 77}) || len(r.other) != 2 {
		t.Fatalf("%+v %v", r, err)
	}
	if _, err := parseReport("sum t three"); err == nil {
		t.Error("a sum that is none was accepted")
	}
}

// runProgram runs a program to its end and returns what it printed on standard output; its children die with it.
func runProgram(ctx context.Context, env []string, argv ...string) (stdout, stderr string, err error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	if ctx.Err() != nil {
		err = errors.Join(ctx.Err(), err)
	}
	return out.String(), errs.String(), err
}
