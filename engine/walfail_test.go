package engine_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine"
	"github.com/ringmq/ringmq/engine/enginetest"
	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/kraft"
	"github.com/ringmq/ringmq/wal"
	"github.com/ringmq/ringmq/wal/waltest"
)

// TestWALDeviceFails lets the device under the write-ahead log fail while producers write: acknowledgements stop at once, every producer gets an error,
// and the node says that it is to be ended. After a restart on what the device had promised to keep, everything that was acknowledged is there.
func TestWALDeviceFails(t *testing.T) {
	for name, fate := range map[string]waltest.Fate{
		"EIO":      {Err: syscall.EIO},
		"half EIO": {Err: syscall.EIO, Keep: 2048},
		"ENOSPC":   {Err: syscall.ENOSPC},
		"short":    {Short: true, Keep: 512},
		"vanished": {Err: syscall.ENODEV, Gone: true},
	} {
		t.Run(name, func(t *testing.T) { walDeviceFails(t, fate) })
	}
}

func walDeviceFails(t *testing.T, fate waltest.Fate) {
	const producers = 8
	disk := waltest.New(64 << 20)
	var broken atomic.Bool
	var failed, after atomic.Int64 // writes that met the fault; writes that were begun well after it
	var since atomic.Int64
	disk.OnWrite = func(int, []byte, int64) waltest.Fate {
		if !broken.Load() {
			return waltest.Fate{}
		}
		if failed.Add(1) == 1 {
			since.Store(time.Now().UnixNano())
		} else if time.Now().UnixNano()-since.Load() > int64(time.Second) {
			after.Add(1)
		}
		return fate
	}
	n := enginetest.Start(t, enginetest.Options{Launch: engine.LaunchOn(disk), Overrides: []string{"s3.telemetry.metrics.exporter.uri=prometheus://127.0.0.1:0"}})
	x := &target{t, n.Seed(), n}
	topic := x.topic(producers)

	var (
		mu    sync.Mutex
		acked = map[int32]map[int64]string{}
		wg    sync.WaitGroup
		count atomic.Int64
	)
	for p := range int32(producers) {
		mine := map[int64]string{}
		mu.Lock()
		acked[p] = mine
		mu.Unlock()
		w := x.dial()
		acks := int16(-1)
		if p%2 == 1 {
			acks = 1
		}
		wg.Go(func() {
			ended := false // an error was answered: no acknowledgement follows it
			for i := 0; ; i++ {
				value := fmt.Sprintf("partition %d value %d", p, i)
				req := produceRequest(topic, acks, batchOf(value))
				req.Topics[0].Partitions[0].Partition = p
				r := askOn[*kmsg.ProduceResponse](w, req).Topics[0].Partitions[0]
				switch {
				case r.ErrorCode == 0 && ended:
					t.Errorf("partition %d: an acknowledgement after the failure", p)
					return
				case r.ErrorCode == 0:
					mu.Lock()
					mine[r.BaseOffset] = value
					mu.Unlock()
					count.Add(1)
				case r.ErrorCode != int16(kproto.KafkaStorageError):
					t.Errorf("partition %d: %v (%s), want KAFKA_STORAGE_ERROR", p, kproto.ErrorCode(r.ErrorCode), deref(r.ErrorMessage))
					return
				case ended:
					return // twice
				default:
					ended = true
				}
			}
		})
	}
	x.eventually("acknowledgements", func() bool { return count.Load() > 300 })
	broken.Store(true)
	select {
	case err := <-n.Failed():
		if !errors.Is(err, wal.ErrFailed) || fate.Err != nil && !errors.Is(err, fate.Err) {
			t.Errorf("the node failed with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the node goes on")
	}
	// The controller was told before that: whoever looks sees the broker fenced, and why.
	x.eventually("the broker to be fenced", func() bool { return n.Node().Image().Broker(1).Fenced })
	if why := n.Node().Image().Broker(1).Failure; !strings.Contains(why, wal.ErrFailed.Error()) {
		t.Errorf("the cause that the controller has is %q", why)
	}
	told := false
	for name := range scrapeNode(t, n) {
		told = told || strings.HasPrefix(name, `ringmq_cluster_broker_failure_info{broker="1",cause="`) && strings.Contains(name, wal.ErrFailed.Error())
	}
	if !told {
		t.Error("no metric tells the cause")
	}
	n.Node().Image().Offline(func(o kraft.Offline) bool {
		if !strings.Contains(o.String(), "the broker has ended itself: ") {
			t.Errorf("%s is offline because of: %s", o.Topic.Name, o)
		}
		return true
	})
	wg.Wait()
	if r := x.send(topic, batchOf("late")); r.ErrorCode != int16(kproto.KafkaStorageError) {
		t.Errorf("a new connection: %v", kproto.ErrorCode(r.ErrorCode))
	}
	n.Abandon()
	if after.Load() > 0 {
		t.Errorf("%d writes long after the failure", after.Load())
	}

	// The machine is restarted on a device in order. Of the writes that were under way, or failed, nothing has survived.
	nothing := func(int) waltest.Survival { return waltest.Nothing }
	healthy := disk.PowerFailure(len(disk.History()), nothing, rand.New(rand.NewPCG(1, 1)))
	n = enginetest.Start(t, enginetest.Options{Dir: n.Dir, Launch: engine.LaunchOn(healthy)})
	cl, err := kgo.NewClient(kgo.SeedBrokers(n.Seed()), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	left := int(count.Load())
	deadline := time.Now().Add(20 * time.Second)
	for left > 0 && time.Now().Before(deadline) {
		fetches := cl.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			want, ok := acked[r.Partition][r.Offset]
			if ok && want != string(r.Value) {
				t.Errorf("partition %d offset %d: %q, want %q", r.Partition, r.Offset, r.Value, want)
			}
			if ok {
				left--
			}
		})
	}
	if left > 0 {
		t.Errorf("%d of %d acknowledged records are missing", left, count.Load())
	}
	x = &target{t, n.Seed(), n}
	x.mustSend(topic, batchOf("goes on"))
	if b := n.Node().Image().Broker(1); b.Fenced || b.Failure != "" {
		t.Errorf("after the restart the broker is %+v", b)
	}
}
